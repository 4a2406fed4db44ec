"""Bringing CIs of ServiceNow in: whole, once, and known again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.backends.servicenow_server import ServiceNow
from tests.conftest import until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


def estate(instance: ServiceNow) -> dict[str, str]:
    """Two servers, a virtual machine and an application, with how they rest on one another."""
    acme = instance.add("core_company", name="Acme")
    ids = {
        "web": instance.add(
            "cmdb_ci_linux_server",
            name="web",
            serial_number="S1",
            cpu_count="8",
            ram="16384",
            ip_address="10.0.0.1",
            operational_status="1",
            manufacturer=acme,
        ),
        "spare": instance.add("cmdb_ci_win_server", name="spare", serial_number="S2"),
        "shop": instance.add("cmdb_ci_appl", name="shop", version="1.10"),
        "vm": instance.add("cmdb_ci_vmware_instance", name="vm", vm_inst_id="v-1"),
    }
    instance.relate(ids["shop"], "Runs on::Runs", ids["web"])
    instance.relate(ids["vm"], "Hosted on::Hosts", ids["web"])
    instance.relate(ids["shop"], "Cools::Cooled By", ids["spare"])
    return ids


async def items(cmdb: Any, **more: Any) -> dict[str, Any]:
    found = await cmdb("searchItems", limit=500, **more)
    return {one["name"]: one for one in found["items"]}


async def test_cis_come_in_through_the_hub_with_their_relations_and_twice_changes_nothing(
    instance: ServiceNow, through_hub: Any
) -> None:
    ids = estate(instance)
    async with through_hub(instance) as hub:
        tried = await hub("pullServiceNow", ciClass="server", dryRun=True)
        assert (tried["created"], tried["read"], tried["dryRun"]) == (2, 2, True)
        assert await items(hub) == {}
        done = await hub("pullServiceNow", ciClass="server")
        assert (done["created"], done["relationsCreated"], done["problems"]) == (2, 0, [])
        assert done["relationsSkipped"]["the other end is not in our CMDB"] == 2
        done = await hub("pullServiceNow", table="cmdb_ci_appl")
        assert (done["ciClass"], done["created"], done["relationsCreated"]) == ("application", 1, 1)
        assert done["relationsSkipped"] == {"the type 'Cools::Cooled By' is none of ours": 1}
        done = await hub("pullServiceNow", ciClass="virtual_machine")
        assert (done["created"], done["relationsCreated"]) == (1, 1)
        held = await items(hub)
        web = held["web"]
        assert web["ciClass"] == "server"
        assert web["attributes"] == {
            "serial_number": "S1",
            "cpu_count": 8,
            "memory_mb": 16384,
            "ip": "10.0.0.1",
            "status": "Operational",
            "manufacturer": "Acme",
            "servicenow_sys_id": ids["web"],
            "servicenow_instance": "dev",
            "servicenow_class": "cmdb_ci_linux_server",
        }
        assert held["shop"]["attributes"]["version"] == "1.10"
        impact = await hub("analyzeImpact", id=web["id"], direction="downstream")
        assert {one["name"] for one in impact["items"]} == {"shop", "vm"}
        for ci_class in ("server", "application", "virtual_machine"):
            again = await hub("pullServiceNow", ciClass=ci_class)
            counts = [again[key] for key in ("created", "updated", "relationsCreated")]
            assert counts == [0, 0, 0]
            assert again["unchanged"] == again["read"]
        assert {one["version"] for one in (await items(hub)).values()} == {1}


async def test_a_ci_that_was_renamed_or_changed_is_the_same_item(
    instance: ServiceNow, now: Any
) -> None:
    ids = estate(instance)
    await now("pullServiceNow", ciClass="server")
    before = (await items(now))["web"]
    await now("updateItem", id=before["id"], attributes={"owner": "ops"}, expectedVersion=1)
    instance.rows[ids["web"]] |= {"name": "web-01", "ram": "32768"}
    told = await now("pullServiceNow", ciClass="server")
    assert (told["updated"], told["unchanged"]) == (1, 1)
    assert {one["field"] for one in told["updates"][0]["changes"]} == {
        "name",
        "attributes.memory_mb",
    }
    after = (await items(now))["web-01"]
    assert after["id"] == before["id"]
    assert (after["attributes"]["memory_mb"], after["attributes"]["owner"]) == (32768, "ops")
    entry = (await now("getHistory", id=after["id"]))["items"][0]
    assert entry["tool"] == "pullServiceNow dev"


async def test_two_cis_of_one_name_are_two_items_and_one_that_nobody_linked_is_taken_over(
    instance: ServiceNow, now: Any
) -> None:
    ours = await now.item("web", serial_number="S1")
    first = instance.add("cmdb_ci_server", sys_id="0" * 31 + "1", name="web")
    second = instance.add("cmdb_ci_server", sys_id="abcdef01" + "0" * 24, name="web")
    for _ in range(2):
        await now("pullServiceNow", ciClass="server")
        held = await items(now)
        assert set(held) == {"web", "web (abcdef01)"}
        assert held["web"]["id"] == ours
        assert held["web"]["attributes"]["servicenow_sys_id"] == first
        assert held["web (abcdef01)"]["attributes"]["servicenow_sys_id"] == second
    # One alone, in a pull of its own, is still not the other.
    only = [{"field": "sys_id", "op": "eq", "value": second}]
    assert (await now("pullServiceNow", ciClass="server", conditions=only))["unchanged"] == 1


async def test_a_value_that_the_class_refuses_is_left_out_and_told(
    instance: ServiceNow, now: Any
) -> None:
    instance.add("cmdb_ci_server", name="web", ip_address="n/a", cpu_count="many", os="Linux")
    instance.add("cmdb_ci_server", name=" odd \n name\x00 ", os="x" * 500)
    told = await now("pullServiceNow", ciClass="server")
    assert told["problemCount"] == 2
    held = await items(now)
    assert set(held) == {"web", "odd name"}
    assert held["web"]["attributes"]["os"] == "Linux"
    assert not {"ip", "cpu_count"} & held["web"]["attributes"].keys()
    assert held["odd name"]["attributes"]["os"] == "x" * 200


async def test_cis_of_another_class_of_ours_are_left_to_that_class(
    instance: ServiceNow, now: Any
) -> None:
    estate(instance)
    instance.add("cmdb_ci_netgear", name="switch")
    told = await now("pullServiceNow", table="cmdb_ci_hardware")
    assert (told["ciClass"], told["created"]) == ("hardware", 0)
    assert told["otherClasses"] == {"server": 2, "network_device": 1}


async def test_a_clone_of_an_instance_does_not_take_over_what_came_from_the_other(
    instance: ServiceNow, connected: Any, tmp_path: Path
) -> None:
    clone = ServiceNow(tmp_path / "clone")
    estate(instance)
    for row in instance.of("cmdb_ci_server"):
        clone.add("cmdb_ci_server", sys_id=row["sys_id"], name=row["name"], ram="1")
    async with clone.server.running(), connected(instance, clone) as cmdb:
        await cmdb.refused("invalid_argument", "pullServiceNow", ciClass="server")
        await cmdb("pullServiceNow", ciClass="server", instance="dev")
        told = await cmdb("pullServiceNow", ciClass="server", instance="dev2")
        assert (told["created"], told["updated"], told["problemCount"]) == (0, 0, 2)
        assert (await items(cmdb))["web"]["attributes"]["memory_mb"] == 16384


async def test_all_pages_are_read_past_records_that_are_kept_back(
    instance: ServiceNow, now: Any
) -> None:
    ids = [
        instance.add("cmdb_ci_server", sys_id=f"{number:032x}", name=f"web-{number}")
        for number in range(2300)
    ]
    # More than a whole page in the middle, and the end.
    instance.hidden = {*ids[100:1300], *ids[2290:]}
    told = await now("pullServiceNow", ciClass="server", relations=False)
    assert (told["created"], told["hiddenByAcl"]) == (1090, 1210)
    pages = [one for one in instance.server.asked if "/table/cmdb_ci_server" in one.path]
    assert len(pages) <= 5


async def test_conditions_choose_what_comes_in_and_an_unknown_field_brings_nothing_in(
    instance: ServiceNow, now: Any
) -> None:
    estate(instance)
    wrong = [{"field": "serial_nummer", "op": "eq", "value": "S1"}]
    await now.refused("invalid_argument", "pullServiceNow", ciClass="server", conditions=wrong)
    assert await items(now) == {}
    right = [{"field": "serial_number", "op": "eq", "value": "S2"}]
    told = await now("pullServiceNow", ciClass="server", conditions=right)
    assert told["createdNames"] == ["spare"]
    for more in ({}, {"ciClass": "server", "table": "cmdb_ci_server"}, {"ciClass": "container"}):
        await now.refused("invalid_argument", "pullServiceNow", **more)


async def test_a_failure_half_way_brings_nothing_in_and_the_next_pull_does(
    instance: ServiceNow, now: Any
) -> None:
    for number in range(1500):
        instance.add("cmdb_ci_server", name=f"web-{number}")
    faults = instance.server.faults
    for break_it in (
        lambda: faults.fail("sys_id%3E|sys_id>", 500),
        lambda: faults.drop("cmdb_rel_ci", times=None),
        lambda: faults.garble("sys_id%3E|sys_id>"),
    ):
        break_it()
        result = await now.raw("pullServiceNow", ciClass="server")
        assert result["isError"], result
        faults.clear()
        assert await items(now) == {}
    assert (await now("pullServiceNow", ciClass="server"))["created"] == 1500


async def test_a_pull_that_is_cancelled_brings_nothing_in(instance: ServiceNow, now: Any) -> None:
    estate(instance)
    instance.server.faults.hang("cmdb_rel_ci")

    async def pull() -> None:
        await now.raw("pullServiceNow", ciClass="server")

    async with anyio.create_task_group() as group:
        group.start_soon(pull)
        await until(lambda: any("cmdb_rel_ci" in one.path for one in instance.server.asked))
        group.cancel_scope.cancel()
    assert await items(now) == {}
    instance.server.faults.clear()
    assert (await now("pullServiceNow", ciClass="server"))["created"] == 2
