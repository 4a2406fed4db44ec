import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.json_text import TooDeep, from_json, to_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_what_is_written_is_read_again(value) -> None:
    assert from_json(to_json(value)) == value


def test_integers_beyond_64_bits_and_lone_surrogates_survive() -> None:
    value = {"n": 2**200, "s": "\ud800"}
    assert json.loads(to_json(value)) == value
    assert from_json(b'{"n":%d}' % 2**200) == {"n": 2**200}


def test_what_is_no_json_is_a_value_error() -> None:
    for raw in (b"", b"{", b"NaN", b'{"a":Infinity}', b"\xff", b"[1,]"):
        with pytest.raises(ValueError):
            from_json(raw)


def test_bottomless_nesting_is_told_and_harms_nobody() -> None:
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(TooDeep):
        to_json(deep)
    with pytest.raises(TooDeep):
        from_json(b"[" * 100_000)
    while deep:  # taken apart here: its own deallocation would be as deep
        deep = deep[0]
