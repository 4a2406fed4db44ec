"""What really runs in Azure reaches the CMDB, with what belongs to what."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from cmdb import build as build_cmdb
from cmdb.settings import Settings as CmdbSettings
from flotilla import InvalidArgument
from flotilla.discovery import Discovery, SeenPage
from tests.backends.azure.estate import OTHER, SUBSCRIPTION

from .conftest import House, OpenHouse, Person, furnished

pytestmark = pytest.mark.anyio

SCOPE = {"account": "main", "subscription": SUBSCRIPTION}


async def pages(source: Discovery) -> AsyncGenerator[SeenPage]:
    cursor = None
    while True:
        page = await source.page(SCOPE, cursor)
        yield page
        if (cursor := page.next_cursor) is None:
            return


def source_of(house: House) -> Discovery:
    assert house.spoke.discovery is not None
    return house.spoke.discovery


async def test_the_scope_is_filled_in_and_checked(house: House) -> None:
    told = await source_of(house).describe({})
    assert told.within == SCOPE
    assert told.tool == "cloud.azure.listResources"
    assert told.covers.attributes == {"provider": "azure", "account": SUBSCRIPTION}
    named = await source_of(house).describe({"subscription": "Sandbox"})
    assert named.within["subscription"] == OTHER
    for wrong in ({"region": "x"}, {"account": 3}, {"subscription": "no"}):
        with pytest.raises(Exception, match=r"azure takes|are texts|no subscription"):
            await source_of(house).describe(wrong)
    with pytest.raises(InvalidArgument):
        await source_of(house).page(SCOPE, "made-up")


async def test_machines_disks_networks_and_groups_are_seen_with_their_relations(
    house: House,
) -> None:
    group = furnished(house.estate, "Disco", {"Vm-1": "running"})
    vm = f"{group}/providers/Microsoft.Compute/virtualMachines/Vm-1"
    disk = house.estate.resource("Disco", "Microsoft.Compute/disks", "d1", {"diskSizeGB": 64})
    disk["managedBy"] = vm.upper().replace("/SUBSCRIPTIONS", "/subscriptions")
    nic = house.estate.find(f"{group}/providers/Microsoft.Network/networkInterfaces/Vm-1-nic")
    nic["properties"]["virtualMachine"] = {"id": vm}
    house.estate.resource("Disco", "Microsoft.Web/sites", "shop")
    items: dict[tuple[str, str], Any] = {}
    relations: set[tuple[str, str, str]] = set()
    async for page in pages(source_of(house)):
        items |= {(each.ci_class, each.name): each for each in page.items}
        relations |= {(each.source.name, each.type, each.target.name) for each in page.relations}
    start = f"{SUBSCRIPTION}/disco"
    machine = items["virtual_machine", f"{start}/vm-1"]
    assert machine.key == "instance_uuid"
    assert machine.attributes["status"] == "running"
    assert machine.attributes["resource_id"] == vm.lower()
    assert items["storage", f"{start}/microsoft.compute/disks/d1"].attributes["capacity_gb"] == 64
    assert items["network", f"{start}/main"].attributes["cidr"] == "10.0.0.0/16"
    assert items["group", start].attributes["region"] == "westeurope"
    assert items["cloud_resource", f"{start}/microsoft.web/sites/shop"].key == "resource_id"
    disk_name = f"{start}/microsoft.compute/disks/d1"
    assert (f"{start}/vm-1", "uses", disk_name) in relations
    assert (f"{start}/vm-1", "connects_to", f"{start}/main") in relations
    assert (f"{start}/vm-1", "member_of", start) in relations
    known = {name for _, name in items}
    assert all({source, target} <= known for source, _, target in relations)


@pytest.mark.real
async def test_what_azure_has_is_planned_and_applied_in_the_cmdb(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    place = CmdbSettings(database_url=f"sqlite:///{tmp_path}/cmdb.sqlite3")
    async with open_house(others=[build_cmdb(place)]) as house:
        furnished(house.estate, "plan", {"p-1": "running"})
        asked = {"source": "azure", "discover": {"service": "azure", "within": {}}}
        async with house.fleet.client(elicitation_callback=Person()) as client:

            async def call(tool: str, arguments: dict[str, Any]) -> Any:
                result = await client.call_tool(f"data_cmdb_{tool}", arguments)
                assert not result.is_error, result.content[0].text
                return result.structured_content

            plan = await call("previewReconcile", asked)
            assert plan["counts"]["creates"] == 4  # group, network, machine, interface
            done = await call("applyReconcile", {"planId": plan["planId"], "hash": plan["hash"]})
            assert done["created"] == 4
            found = await call("searchItems", {"ciClass": "virtual_machine"})
            assert found["items"][0]["attributes"]["provider"] == "azure"
            vm = house.estate.machine("plan", "p-2", "running")
            house.estate.remove(vm["id"].replace("p-2", "p-1"))
            again = (await call("previewReconcile", asked))["counts"]
    assert (again["creates"], again["retires"]) == (2, 1)
