"""Strangers' words made plain."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.sizes import strip_invisible
from web_search.wording import plain


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one\n\n two\t\x00\x1b[31mred", "one two [31mred"),
        ("x < y and y > z", "x < y and y > z"),
        ("how to use <b> and &lt;", "how to use <b> and &lt;"),
        ("seen\u200bunseen\U000e0041\u202e", "seenunseen"),
        ("half \ud800 a pair", "half a pair"),
        ("", ""),
    ],
)
def test_controls_and_what_nobody_sees_go(text, line) -> None:
    assert plain(text, 100) == line


def test_a_long_text_ends_at_a_word() -> None:
    assert plain("tea and milk and sugar", 14) == "tea and milk…"
    assert plain("茶" * 50, 10) == "茶" * 9 + "…"


@given(st.text(max_size=900), st.integers(1, 400))
def test_every_text_becomes_one_short_line_that_json_takes(text, most) -> None:
    line = plain(text, most)
    assert len(line) <= most
    assert "\n" not in line
    assert strip_invisible(line) == line
    orjson.dumps(line)
