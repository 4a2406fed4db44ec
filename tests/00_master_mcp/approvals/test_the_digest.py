"""What an approval is bound to: any change of any part of a call is another call."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla import InvalidArgument, Principal
from master.approvals.digest import bound, canonical, digest_of

from .conftest import EXTERNAL, call_of, entry_of

names = st.text(min_size=1, max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
arguments = st.dictionaries(names, values, max_size=4)
parts = st.fixed_dictionaries(
    {
        "method": names,
        "tool": names,
        "service": names,
        "upstream_name": names,
        "principal": names,
        "texts": st.dictionaries(names, values.map(json.dumps), max_size=3),
    }
)


@given(parts, st.data())
def test_any_change_of_any_part_changes_the_digest(one: dict[str, Any], data: Any) -> None:
    changed = data.draw(st.sampled_from(sorted(one)))
    other = {**one, changed: data.draw(parts)[changed]}
    same = (
        all(
            canonical(one["texts"].get(name, "0")) == canonical(text)
            for name, text in other["texts"].items()
        )
        and one["texts"].keys() == other["texts"].keys()
    )
    equal = same and all(one[key] == other[key] for key in one if key != "texts")
    assert (bound(**one) == bound(**other)) == equal


@given(arguments, arguments)
def test_other_arguments_are_another_call(one: dict[str, Any], other: dict[str, Any]) -> None:
    is_same = canonical(json.dumps(one)) == canonical(json.dumps(other))
    assert (digest_of(call_of(json.dumps(one))) == digest_of(call_of(json.dumps(other)))) == is_same
    if is_same:
        assert one == other


@given(arguments, st.randoms(use_true_random=False))
def test_order_blanks_and_escapes_make_no_difference(given: dict[str, Any], random: Any) -> None:
    shuffled = list(given.items())
    random.shuffle(shuffled)
    plain = json.dumps(dict(shuffled), ensure_ascii=False, indent=random.choice([None, 3]))
    if any("\ud800" <= character <= "\udfff" for character in plain):
        plain = json.dumps(dict(shuffled))
    assert digest_of(call_of(json.dumps(given))) == digest_of(call_of(plain))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "1.0"),
        ("1", '"1"'),
        ("9007199254740993", "9007199254740992"),
        ("123456789012345678901234567890", "123456789012345678901234567891"),
        ("0.1", "0.10000000000000000001"),
        ("null", '"null"'),
        ("[]", "{}"),
        ('"secret://a"', '"secret://b"'),
        ("true", '"true"'),
    ],
)
def test_values_that_a_reader_might_take_for_equal_are_not(one: str, other: str) -> None:
    first, second = (call_of(f'{{"path": {text}}}') for text in (one, other))
    assert digest_of(first) != digest_of(second)


def test_another_tool_service_or_principal_is_another_call() -> None:
    calls = [
        call_of(),
        call_of(principal=Principal("operator-2", ("operator",))),
        call_of(entry=entry_of("os.linux.killProcess")),
        call_of(entry=entry_of(service="another")),
        call_of(entry=entry_of(given="writeFile")),
        call_of(task='{"ttl": 1}'),
    ]
    assert len({digest_of(call) for call in calls}) == len(calls)


def test_the_round_of_a_call_makes_no_difference() -> None:
    again = call_of(requestState='"sealed"', inputResponses='{"a": 1}')
    assert digest_of(again) == digest_of(call_of())


def test_what_an_external_server_sees_of_meta_is_bound_and_what_only_passes_is_not() -> None:
    outside = entry_of("ext.some.tool", "some", given="tool", origin=EXTERNAL)

    def digest(meta: str) -> str:
        return digest_of(call_of(entry=outside, _meta=meta))

    assert digest('{"progressToken": 1}') == digest('{"progressToken": 2, "traceparent": "x"}')
    assert digest('{"mode": "dry"}') != digest('{"mode": "wet"}')
    assert digest('{"io.flotilla/timeoutMs": 1}') == digest("{}")
    assert digest_of(call_of(_meta='{"mode": "dry"}')) == digest_of(call_of()), "ours do not look"


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 2}', '{"a": {"b": 1, "b": 1}}', '{"a": [{"b": 1, "\\u0062": 2}]}'],
)
def test_a_member_that_stands_there_twice_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="twice"):
        digest_of(call_of(text))


def test_arguments_that_nest_too_deeply_are_refused() -> None:
    call = call_of()
    call.params = {**call.params, "arguments": '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"}
    with pytest.raises(InvalidArgument, match="deeply"):
        digest_of(call)


def test_half_of_a_surrogate_pair_is_a_value_like_any_other() -> None:
    assert digest_of(call_of('{"a": "\\ud800"}')) != digest_of(call_of('{"a": "\\ud801"}'))
