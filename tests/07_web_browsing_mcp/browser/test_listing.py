"""Lists that grow while they are read. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla import InvalidArgument, encode_cursor
from web_browsing.browser.listing import after

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Line:
    at: datetime
    number: int


def lines(moments: list[int]) -> list[Line]:
    """The latest first, as the tools list them."""
    return [
        Line(START + timedelta(microseconds=moment), number)
        for number, moment in enumerate(sorted(moments))
    ][::-1]


@given(
    st.lists(st.integers(0, 6), max_size=30),
    st.integers(1, 5),
    st.lists(st.integers(7, 9), max_size=3),
)
def test_every_line_is_shown_once_however_many_come_meanwhile(
    moments: list[int], limit: int, later: list[int]
) -> None:
    there = lines(moments)
    seen: list[int] = []
    part, cursor = after(there, None, limit, "console")
    seen += [each.number for each in part]
    there = lines([*moments, *later])
    while cursor is not None:
        part, cursor = after(there, cursor, limit, "console")
        seen += [each.number for each in part]
    assert seen == [each.number for each in lines(moments)]


@pytest.mark.parametrize(
    "cursor",
    ["x", encode_cursor("network", 3), encode_cursor("console", ["never", 1])]
    + [encode_cursor("console", told) for told in (3, ["2026-01-01", -1], ["2026-01-01"], None)],
)
def test_a_cursor_of_another_kind_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidArgument):
        after(lines([1, 2]), cursor, 5, "console")
