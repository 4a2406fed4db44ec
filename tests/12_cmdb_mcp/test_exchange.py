"""Import and export: all or nothing, told row by row, and nothing lost on the way."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdb.exchange import csv_line, item_cells, item_header, parse
from cmdb.values import MAX_INTEGER
from flotilla.toolbox import error_code_of

if TYPE_CHECKING:
    from conftest import Cmdb

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
SCALAR = st.one_of(
    TEXT,
    st.sampled_from(
        ["=1+1", "-5", "+x", "@x", "'", "''=", "5", "null", "true", '"x"', " 5", "", "\r\n"]
    ),
    st.integers(-MAX_INTEGER, MAX_INTEGER),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)
VALUE = st.one_of(SCALAR, st.lists(SCALAR, max_size=3), st.dictionaries(TEXT, SCALAR, max_size=3))
ATTRIBUTES = st.dictionaries(st.sampled_from(["ip", "os", "x", "attributes", "a.b/c"]), VALUE)
NAME = st.from_regex(r"\A\S(.{0,20}\S)?\Z").filter(
    lambda name: "\0" not in name and "\n" not in name
)


@given(rows=st.lists(st.tuples(NAME, ATTRIBUTES), max_size=4))
def test_what_csv_writes_it_reads_back_exactly(rows: list[tuple[str, dict[str, Any]]]) -> None:
    columns = ["ip", "os"]
    lines = [csv_line(item_header(columns))]
    lines += [csv_line(item_cells("server", name, told, columns)) for name, told in rows]
    parsed = parse("".join(lines), "csv", "items", lambda _class, name: name == "never")
    assert not [error for error in parsed.errors if error.field == "row"], parsed.errors
    told = {row: (one.name, one.attributes) for row, one in parsed.items}
    for number, (name, attributes) in enumerate(rows, 1):
        if number in told:
            assert told[number] == (name, attributes)
            assert orjson.dumps(told[number][1], option=orjson.OPT_SORT_KEYS) == orjson.dumps(
                attributes, option=orjson.OPT_SORT_KEYS
            )
    assert len(told) + len({error.row for error in parsed.errors}) == len(rows)


@given(name=NAME, value=TEXT)
def test_no_cell_begins_like_a_formula(name: str, value: str) -> None:
    line = csv_line(item_cells("server", name, {"os": value}, ["os"]))
    for cell in next(csv.reader(io.StringIO(line, newline=""))):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


ITEMS = {
    "items": [
        {
            "ciClass": "server",
            "name": "=web",
            "attributes": {"ip": "10.0.0.1", "os_version": "1.10"},
        },
        {
            "ciClass": "application",
            "name": "-shop",
            "attributes": {"n": {"a": [1, None]}, "t": "5"},
        },
        {"ciClass": "storage", "name": 'na"s, 1', "attributes": {"used_gb": 1.5, "e": ""}},
    ],
    "relations": [
        {
            "source": {"ciClass": "application", "name": "-shop"},
            "type": "runs_on",
            "target": {"ciClass": "server", "name": "=web"},
        },
        {
            "source": {"ciClass": "server", "name": "=web"},
            "type": "backed_up_by",
            "target": {"ciClass": "storage", "name": 'na"s, 1'},
        },
    ],
}


async def exported(cmdb: Cmdb, given: str, what: str, limit: int = 2) -> list[str]:
    page = await cmdb("exportItems", format=given, what=what, limit=limit)
    pages = [page["content"]]
    while "nextCursor" in page:
        page = await cmdb(
            "exportItems", format=given, what=what, limit=limit, cursor=page["nextCursor"]
        )
        pages.append(page["content"])
    return pages


async def known(cmdb: Cmdb) -> tuple[Any, Any]:
    items = (await cmdb("searchItems"))["items"]
    relations = (await cmdb("listRelations"))["items"]
    return (
        {(one["ciClass"], one["name"]): one["attributes"] for one in items},
        {(one["source"]["name"], one["type"], one["target"]["name"]) for one in relations},
    )


@pytest.mark.anyio
@pytest.mark.parametrize("given", ["json", "csv"])
async def test_an_export_comes_back_as_it_was(cmdb: Cmdb, given: str) -> None:
    report = await cmdb("importItems", content=orjson.dumps(ITEMS).decode())
    assert (report["created"], report["relationsCreated"]) == (3, 2)
    before = await known(cmdb)
    items = await exported(cmdb, given, "items")
    relations = await exported(cmdb, given, "relations", limit=1)
    assert len(items) == 2
    assert len(relations) == 2
    for one in (await cmdb("searchItems"))["items"]:
        await cmdb("retireItem", id=one["id"])
    for what, pages in (("items", items), ("relations", relations)):
        for content in pages:
            report = await cmdb("importItems", content=content, format=given, what=what)
            assert report["applied"], report
    assert await known(cmdb) == before
    for content in items:
        report = await cmdb("importItems", content=content, format=given, mode="upsert")
        assert (report["updated"], report["created"]) == (0, 0)


@pytest.mark.anyio
async def test_one_wrong_row_keeps_all_out_and_is_told(cmdb: Cmdb) -> None:
    held = await cmdb.item("held")
    content = (
        "ciClass,name,attributes.ip,attributes.cpu_count\r\n"
        "server,good,10.0.0.1,4\r\n"
        "server,held,,\r\n"
        "server,good,,\r\n"
        "nonsense,x,,\r\n"
        "server,bad,999.1.1.1,-4\r\n"
        "server,,,\r\n"
        "server,long,,,,,,\r\n"
    )
    report = await cmdb("importItems", content=content, format="csv")
    assert not report["applied"]
    assert [(one["row"], one["field"]) for one in report["errors"]] == [
        (2, "name"),
        (3, "name"),
        (4, "ciClass"),
        (5, "attributes.ip"),
        (5, "attributes.cpu_count"),
        (6, "name"),
        (7, "row"),
    ]
    assert held in report["errors"][0]["message"]
    assert [one["id"] for one in (await cmdb("searchItems"))["items"]] == [held]


@pytest.mark.anyio
async def test_a_dry_run_reports_and_keeps_nothing(cmdb: Cmdb) -> None:
    report = await cmdb("importItems", content=orjson.dumps(ITEMS).decode(), dryRun=True)
    assert (report["applied"], report["created"], report["relationsCreated"]) == (False, 3, 2)
    assert (await cmdb("searchItems"))["items"] == []


@pytest.mark.anyio
async def test_an_upsert_merges_and_keeps_history(cmdb: Cmdb) -> None:
    id_ = await cmdb.item("web", ip="10.0.0.1", os="a")
    content = "ciClass,name,attributes.os,attributes.ip\nserver,web,b,null\nserver,new,1.10,\n"
    report = await cmdb("importItems", content=content, format="csv", mode="upsert")
    assert (report["created"], report["updated"]) == (1, 1)
    assert (await cmdb("getItem", id=id_))["attributes"] == {"os": "b"}
    entry = (await cmdb("getHistory", id=id_))["items"][0]
    assert (entry["tool"], entry["principal"], entry["version"]) == ("importItems", "alice", 2)
    new = (await cmdb("searchItems", query="new"))["items"][0]
    assert new["attributes"] == {"os": "1.10"}  # a text attribute stays text


@pytest.mark.anyio
async def test_errors_are_bounded_and_counted(cmdb: Cmdb) -> None:
    rows = [{"ciClass": "server", "name": f"s{n}", "attributes": {"ip": 5}} for n in range(150)]
    report = await cmdb("importItems", content=orjson.dumps(rows).decode())
    assert (len(report["errors"]), report["truncated"]) == (100, True)
    assert report["errorCount"] >= 150


@pytest.mark.anyio
@pytest.mark.parametrize(
    "content", ["5", "{", '{"things": []}', '{"items": 5}', '"x"', "null", '["\\ud800"]']
)
async def test_what_is_no_document_is_refused(cmdb: Cmdb, content: str) -> None:
    await cmdb.refused("invalid_argument", "importItems", content=content)
    await cmdb.refused("invalid_argument", "importItems", content=content, format="csv")


@pytest.mark.anyio
@pytest.mark.parametrize("depth", [20, 300, 900, 5000])
async def test_deep_nesting_is_told_and_not_followed(cmdb: Cmdb, depth: int) -> None:
    deep = "[" * depth + "]" * depth
    content = f'[{{"ciClass": "server", "name": "s", "attributes": {{"a": {deep}}}}}]'
    result = await cmdb.raw("importItems", content=content)
    assert result["isError"] or result["structuredContent"]["errorCount"] == 1, result
    assert error_code_of(result) in (None, "invalid_argument")
    await cmdb("importItems", content=f'ciClass,name,attributes.a\nserver,s,"{deep}"', format="csv")


@pytest.mark.anyio
async def test_a_page_of_an_export_stays_within_the_text_limit(cmdb: Cmdb) -> None:
    rows = [
        {"ciClass": "server", "name": f"s{n}", "attributes": {"text": '"' * 5000}}
        for n in range(20)
    ]
    assert (await cmdb("importItems", content=orjson.dumps(rows).decode()))["applied"]
    for kind in ("json", "csv"):
        page = await cmdb("exportItems", format=kind)
        assert len(page["content"].encode()) <= 48 * 1024
        assert page["truncated"]
