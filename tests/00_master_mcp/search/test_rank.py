"""Which tool comes first, and that it is the same one each time."""

from typing import Any

import pytest

from master.entry import Entry
from master.search.finder import EXACT, Finder
from master.search.index import document_of, index_of
from master.search.rank import in_order, scores_of
from master.search.tools import MAX_SUMMARY, summary_of


def tool(name: str, description: str = "", *, reads: bool = True, **parameters: str) -> Entry:
    listed: dict[str, Any] = {
        "name": name,
        "description": description,
        "annotations": {"readOnlyHint": reads},
        "inputSchema": {
            "properties": {key: {"description": told} for key, told in parameters.items()}
        },
    }
    return Entry(name, "s", listed, given=name, safe=name.replace(".", "_"))


def names(tools: list[Entry], request: str) -> list[str]:
    return [found.name for found, _ in Finder(tools).find(request)]


def test_a_word_of_the_name_counts_more_than_one_of_the_description() -> None:
    tools = [
        tool("a.b.move", "Restore what a backup holds."),
        tool("a.b.backup", "Keep what is there."),
        tool("a.b.keep", "Nothing.", target="Where the backup goes."),
    ]
    assert names(tools, "backup") == ["a.b.backup", "a.b.move", "a.b.keep"]


def test_a_rare_word_counts_more_than_one_that_all_have() -> None:
    tools = [tool(f"a.b.list{what}", "List them.") for what in ("Pods", "Nodes", "Events", "Jobs")]
    assert names(tools, "list events")[0] == "a.b.listEvents"


def test_who_asks_is_shown_first_what_only_reads() -> None:
    tools = [
        tool("a.vm.start", "Start a machine.", reads=False),
        tool("a.vm.show", "Show a machine."),
    ]
    assert names(tools, "machine") == ["a.vm.start", "a.vm.show"]
    assert names(tools, "which machine") == ["a.vm.show", "a.vm.start"]


@pytest.mark.parametrize(
    "request_",
    ["os.linux.readFile", "os_linux_readFile", "OS_LINUX_READFILE", " os.linux.readFile "],
)
def test_the_whole_name_in_either_naming_comes_first(request_: str) -> None:
    tools = [tool("os.linux.readFileLines", "Read a file."), tool("os.linux.readFile", "Read.")]
    found = Finder(tools).find(request_)
    assert found[0][0].name == "os.linux.readFile"
    assert found[0][1] >= EXACT


def test_the_beginning_of_names_finds_all_that_begin_so() -> None:
    ours = ["data.cmdb.getItem", "data.cmdb.getHistory"]
    tools = [tool("os.linux.get"), *map(tool, ours)]
    assert names(tools, "data.cmdb.get")[:2] == ours
    assert names(tools, "data_cmdb") == ours


def test_equals_stay_in_the_order_of_the_list() -> None:
    tools = [tool(f"a.{letter}.look", "Look.") for letter in "zmakb"]
    for _ in range(3):
        assert names(tools, "look") == [each.name for each in tools]


def test_a_word_with_many_synonyms_is_worth_no_more_than_one() -> None:
    index = index_of([document_of("a.b.erase", {"description": "Delete, remove, destroy, wipe."})])
    alone = scores_of(index, [{"eras": 1.0}])[0]
    assert scores_of(index, [{"eras": 1.0, "delet": 0.6, "remov": 0.6}])[0] == alone
    assert in_order({3: 1.0, 1: 1.0, 2: 2.0}) == [(2, 2.0), (1, 1.0), (3, 1.0)]


def test_nothing_is_found_among_no_tools_and_by_no_words() -> None:
    assert Finder([]).find("list pods") == []
    assert Finder([tool("a.b.look")]).find("  ?! ") == []


@pytest.mark.parametrize(
    "listed",
    [
        {},
        {"description": None, "inputSchema": None, "title": 7},
        {"inputSchema": {"properties": [1]}, "description": ["a"]},
        {"inputSchema": {"properties": {"a": True, "b": {"description": {}}}}},
    ],
)
def test_a_stranger_may_list_what_it_likes(listed: dict[str, Any]) -> None:
    entry = Entry("ext.odd.look around", "odd", listed, given="look around", safe="ext_odd_look")
    assert Finder([entry]).find("look")[0][0] is entry


def test_a_summary_is_the_first_paragraph_in_one_line_cut_between_words() -> None:
    assert summary_of("Show a\n thing.\n\nAnd more.") == "Show a thing."
    long = summary_of("word " * 100)
    assert len(long) <= MAX_SUMMARY and long.endswith("word…")
    assert summary_of("") == ""
    assert len(summary_of("x" * 1000)) <= MAX_SUMMARY
