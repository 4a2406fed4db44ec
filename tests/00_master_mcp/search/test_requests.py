"""Whether people find what they mean: a hundred requests over the fleet at full size."""

from flotilla.names import check_tool_name
from master.profiles import FINDERS

from .fleet_at_full_size import all_tools, planned_tools, real_tools, requests
from .measured import MOST, measured

FOUND = 90
"""Of a hundred requests, with a right tool among the first five: what issue and README promise."""
HALVES = ("tune", "held_out")


def test_a_right_tool_is_among_the_first_five_for_nine_requests_of_ten() -> None:
    halves = [measured(half) for half in HALVES]
    assert sum(half.within(MOST) for half in halves) >= FOUND
    for half in halves:
        assert half.within(MOST) >= 0.8 * half.asked, f"one half must not carry the other: {half}"


def test_there_are_a_hundred_requests_each_with_a_tool_that_exists() -> None:
    halves = requests()
    assert [len(halves[half]) for half in HALVES] == [50, 50]
    asked = [each["ask"] for half in HALVES for each in halves[half]]
    assert len(set(asked)) == len(asked)
    known = {tool["name"] for tool in all_tools()}
    for half in HALVES:
        for each in halves[half]:
            assert each["right"] and set(each["right"]) <= known, each


def test_the_catalogue_is_the_whole_fleet_and_no_tool_stands_in_it_twice() -> None:
    names = [tool["name"] for tool in all_tools()]
    assert len(names) == len(set(names)) >= 200
    assert {tool["name"] for tool in real_tools()} <= set(names)


def test_a_planned_tool_has_what_a_real_one_has() -> None:
    for tool in planned_tools():
        assert tool["title"] and tool["description"].endswith("."), tool["name"]
        assert check_tool_name(tool["name"]) not in FINDERS
