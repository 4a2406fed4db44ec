"""What makes two calls the same question."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla import Principal
from master.caching.key import canonical, key_of

from .calls import ANN, OUTSIDE, call, entry

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def shuffled(value):
    """The same value with its members the other way round."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(each) for each in value] if isinstance(value, list) else value


@given(VALUES)
def test_order_and_blanks_make_no_other_question(value) -> None:
    plain = json.dumps(value, separators=(",", ":"))
    airy = json.dumps(shuffled(value), indent=3)
    assert canonical(plain) == canonical(airy)


@given(VALUES, VALUES)
def test_other_values_are_another_question(one, other) -> None:
    texts = json.dumps(one), json.dumps(other)
    assert (canonical(texts[0]) == canonical(texts[1])) == (
        json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1.0"),
        ("1e400", "2e400"),
        ("1e400", "null"),
        ("-0", "0"),
        ("-0.0", "0.0"),
        ("123456789012345678901234567890", "123456789012345678901234567891"),
        ("9007199254740993.0", "9007199254740992.0"),
        ("1" * 5000, "1" * 4999 + "2"),
        ('"1"', "1"),
        ('"\\ud800"', '"\\ud801"'),
        ('"\\ud800"', '"\\\\ud800"'),
        ('{"a":1,"a":2}', '{"a":2}'),
        ('{"a":1,"a":2}', '{"a":2,"a":1}'),
        ("true", "1"),
        ("[]", "{}"),
        ("null", "{}"),
    ],
)
def test_values_that_some_reader_would_mix_up_stay_apart(one, other) -> None:
    assert canonical(f'{{"x":{one}}}') != canonical(f'{{"x":{other}}}')


def test_an_escape_is_what_it_stands_for() -> None:
    assert canonical('{"\\u0061":"\\u00e4"}') == canonical('{"a":"ä"}')


def test_it_is_nested_as_deep_as_a_call_may_be() -> None:
    deep = "[" * 400 + "]" * 400
    assert canonical(f'{{"x":{deep}}}') != canonical(f'{{"x":[{deep}]}}')


def test_who_asks_is_part_of_the_question() -> None:
    asked = {
        key_of(call(principal=principal))
        for principal in (
            ANN,
            Principal("ben", ANN.roles),
            Principal("ann", ("operator",)),
            Principal("ann"),
            Principal("ann", ("operator,reader",)),
        )
    }
    assert len(asked) == 5
    assert key_of(call(principal=Principal("ann", ("reader", "operator")))) == key_of(call())


def test_what_is_asked_is_part_of_the_question() -> None:
    others = (call(entry("test.shop.count")), call(arguments='{"page":2}'), call(arguments="{}"))
    assert len({key_of(each) for each in (*others, call())}) == 4


def test_what_changes_no_answer_is_no_part_of_it() -> None:
    marks = {
        "progressToken": 7,
        "traceparent": "00-1-2-01",
        "io.modelcontextprotocol/logLevel": "debug",
        "io.flotilla/timeoutMs": 100,
    }
    assert key_of(call(marks=marks)) == key_of(call())
    outside = entry("ext.shop.list", origin=OUTSIDE)
    assert key_of(call(outside, marks=marks)) == key_of(call(outside))


def test_a_stranger_sees_the_meta_of_a_call_and_our_own_tools_do_not() -> None:
    outside = entry("ext.shop.list", origin=OUTSIDE)
    tenants = [{"com.example/tenant": 1}, {"com.example/tenant": 1.0}, {}]
    assert len({key_of(call(outside, marks=marks)) for marks in tenants}) == 3
    assert len({key_of(call(marks=marks)) for marks in tenants}) == 1
    assert key_of(call(outside, capabilities={"elicitation": {}})) != key_of(call(outside))
