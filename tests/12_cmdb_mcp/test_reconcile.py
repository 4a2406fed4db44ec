"""Reconciliation: what was shown is what is done, once, and only while it still holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Cmdb

pytestmark = pytest.mark.anyio

SCOPE = {"ciClasses": ["server"], "filters": [{"attribute": "site", "op": "eq", "value": "a"}]}


def seen(name: str, key: str | None = None, ci_class: str = "server", **attributes: Any) -> Any:
    told = {"ciClass": ci_class, "name": name, "attributes": attributes}
    return told if key is None else {**told, "key": key}


async def test_a_plan_does_what_it_showed(cmdb: Cmdb) -> None:
    same = await cmdb.item("same", site="a", os="x")
    moved = await cmdb.item("old-name", site="a", serial_number="S1", owner="ops")
    gone = await cmdb.item("gone", site="a")
    other = await cmdb.item("other", site="b")
    app = await cmdb.item("app", "application")
    ended = await cmdb.relate(app, "runs_on", gone)
    plan = await cmdb(
        "previewReconcile",
        source="scan",
        items=[
            seen("same", site="a", os="x"),
            seen("new-name", "serial_number", serial_number="S1", os="y"),
            seen("fresh", site="a"),
        ],
        relations=[
            {
                "source": {"ciClass": "application", "name": "app"},
                "type": "runs_on",
                "target": {"ciClass": "server", "name": "fresh"},
            }
        ],
        scope=SCOPE,
    )
    assert plan["counts"] == {
        "creates": 1, "updates": 1, "retires": 1, "relations": 1, "unchanged": 1
    }  # fmt: skip
    assert plan["updates"][0]["changes"] == [
        {"field": "name", "before": "old-name", "after": "new-name"},
        {"field": "attributes.os", "after": "y"},
    ]
    assert plan["retires"][0]["relationIds"] == [ended]
    assert (await cmdb("getItem", id=moved))["version"] == 1  # a preview changes nothing
    done = await cmdb("applyReconcile", planId=plan["planId"], hash=plan["hash"])
    assert (done["created"], done["updated"], done["retired"]) == (1, 1, 1)
    assert (await cmdb("getItem", id=moved))["name"] == "new-name"
    assert (await cmdb("getItem", id=moved))["attributes"]["owner"] == "ops"
    assert "retiredAt" in await cmdb("getItem", id=gone)
    for kept in (same, other):
        assert (await cmdb("getItem", id=kept))["version"] == 1
    relations = (await cmdb("listRelations", id=app))["items"]
    assert [one["target"]["id"] for one in relations] == done["createdIds"]
    entry = (await cmdb("getHistory", id=moved))["items"][0]
    assert entry["tool"] == f"applyReconcile {plan['planId']}"
    await cmdb.refused("conflict", "applyReconcile", planId=plan["planId"])  # once


async def preview(cmdb: Cmdb, *items: Any, **more: Any) -> str:
    return (await cmdb("previewReconcile", source="scan", items=list(items), **more))["planId"]


async def test_a_plan_is_refused_whole_when_anything_it_touches_has_changed(cmdb: Cmdb) -> None:
    one, two = await cmdb.item("one", site="a"), await cmdb.item("two", site="a")
    app = await cmdb.item("app", "application")

    update = await preview(cmdb, seen("one", os="x"), seen("fresh"))
    await cmdb("updateItem", id=one, attributes={"n": 1}, expectedVersion=1)
    error = await cmdb.refused("conflict", "applyReconcile", planId=update)
    assert [moved["id"] for moved in error["items"]] == [one]

    create = await preview(cmdb, seen("fresh"))
    fresh = await cmdb.item("fresh")
    error = await cmdb.refused("conflict", "applyReconcile", planId=create)
    assert [moved["id"] for moved in error["items"]] == [fresh]

    retire = await preview(cmdb, seen("one"), scope=SCOPE)
    await cmdb.relate(app, "runs_on", two)
    error = await cmdb.refused("conflict", "applyReconcile", planId=retire)
    assert [moved["id"] for moved in error["items"]] == [two]

    schema = await preview(cmdb, seen("another", colour="red"))
    await cmdb(
        "defineClass", name="server", parent="compute",
        attributeSchema={"properties": {"colour": {"type": "integer"}}},
    )  # fmt: skip
    await cmdb.refused("conflict", "applyReconcile", planId=schema)
    assert (await cmdb("getItem", id=two))["version"] == 1
    assert (await cmdb("searchItems", query="another"))["items"] == []


async def test_another_hash_is_refused(cmdb: Cmdb) -> None:
    plan = await preview(cmdb, seen("fresh"))
    await cmdb.refused("conflict", "applyReconcile", planId=plan, hash="0" * 64)


async def test_without_a_scope_nothing_is_retired(cmdb: Cmdb) -> None:
    await cmdb.item("kept", site="a")
    plan = await cmdb("previewReconcile", source="scan", items=[seen("fresh")])
    assert plan["retires"] == []


async def test_a_discovery_that_contradicts_itself_is_refused(cmdb: Cmdb) -> None:
    await cmdb.item("one", serial_number="S1")
    await cmdb.item("two", serial_number="S1")
    await cmdb.item("three", serial_number="S3")
    for code, items in (
        ("conflict", [seen("x", "serial_number", serial_number="S1")]),
        ("conflict", [seen("one", "serial_number", serial_number="S3")]),
        ("invalid_argument", [seen("x"), seen("x")]),
        ("invalid_argument", [seen("three"), seen("y", "serial_number", serial_number="S3")]),
        ("invalid_argument", [seen("x", "serial_number")]),
        ("invalid_argument", [seen("x", ip="nonsense")]),
        ("not_found", [seen("x", ci_class="nonsense")]),
    ):
        await cmdb.refused(code, "previewReconcile", source="scan", items=items)


async def test_only_the_newest_plans_of_a_principal_are_kept(cmdb: Cmdb) -> None:
    first = await preview(cmdb, seen("fresh"))
    other = await preview(cmdb.as_principal("bob"), seen("fresh"))
    for _ in range(50):
        await preview(cmdb, seen("fresh"))
    await cmdb.refused("not_found", "applyReconcile", planId=first)
    await cmdb("applyReconcile", planId=other)
