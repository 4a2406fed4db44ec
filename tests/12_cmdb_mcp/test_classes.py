"""Classes: what they inherit, which schemas are taken, and that no change breaks an item."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Cmdb

pytestmark = pytest.mark.anyio


async def test_a_class_inherits_and_its_items_count_as_its_parents(cmdb: Cmdb) -> None:
    made = await cmdb(
        "defineClass",
        name="gpu_server",
        parent="server",
        attributeSchema={
            "properties": {"gpu_count": {"type": "integer", "minimum": 1}},
            "required": ["gpu_count"],
        },
    )
    assert made["lineage"] == ["ci", "compute", "server", "gpu_server"]
    assert {"gpu_count", "ip", "owner", "serial_number"} <= set(
        made["attributeSchema"]["properties"]
    )
    error = await cmdb.refused(
        "invalid_argument", "createItem", ciClass="gpu_server", name="g", attributes={"ip": "x"}
    )
    assert len(error["problems"]) == 2
    id_ = await cmdb.item("g", "gpu_server", gpu_count=8)
    found = await cmdb("searchItems", ciClass="server")
    assert [one["id"] for one in found["items"]] == [id_]
    app = await cmdb.item("app", "application")
    await cmdb.relate(app, "runs_on", id_)
    listed = await cmdb("listClasses", parent="server")
    assert [(one["name"], one["itemCount"]) for one in listed["items"]] == [
        ("gpu_server", 1),
        ("server", 0),
    ]


async def test_a_change_that_breaks_items_is_refused_with_their_ids(cmdb: Cmdb) -> None:
    await cmdb("defineClass", name="thing")
    broken = await cmdb.item("a", "thing", size="big")
    await cmdb.item("b", "thing", size=3)
    schema = {"properties": {"size": {"type": "integer"}}}
    for dry_run in (True, False):
        error = await cmdb.refused(
            "conflict", "defineClass", name="thing", attributeSchema=schema, dryRun=dry_run
        )
        assert [one["id"] for one in error["items"]] == [broken]
    await cmdb("updateItem", id=broken, attributes={"size": 9}, expectedVersion=1)
    await cmdb("defineClass", name="thing", attributeSchema=schema, dryRun=True)
    assert (await cmdb("getClassSchema", ciClass="thing"))["ownAttributeSchema"] == {}
    await cmdb("defineClass", name="thing", attributeSchema=schema)
    await cmdb.refused(
        "invalid_argument", "createItem", ciClass="thing", name="c", attributes={"size": "x"}
    )
    await cmdb.refused("conflict", "defineClass", name="thing", abstract=True)
    await cmdb.refused("conflict", "defineClass", name="thing", parent="server")


async def test_a_change_of_a_parent_holds_for_the_items_below(cmdb: Cmdb) -> None:
    await cmdb("defineClass", name="top")
    await cmdb("defineClass", name="below", parent="top")
    broken = await cmdb.item("a", "below", size="big")
    error = await cmdb.refused(
        "conflict",
        "defineClass",
        name="top",
        attributeSchema={"properties": {"colour": {}}, "additionalProperties": False},
    )
    assert [one["id"] for one in error["items"]] == [broken]


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://example.com/schema.json"},
        {"properties": {"a": {"$ref": "https://example.com/schema.json"}}},
        {"properties": {"a": {"$ref": "#"}}},
        {"properties": {"a": {"type": "nonsense"}}},
        {"properties": {"a": {"minimum": "1"}}},
        {"properties": {"a": {"pattern": "(?=x)y"}}},
        {"properties": {"a": {"pattern": "("}}},
        {"properties": {"a": {"pattern": "a{1000}{1000}"}}},
        {"properties": {"a": {"pattern": "a" * 600}}},
        {"properties": {"a": {"patternProperties": {"(a+)+$": {}}}}},
        {"properties": {"a": {"unevaluatedProperties": False}}},
        {"properties": {'a"': {}}},
        {"properties": {"a": {"requierd": []}}},
        {"type": "array"},
        {"additionalProperties": {"type": "string"}},
        {"properties": []},
        {"allOf": 5},
        {"$schema": "http://json-schema.org/draft-07/schema#"},
    ],
)
async def test_a_schema_that_cannot_be_run_safely_is_refused(cmdb: Cmdb, schema: Any) -> None:
    await cmdb.refused("invalid_argument", "defineClass", name="x", attributeSchema=schema)


async def test_a_schema_is_bounded_in_depth_and_size(cmdb: Cmdb) -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(20):
        deep = {"items": deep}
    await cmdb.refused(
        "invalid_argument", "defineClass", name="x", attributeSchema={"properties": {"a": deep}}
    )
    large = {"properties": {f"a{n}": {"description": "x" * 100} for n in range(200)}}
    await cmdb.refused("too_large", "defineClass", name="x", attributeSchema=large)


async def test_a_pattern_that_would_backtrack_for_ever_answers_at_once(cmdb: Cmdb) -> None:
    schema = {"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    await cmdb("defineClass", name="evil", attributeSchema=schema)
    started = perf_counter()
    await cmdb.refused(
        "invalid_argument",
        "createItem",
        ciClass="evil",
        name="x",
        attributes={"a": "a" * 10_000 + "!"},
    )
    assert perf_counter() - started < 5


async def test_the_root_and_the_depth_are_kept(cmdb: Cmdb) -> None:
    await cmdb.refused("invalid_argument", "defineClass", name="ci")
    parent = "ci"
    for level in range(11):
        await cmdb("defineClass", name=f"level{level}", parent=parent)
        parent = f"level{level}"
    await cmdb.refused("invalid_argument", "defineClass", name="deeper", parent=parent)


async def test_validation_finds_what_another_hand_made_invalid(cmdb: Cmdb) -> None:
    for number in range(5):
        await cmdb.item(f"s{number}")
    told = await cmdb("validateAll")
    assert (told["checked"], told["items"], told["truncated"]) == (5, [], False)
    id_ = (await cmdb("searchItems", limit=1))["items"][0]["id"]
    told = await cmdb("validateItem", id=id_)
    assert (told["valid"], told["problems"]) == (True, [])
