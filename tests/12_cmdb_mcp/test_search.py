"""Search: words, conditions, pages, and strings that mean harm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Cmdb

pytestmark = pytest.mark.anyio

HOSTILE = (
    "'; DROP TABLE item; --",
    '" OR 1=1 --',
    "NEAR(a b)",
    "a AND (b OR",
    "name:x*",
    "'a':* & !b | <-> (",
    "%_\\",
    "{{7*7}} ${x} \x01\x7f",
    "ﬀ İ ß 漢字 \U0001e900",
)


async def names(cmdb: Cmdb, **arguments: Any) -> list[str]:
    return [one["name"] for one in (await cmdb("searchItems", **arguments))["items"]]


def only(attribute: str, op: str, value: Any = None) -> dict[str, Any]:
    told = {"attribute": attribute, "op": op}
    return {"filters": [told if value is None else {**told, "value": value}]}


async def test_words_match_by_their_start_in_name_and_attributes(cmdb: Cmdb) -> None:
    await cmdb.item("web-01.example.com", os="Debian 12", tags=["Café"])
    await cmdb.item("db-01", os="Fedora")
    assert await names(cmdb, query="WEB exam") == ["web-01.example.com"]
    assert await names(cmdb, query="cafe") == ["web-01.example.com"]
    assert await names(cmdb, query="deb") == ["web-01.example.com"]
    assert await names(cmdb, query="01") == ["db-01", "web-01.example.com"]
    assert await names(cmdb, query="web fedora") == []
    await cmdb.refused("invalid_argument", "searchItems", query="*** ---")


async def test_words_follow_a_change_of_the_item(cmdb: Cmdb) -> None:
    id_ = await cmdb.item("web", os="Debian")
    await cmdb("updateItem", id=id_, attributes={"os": "Fedora"}, expectedVersion=1)
    assert await names(cmdb, query="debian") == []
    assert await names(cmdb, query="fedora") == ["web"]


async def test_a_class_brings_its_subclasses_unless_told_not_to(cmdb: Cmdb) -> None:
    await cmdb.item("a", "server")
    await cmdb.item("b", "virtual_machine")
    await cmdb.item("c", "application")
    assert await names(cmdb, ciClass="compute") == ["a", "b"]
    assert await names(cmdb, ciClass="compute", includeSubclasses=False) == []
    assert await names(cmdb, ciClass="application") == ["c"]


async def test_conditions_compare_by_type(cmdb: Cmdb) -> None:
    await cmdb.item("num", x=5, flag=True, tags=["a", "b"])
    await cmdb.item("text", x="5", flag=False, tags=["b"])
    await cmdb.item("float", x=7.5, flag=1)
    await cmdb.item("none")
    expected: list[tuple[dict[str, Any], list[str]]] = [
        (only("x", "eq", 5), ["num"]),
        (only("x", "eq", 5.0), ["num"]),
        (only("x", "eq", "5"), ["text"]),
        (only("x", "ne", 5), ["float", "none", "text"]),
        (only("x", "gt", 5), ["float"]),
        (only("x", "ge", 5), ["float", "num"]),
        (only("x", "lt", 7.6), ["float", "num"]),
        (only("x", "le", "5"), ["text"]),
        (only("x", "in", [5, "5", 9]), ["num", "text"]),
        (only("x", "in", []), []),
        (only("flag", "eq", True), ["num"]),
        (only("flag", "eq", 1), ["float"]),
        (only("flag", "exists", True), ["float", "num", "text"]),
        (only("flag", "exists", False), ["none"]),
        (only("tags", "contains", "a"), ["num"]),
        (only("tags", "contains", "b"), ["num", "text"]),
        (only("x", "contains", "5"), ["text"]),
    ]
    for arguments, found in expected:
        assert await names(cmdb, **arguments) == found, arguments


async def test_a_condition_of_the_wrong_kind_says_what_it_takes(cmdb: Cmdb) -> None:
    for op, value in (
        ("exists", 5), ("in", 5), ("eq", [1]), ("eq", None), ("gt", True), ("eq", 2**80),
    ):  # fmt: skip
        await cmdb.refused("invalid_argument", "searchItems", **only("x", op, value))


@pytest.mark.parametrize("sort", ["name", "createdAt", "updatedAt"])
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_show_everything_once_while_items_come_and_go(
    cmdb: Cmdb, sort: str, order: str
) -> None:
    made = {f"s{number:02}": await cmdb.item(f"s{number:02}") for number in range(12)}
    page = await cmdb("searchItems", sort=sort, order=order, limit=5)
    seen = [one["name"] for one in page["items"]]
    # One that was shown leaves: nothing after it may be skipped.
    await cmdb("retireItem", id=made[seen[0]])
    while "nextCursor" in page:
        page = await cmdb("searchItems", sort=sort, order=order, limit=5, cursor=page["nextCursor"])
        seen += [one["name"] for one in page["items"]]
    assert seen == sorted(made, reverse=order == "desc")


async def test_a_cursor_of_another_order_is_refused(cmdb: Cmdb) -> None:
    for number in range(3):
        await cmdb.item(f"s{number}")
    cursor = (await cmdb("searchItems", limit=1))["nextCursor"]
    for other in ({"order": "desc"}, {"sort": "createdAt"}):
        await cmdb.refused("invalid_argument", "searchItems", cursor=cursor, **other)


async def test_large_items_are_paged_by_size(cmdb: Cmdb) -> None:
    for number in range(40):
        await cmdb.item(f"s{number:02}", text="x" * 15_000)
    page = await cmdb("searchItems", limit=500)
    assert page["truncated"]
    assert 1 <= page["returned"] < 40
    assert await names(cmdb, limit=500, cursor=page["nextCursor"])


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_is_only_text(cmdb: Cmdb, text: str) -> None:
    kept = await cmdb.item("kept")
    id_ = await cmdb.item(f"x{text}x", os=text)
    assert (await cmdb("getItem", id=id_))["attributes"] == {"os": text}
    assert await names(cmdb, **only("os", "eq", text)) == [f"x{text}x"]
    assert await names(cmdb, **only("os", "contains", text)) == [f"x{text}x"]
    for tool, arguments in (
        ("searchItems", {"query": text}),
        ("searchItems", {"ciClass": text}),
        ("searchItems", only(text, "eq", "x")),
        ("searchItems", {"cursor": text}),
        ("getItem", {"id": text}),
        ("getHistory", {"id": text, "cursor": text}),
        ("listRelations", {"id": text, "type": text}),
        ("listRelations", {"cursor": text}),
        ("createRelation", {"sourceId": text, "type": "uses", "targetId": kept}),
        ("createRelation", {"sourceId": id_, "type": text, "targetId": kept}),
        ("deleteRelation", {"id": text}),
        ("retireItem", {"id": text}),
        ("analyzeImpact", {"id": text}),
        ("findPath", {"sourceId": text, "targetId": kept}),
        ("findOrphans", {"ciClass": text}),
        ("validateAll", {"ciClass": text, "cursor": text}),
        ("getClassSchema", {"ciClass": text}),
        ("listClasses", {"parent": text}),
        ("defineClass", {"name": text}),
        ("defineClass", {"name": "x", "attributeSchema": {"properties": {text: {}}}}),
        ("exportItems", {"query": text, "format": "csv"}),
        ("importItems", {"content": text, "format": "csv"}),
        ("importItems", {"content": text, "format": "json"}),
        ("applyReconcile", {"planId": text, "hash": text}),
        ("previewReconcile", {"source": text, "items": [{"ciClass": text, "name": text}]}),
    ):
        result = await cmdb.raw(tool, **arguments)
        code = result.get("_meta", {}).get("io.flotilla/error", {}).get("code")
        assert code in (None, "invalid_argument", "not_found"), (tool, result)
    assert await names(cmdb, query="kept") == ["kept"]
