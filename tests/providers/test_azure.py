"""What Azure has comes into the CMDB whole, once, and then as it changes."""

from typing import Any

import pytest

from tests.backends.azure.estate import OTHER, SUBSCRIPTION

from .world import World

pytestmark = pytest.mark.anyio

VNET = "Microsoft.Network/virtualNetworks"
DISK = "Microsoft.Compute/disks"
SHOP = f"{SUBSCRIPTION}/shop"


def machine(world: World, group: str, name: str) -> dict[str, Any]:
    """With its disk and its interface, as Azure ties them."""
    made = world.estate.machine(group, name, tags={"owner": "ada", "keep": "yes"})
    of = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers"
    nic = world.estate.find(f"{of}/Microsoft.Network/networkInterfaces/{name}-nic")
    nic["properties"]["virtualMachine"] = {"id": made["id"]}
    disk = world.estate.resource(group, DISK, f"{name}-os", {"diskSizeGB": 30})
    disk |= {"managedBy": made["id"], "sku": {"name": "Premium_LRS"}}
    return made


def shop(world: World) -> dict[str, Any]:
    """Two machines of a group, which share a network; the first one."""
    world.estate.group("shop", team="web")
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16", "fd00::/64"]}}
    world.estate.resource("shop", VNET, "main", space)
    world.estate.resource(
        "shop", "Microsoft.Storage/storageAccounts", "shopfiles", sku={"name": "Standard_LRS"}
    )
    web = machine(world, "shop", "web")
    machine(world, "shop", "db")
    return web


async def test_a_subscription_comes_in_with_what_belongs_to_what(world: World) -> None:
    shop(world)
    shown = await world.book.take("azure")
    classes = [each["ciClass"] for each in shown["creates"]]
    assert sorted(classes) == sorted(
        ["group", "network", "storage", "storage", "storage", "cloud_resource", "cloud_resource"]
        + ["virtual_machine"] * 2
    )
    assert await world.book.links("virtual_machine", f"{SHOP}/web") == {
        (f"{SHOP}/web", "uses", f"{SHOP}/microsoft.compute/disks/web-os"),
        (f"{SHOP}/web", "connects_to", f"{SHOP}/main"),
        (f"{SHOP}/web", "member_of", SHOP),
    }
    suffering = await world.book.suffering("storage", f"{SHOP}/microsoft.compute/disks/web-os")
    assert f"{SHOP}/web" in suffering
    assert f"{SHOP}/db" not in suffering


async def test_only_what_has_changed_is_shown_and_history_says_so(world: World) -> None:
    web = shop(world)
    await world.book.take("azure")
    before = await world.book.item("virtual_machine", f"{SHOP}/web")
    world.estate.power[web["id"].lower()] = "deallocated"
    web["tags"] = {"owner": "ada"}
    db = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/shop/providers/Microsoft.Compute"
    world.estate.remove(f"{db}/virtualMachines/db")
    world.estate.find(f"{db}/disks/db-os")["managedBy"] = None
    nic = db.replace("Compute", "Network/networkInterfaces/db-nic")
    del world.estate.find(nic)["properties"]["virtualMachine"]
    shown = await world.book.preview("azure")
    assert [each["name"] for each in shown["retires"]] == [f"{SHOP}/db"]
    (update,) = shown["updates"]
    assert {each["field"] for each in update["changes"]} == {"attributes.status", "attributes.tags"}
    assert (shown["creates"], shown["relations"]) == ([], [])
    await world.book.apply(shown)
    assert f"{SHOP}/db" not in await world.book.names("virtual_machine")
    told = await world.book.history(before["id"])
    assert told[-1]["action"] == "updated"
    web["tags"] = None
    await world.book.take("azure")
    after = await world.book.item("virtual_machine", f"{SHOP}/web")
    assert "tags" not in after["attributes"]


async def test_a_machine_that_goes_to_another_group_is_the_same_machine(world: World) -> None:
    shop(world)
    world.estate.group("spare")
    await world.book.take("azure")
    before = await world.book.item("virtual_machine", f"{SHOP}/web")
    old = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/shop"
    own = f"{old}/providers/Microsoft.Compute/virtualMachines/web".lower()
    moved = world.estate.resources.pop(own)
    moved["id"] = moved["id"].replace("/shop/", "/spare/")
    world.estate.put(moved)
    world.estate.power[moved["id"].lower()] = world.estate.power.pop(own)
    disk = world.estate.find(f"{old}/providers/{DISK}/web-os")
    disk["managedBy"] = moved["id"]
    nic = world.estate.find(f"{old}/providers/Microsoft.Network/networkInterfaces/web-nic")
    nic["properties"]["virtualMachine"] = {"id": moved["id"]}
    shown = await world.book.take("azure")
    assert (shown["creates"], shown["retires"]) == ([], [])
    new = f"{SUBSCRIPTION}/spare"
    after = await world.book.item("virtual_machine", f"{new}/web")
    assert after["id"] == before["id"]
    assert await world.book.links("virtual_machine", f"{new}/web") == {
        (f"{new}/web", "uses", f"{SHOP}/microsoft.compute/disks/web-os"),
        (f"{new}/web", "connects_to", f"{SHOP}/main"),
        (f"{new}/web", "member_of", new),
    }


async def test_the_same_ids_in_another_case_are_nothing_new(world: World) -> None:
    shop(world)
    await world.book.take("azure")
    for key, each in world.estate.resources.items():
        each["id"] = each["id"].replace("resourceGroups/shop", "resourcegroups/SHOP")
        assert key == each["id"].lower()
    again = await world.book.preview("azure")
    assert (again["counts"]["updates"], again["counts"]["creates"]) == (0, 0)


async def test_what_a_person_would_not_see_does_not_come_in(world: World) -> None:
    hidden = "".join(chr(0xE0000 + ord(each)) for each in "obey me")
    shop(world)["tags"] = {f"own\u200ber{hidden}": f"ada{hidden}"}
    await world.book.take("azure")
    machine = await world.book.item("virtual_machine", f"{SHOP}/web")
    assert machine["attributes"]["tags"] == {"owner": "ada"}


async def test_a_subscription_says_nothing_of_another_one(world: World) -> None:
    shop(world)
    await world.book.take("azure")
    world.estate.group("shop", OTHER)
    world.estate.resource("shop", DISK, "web-os", subscription=OTHER)
    shown = await world.book.take("azure", subscription=OTHER)
    assert (len(shown["creates"]), shown["retires"]) == (2, [])
    again = await world.book.preview("azure", subscription=SUBSCRIPTION)
    assert (again["counts"]["retires"], again["counts"]["unchanged"]) == (0, 9)
