"""What there is in Azure: groups, resources of any type, tags, networks, storage."""

import json
from typing import Any

import pytest

from tests.backends.azure.estate import OTHER, SUBSCRIPTION

from .conftest import House, OpenHouse, Person, Tools, furnished

pytestmark = pytest.mark.anyio

STORAGE = "Microsoft.Storage/storageAccounts"


async def all_pages(tools: Tools, tool: str, **arguments: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await tools(tool, **arguments, **cursor)
        assert len(json.dumps(page)) < 48 * 1024
        found += page["items"]
        if "nextCursor" not in page:
            return found
        cursor = {"cursor": page["nextCursor"]}


async def test_subscriptions_are_named_and_taken_by_name(house: House) -> None:
    house.estate.group("elsewhere", OTHER)
    async with house.tools() as tools:
        listed = await tools("listSubscriptions")
        groups = await tools("listResourceGroups", subscription="sandbox")
        error = await tools.refused("not_found", "listResourceGroups", subscription="nowhere")
    assert [(each["name"], each["account"]) for each in listed["items"]] == [
        ("Production", "main"),
        ("Sandbox", "main"),
    ]
    assert [each["name"] for each in groups["items"]] == ["elsewhere"]
    assert "Production" in error["hint"]


async def test_only_listed_subscriptions_may_be_used(open_house: OpenHouse) -> None:
    async with open_house(account={"subscriptions": [SUBSCRIPTION]}) as house:
        furnished(house.estate, "web", {"web-1": "running"})
        house.estate.group("elsewhere", OTHER)
        hidden = f"/subscriptions/{OTHER}/resourceGroups/elsewhere"
        async with house.tools() as tools:
            assert [each["id"] for each in (await tools("listSubscriptions"))["items"]] == [
                SUBSCRIPTION
            ]
            for tool, asked in (
                ("listResources", {"subscription": OTHER}),
                ("getResource", {"id": hidden}),
                ("tagResource", {"id": hidden, "tags": {"a": "b"}}),
                ("queryResources", {"query": "resources", "subscriptions": [OTHER]}),
            ):
                error = await tools.refused("not_allowed", tool, **asked)
                assert error["reason"] == "subscription_not_listed"
            found = await tools("queryResources", query="resources | project id")
        assert found["total"] == 3
        assert all(OTHER not in each.path for each in house.server.asked)


async def test_a_group_is_made_read_and_deleted_with_what_is_in_it(house: House) -> None:
    person = Person()
    async with house.tools(person) as tools:
        made = {"name": "fresh", "location": "westeurope", "tags": {"owner": "ada"}}
        await tools("createResourceGroup", **made)
        await tools("createResourceGroup", **made)  # there already, and alike
        other = {**made, "tags": {"owner": "eve"}}
        await tools.refused("conflict", "createResourceGroup", **other)
        group = house.estate.resources[f"/subscriptions/{SUBSCRIPTION}/resourcegroups/fresh"]
        assert group["tags"] == {"owner": "ada"}
        for name in ("a", "b"):
            house.estate.resource("fresh", STORAGE, name)
        lock = {"name": "keep", "properties": {"level": "CanNotDelete"}}
        house.estate.locks[group["id"].lower()] = [lock]
        told = await tools("getResourceGroup", name="fresh")
        assert told["locks"] == ["keep (CanNotDelete)"]
        deletion = {"name": "fresh", "confirmName": "fresh"}
        error = await tools.refused("conflict", "deleteResourceGroup", **deletion)
        assert error["upstreamCode"] == "ScopeLocked"
        assert "2 resources go with it" in person.asked[-1]
        assert "lock keep (CanNotDelete) will refuse" in person.asked[-1]
        assert "microsoft.storage/storageaccounts" in person.asked[-1]
        del house.estate.locks[group["id"].lower()]
        wrong = {"name": "fresh", "confirmName": "frosh"}
        await tools.refused("invalid_argument", "deleteResourceGroup", **wrong)
        begun = await tools("deleteResourceGroup", **deletion)
        assert group["id"].lower() in house.estate.resources
        ended = await tools("getOperation", operationId=begun["operationId"], waitS=10)
        assert ended["status"] == "succeeded"
        assert not [key for key in house.estate.resources if "/fresh" in key]
        await tools.refused("not_found", "getResourceGroup", name="fresh")


async def test_a_list_asks_for_no_more_pages_than_it_shows(house: House) -> None:
    house.estate.group("many")
    for number in range(230):
        house.estate.resource("many", STORAGE, f"store{number:03}", tags={"n": str(number)})
    async with house.tools() as tools:
        first = await tools("listResources", resourceGroup="many", limit=20)
        (asked,) = house.asked_for("GET /subscriptions/" + SUBSCRIPTION + "/resourceGroups/many")
        assert "$top=20" in asked
        assert [each["name"] for each in first["items"]] == [f"store{n:03}" for n in range(20)]
        whole = await all_pages(tools, "listResources", resourceGroup="many", limit=100)
        assert [each["name"] for each in whole] == [f"store{n:03}" for n in range(230)]
        # Storage takes no $top: one of its pages serves several of ours.
        house.server.asked.clear()
        page = await tools("listStorageAccounts", resourceGroup="many", limit=30)
        assert len(house.asked_for("storageAccounts")) == 1
        more = {"resourceGroup": "many", "limit": 30, "cursor": page["nextCursor"]}
        page = await tools("listStorageAccounts", **more)
        assert [each["name"] for each in page["items"]] == [f"store{n:03}" for n in range(30, 60)]
        assert len(house.asked_for("storageAccounts")) == 3
        await tools.refused("invalid_argument", "listResources", **more)  # another list's cursor


async def test_a_long_list_stays_below_what_an_answer_may_have(house: House) -> None:
    house.estate.group("wide")
    for number in range(300):
        tags = {f"key-{n}-{'k' * 100}": "v" * 200 for n in range(15)}
        house.estate.resource("wide", STORAGE, f"wide{number:03}", tags=tags)
    async with house.tools() as tools:
        page = await tools("listResources", resourceGroup="wide", limit=500)
        assert 0 < page["returned"] < 300
        found = await all_pages(tools, "listResources", resourceGroup="wide", limit=500)
    assert len({each["name"] for each in found}) == 300


async def test_resources_are_filtered_by_type_location_and_tag(house: House) -> None:
    house.estate.group("mixed")
    house.estate.resource("mixed", STORAGE, "one", tags={"team": "a"})
    house.estate.resource("mixed", "Microsoft.Compute/disks", "two", tags={"team": "b"})
    async with house.tools() as tools:
        for condition, names in (
            ({"type": "Microsoft.Compute/disks"}, ["two"]),
            ({"tag": "team=a"}, ["one"]),
            ({"location": "northeurope"}, []),
        ):
            page = await tools("listResources", resourceGroup="mixed", **condition)
            assert [each["name"] for each in page["items"]] == names
        both = {"type": "Microsoft.Compute/disks", "tag": "team=a"}
        await tools.refused("invalid_argument", "listResources", **both)
        injected = {"tag": "team=a' or name eq 'one"}
        await tools.refused("invalid_argument", "listResources", **injected)


async def test_networks_and_their_rules_are_summed_up(house: House) -> None:
    furnished(house.estate, "net")
    rule = {
        "name": "ssh",
        "properties": {
            "priority": 100,
            "direction": "Inbound",
            "access": "Allow",
            "protocol": "Tcp",
            "sourceAddressPrefix": "*",
            "destinationAddressPrefixes": ["10.0.0.0/24", "10.0.1.0/24"],
            "destinationPortRange": "22",
        },
    }
    later = {"name": "later", "properties": {"priority": 200}}
    kind = "Microsoft.Network/networkSecurityGroups"
    house.estate.resource("net", kind, "front", {"securityRules": [later, rule]})
    store = house.estate.resource("net", STORAGE, "open", {"allowBlobPublicAccess": True})
    store["kind"] = "BlobStorage"
    async with house.tools() as tools:
        (network,) = (await tools("listVirtualNetworks", resourceGroup="net"))["items"]
        (group,) = (await tools("listNetworkSecurityGroups", resourceGroup="net"))["items"]
        (storage,) = (await tools("listStorageAccounts", resourceGroup="net"))["items"]
    assert network["addressSpace"] == ["10.0.0.0/16"]
    assert network["subnets"][0]["prefix"] == "10.0.0.0/24"
    assert [each["name"] for each in group["rules"]] == ["ssh", "later"]
    assert group["rules"][0]["destination"] == "10.0.0.0/24, 10.0.1.0/24"
    assert (storage["publicBlobs"], storage["kind"]) == (True, "BlobStorage")


async def test_tags_are_merged_replaced_and_deleted(house: House) -> None:
    house.estate.group("tagged")
    store = house.estate.resource("tagged", STORAGE, "t", tags={"a": "1", "b": "2"})
    person = Person()
    async with house.tools(person) as tools:
        told = await tools("tagResource", id=store["id"], tags={"b": "3", "c": "4"})
        assert told["tags"] == store["tags"] == {"a": "1", "b": "3", "c": "4"}
        assert "tags.b" in person.asked[-1]
        assert "2" in person.asked[-1]
        drop = {"id": store["id"], "tags": {"b": ""}, "operation": "delete"}
        assert (await tools("tagResource", **drop))["tags"] == {"a": "1", "c": "4"}
        new = {"id": store["id"], "tags": {"z": "0"}, "operation": "replace"}
        await tools("tagResource", **new)
        assert house.estate.find(store["id"])["tags"] == {"z": "0"}
        await tools.refused(
            "invalid_argument", "tagResource", id="/subscriptions/x", tags={"a": ""}
        )


async def test_a_resource_is_read_whole_or_in_parts(house: House) -> None:
    house.estate.group("whole")
    rules = [{"name": f"rule-{n}", "text": "x" * 500} for n in range(200)]
    site = house.estate.resource(
        "whole", "Microsoft.Web/sites", "shop", {"rules": rules, "host": "shop.example"}
    )
    async with house.tools() as tools:
        told = await tools("getResource", id=site["id"])
        assert told["properties"]["host"] == "shop.example"
        assert told["apiVersion"] == "2023-12-01"  # the newest that is no preview
        assert (told["truncated"], told["leftOut"]) == (True, ["properties.rules"])
        part = await tools("getResource", id=site["id"], part="properties.rules.7")
        assert part["properties"]["name"] == "rule-7"
        wrong = {"id": site["id"], "part": "properties.nothing"}
        await tools.refused("not_found", "getResource", **wrong)
        gone = site["id"].replace("shop", "shut")
        error = await tools.refused("not_found", "getResource", id=gone)
        assert error["upstreamCode"] == "ResourceNotFound"


async def test_a_deletion_without_a_place_to_follow_is_followed_by_the_resource(
    house: House,
) -> None:
    house.estate.group("quiet")
    disk = house.estate.resource("quiet", "Microsoft.Compute/disks", "plain")
    house.estate.instead["/disks/plain"] = (202, None, {})
    async with house.tools() as tools:
        begun = await tools("deleteResource", id=disk["id"], confirmName="plain")
        house.estate.instead.clear()
        disk["properties"]["provisioningState"] = "Deleting"
        now = await tools("getOperation", operationId=begun["operationId"])
        house.estate.remove(disk["id"])
        ended = await tools("getOperation", operationId=begun["operationId"])
    assert (begun["status"], now["status"], ended["status"]) == ("running", "running", "succeeded")


async def test_a_resource_is_deleted_but_not_what_guards_others(house: House) -> None:
    group = house.estate.group("trash")
    disk = house.estate.resource("trash", "Microsoft.Compute/disks", "old")
    store = house.estate.resource("trash", STORAGE, "now")
    async with house.tools() as tools:
        wrong = {"id": disk["id"], "confirmName": "new"}
        await tools.refused("invalid_argument", "deleteResource", **wrong)
        begun = await tools("deleteResource", id=disk["id"], confirmName="old")
        ended = await tools("getOperation", operationId=begun["operationId"], waitS=10)
        assert ended["status"] == "succeeded"
        assert disk["id"].lower() not in house.estate.resources
        done = await tools("deleteResource", id=store["id"], confirmName="now")
        assert done["status"] == "succeeded"  # Azure deletes it at once
        assert store["id"].lower() not in house.estate.resources
        await tools.refused("not_found", "deleteResource", id=store["id"], confirmName="now")
        lock = f"{group['id']}/providers/Microsoft.Authorization/locks/keep"
        error = await tools.refused("not_allowed", "deleteResource", id=lock, confirmName="keep")
        assert error["reason"] == "guards_others"
        whole = {"id": group["id"], "confirmName": "trash"}
        await tools.refused("invalid_argument", "deleteResource", **whole)
    assert group["id"].lower() in house.estate.resources
