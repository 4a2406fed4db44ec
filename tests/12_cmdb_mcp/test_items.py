"""Items: made, read, changed, renamed, retired, and remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

if TYPE_CHECKING:
    from conftest import Cmdb

pytestmark = pytest.mark.anyio


async def test_a_created_item_is_read_back_as_it_was_given(cmdb: Cmdb) -> None:
    attributes = {"ip": "10.0.0.1", "cpu_count": 8, "nested": {"a": [1, None, "ü"]}, "x": 1.5}
    made = await cmdb("createItem", ciClass="server", name="web-01", attributes=attributes)
    assert made["attributes"] == attributes
    assert made["version"] == 1
    assert set(made) == {
        "id", "ciClass", "name", "attributes", "version", "createdAt", "updatedAt"
    }  # fmt: skip
    assert await cmdb("getItem", id=made["id"]) == made


async def test_an_update_merges_removes_by_null_and_renames(cmdb: Cmdb) -> None:
    id_ = await cmdb.item("web-01", ip="10.0.0.1", os="Debian", owner="ops")
    changed = await cmdb(
        "updateItem",
        id=id_,
        attributes={"os": "Fedora", "owner": None, "rack": 4},
        expectedVersion=1,
        name="web-1",
    )
    assert changed["attributes"] == {"ip": "10.0.0.1", "os": "Fedora", "rack": 4}
    assert (changed["name"], changed["version"]) == ("web-1", 2)
    assert changed["updatedAt"] > changed["createdAt"]


async def test_an_update_that_changes_nothing_keeps_the_version(cmdb: Cmdb) -> None:
    id_ = await cmdb.item("web-01", cpu_count=4)
    kept = await cmdb("updateItem", id=id_, attributes={"cpu_count": 4}, expectedVersion=1)
    assert kept["version"] == 1
    assert len((await cmdb("getHistory", id=id_))["items"]) == 1


async def test_a_stale_version_is_a_conflict_that_tells_the_current_one(cmdb: Cmdb) -> None:
    id_ = await cmdb.item("web-01")
    await cmdb("updateItem", id=id_, attributes={"os": "a"}, expectedVersion=1)
    error = await cmdb.refused(
        "conflict", "updateItem", id=id_, attributes={"os": "b"}, expectedVersion=1
    )
    assert error["currentVersion"] == 2
    assert (await cmdb("getItem", id=id_))["attributes"]["os"] == "a"


async def test_of_two_updaters_of_one_version_exactly_one_wins(cmdb: Cmdb) -> None:
    id_ = await cmdb.item("web-01")
    outcomes: list[bool] = []

    async def update(os: str) -> None:
        result = await cmdb.raw("updateItem", id=id_, attributes={"os": os}, expectedVersion=1)
        outcomes.append(result["isError"])

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(update, "one")
            tasks.start_soon(update, "two")
    assert sorted(outcomes) == [False, True]
    assert (await cmdb("getItem", id=id_))["version"] == 2


async def test_twenty_parallel_writers_all_succeed(cmdb: Cmdb) -> None:
    made: list[str] = []

    async def create(number: int) -> None:
        made.append(await cmdb.item(f"server-{number}"))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(create, number)
    assert len(set(made)) == 20
    assert (await cmdb("searchItems"))["returned"] == 20


async def test_parallel_creators_of_one_name_make_one_item(cmdb: Cmdb) -> None:
    results: list[bool] = []

    async def create() -> None:
        made = await cmdb.raw("createItem", ciClass="server", name="only", attributes={})
        results.append(made["isError"])

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(create)
    assert sorted(results) == [False, True, True, True, True]


async def test_a_taken_name_is_a_conflict_with_the_id_that_has_it(cmdb: Cmdb) -> None:
    first = await cmdb.item("web-01")
    other = await cmdb.item("web-02")
    error = await cmdb.refused(
        "conflict", "createItem", ciClass="server", name="web-01", attributes={}
    )
    assert error["existingId"] == first
    error = await cmdb.refused(
        "conflict", "updateItem", id=other, attributes={}, name="web-01", expectedVersion=1
    )
    assert error["existingId"] == first
    await cmdb.item("web-01", "virtual_machine")  # another class, another name


async def test_a_retired_item_leaves_the_live_inventory_and_stays_readable(cmdb: Cmdb) -> None:
    server, app = await cmdb.item("web-01", owner="ops"), await cmdb.item("shop", "application")
    relation = await cmdb.relate(app, "runs_on", server)
    retired = await cmdb("retireItem", id=server, expectedVersion=1)
    assert retired["item"]["version"] == 2
    assert [one["id"] for one in retired["endedRelations"]] == [relation]
    assert [one["id"] for one in retired["dependents"]] == [app]
    assert (await cmdb("listRelations", id=app))["items"] == []
    told = (await cmdb("getHistory", id=app))["items"][0]
    assert (told["action"], told["version"]) == ("unrelated", 1)
    assert [one["id"] for one in (await cmdb("searchItems"))["items"]] == [app]
    everything = await cmdb("searchItems", includeRetired=True, query="ops")
    assert [one["id"] for one in everything["items"]] == [server]
    assert "retiredAt" in await cmdb("getItem", id=server)
    assert await cmdb.item("web-01") != server  # the name is free again
    await cmdb.refused("conflict", "retireItem", id=server)
    await cmdb.refused("conflict", "updateItem", id=server, attributes={}, expectedVersion=2)


async def test_history_tells_who_changed_what_under_which_call(cmdb: Cmdb) -> None:
    id_ = await cmdb.item("web-01", os="Debian")
    bob = cmdb.as_principal("bob")
    await bob("updateItem", id=id_, attributes={"os": "Fedora"}, expectedVersion=1)
    other = await cmdb.item("shop", "application")
    relation = await bob.relate(other, "runs_on", id_)
    entries = (await cmdb("getHistory", id=id_))["items"]
    assert [entry["action"] for entry in entries] == ["related", "updated", "created"]
    assert [entry["principal"] for entry in entries] == ["bob", "bob", "alice"]
    updated = entries[1]
    assert updated["changes"] == [{"field": "attributes.os", "before": "Debian", "after": "Fedora"}]
    assert (updated["version"], updated["tool"]) == (2, "updateItem")
    assert updated["correlationId"] == "corr-updateItem"
    assert entries[0]["changes"][0]["after"]["id"] == relation
    # What bob did to one item is not in the history of another.
    assert [e["principal"] for e in (await cmdb("getHistory", id=other))["items"]] == [
        "bob",
        "alice",
    ]


async def test_history_pages_without_gaps(cmdb: Cmdb) -> None:
    id_ = await cmdb.item("web-01")
    for version in range(1, 6):
        await cmdb("updateItem", id=id_, attributes={"n": version}, expectedVersion=version)
    versions: list[int] = []
    page = await cmdb("getHistory", id=id_, limit=2)
    versions += [entry["version"] for entry in page["items"]]
    while "nextCursor" in page:
        page = await cmdb("getHistory", id=id_, limit=2, cursor=page["nextCursor"])
        versions += [entry["version"] for entry in page["items"]]
    assert versions == [6, 5, 4, 3, 2, 1]


async def test_attributes_that_no_database_holds_are_refused(cmdb: Cmdb) -> None:
    deep: object = 1
    for _ in range(40):
        deep = [deep]
    for bad in ({"n": 2**70}, {"n": float("nan")}, {"n": deep}, {'a"b': 1}, {"n": [0] * 1001}):
        await cmdb.refused(
            "invalid_argument", "createItem", ciClass="server", name="x", attributes=bad
        )
    await cmdb.refused(
        "too_large", "createItem", ciClass="server", name="x", attributes={"n": "x" * 20_000}
    )


async def test_an_unknown_class_tells_the_nearest_names(cmdb: Cmdb) -> None:
    error = await cmdb.refused("not_found", "createItem", ciClass="servr", name="x", attributes={})
    assert "server" in error["hint"]
    error = await cmdb.refused(
        "invalid_argument", "createItem", ciClass="compute", name="x", attributes={}
    )
    assert "virtual_machine" in error["hint"]


async def test_unfit_attributes_tell_every_problem_by_its_field(cmdb: Cmdb) -> None:
    error = await cmdb.refused(
        "invalid_argument",
        "createItem",
        ciClass="server",
        name="x",
        attributes={"ip": "300.1.1.1", "cpu_count": -1},
    )
    assert {one["field"] for one in error["problems"]} == {
        "attributes.ip",
        "attributes.cpu_count",
    }
