import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla import InvalidArgument, decode_cursor, encode_cursor, page_of


def test_pages_follow_each_other_without_gap_or_overlap() -> None:
    items, seen, cursor = list(range(107)), [], None
    while True:
        page = page_of("numbers", items, limit=25, cursor=cursor)
        seen += page.items
        assert page.returned == len(page.items)
        assert page.total == 107
        assert page.truncated == (page.next_cursor is not None)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == items


def test_a_list_that_shrank_ends_instead_of_failing() -> None:
    cursor = page_of("n", list(range(10)), limit=8).next_cursor
    assert page_of("n", list(range(3)), limit=8, cursor=cursor).items == []


@given(st.recursive(st.none() | st.integers(-(2**53), 2**53) | st.text(), st.lists))
def test_a_cursor_holds_its_position(position) -> None:
    assert decode_cursor("kind", encode_cursor("kind", position)) == position


@given(st.text(max_size=100))
def test_any_other_text_is_an_invalid_argument(text: str) -> None:
    with pytest.raises(InvalidArgument, match="cursor"):
        decode_cursor("kind", text)


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        decode_cursor("files", encode_cursor("processes", 5))
    for position in (-1, "5", True, None):
        with pytest.raises(InvalidArgument):
            page_of("n", [1, 2], cursor=encode_cursor("n", position))
