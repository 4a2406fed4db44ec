"""What is kept of a result, and how it comes back."""

import json

import pytest

from flotilla import meta
from master.caching.frame import again, lasting, packed, unpacked
from master.result import Result

from .calls import SPEC, TEXTS


def test_every_member_comes_back_to_the_letter() -> None:
    kept = lasting(Result(TEXTS))
    assert kept is not None
    body = packed(kept)
    assert body is not None
    found = unpacked(body)
    assert found is not None
    assert again(found, '{"hit":true}').texts == {
        **TEXTS,
        "_meta": '{"io.flotilla/cache":{"hit":true}}',
    }


def test_nothing_of_the_first_caller_is_kept() -> None:
    marks = {
        meta.CORRELATION_ID: "c-1",
        meta.CACHE: {"hit": True},
        "traceparent": "00-1-2-01",
        "tracestate": "a=b",
        "baggage": "user=ann",
        "progressToken": 7,
        f"{SPEC}serverInfo": {"name": "shop"},
        meta.UNTRUSTED: True,
        "com.example/page": [1],
    }
    kept = lasting(Result({**TEXTS, "_meta": json.dumps(marks)}))
    assert kept is not None
    assert json.loads(kept["_meta"]) == {meta.UNTRUSTED: True, "com.example/page": [1]}
    assert json.loads(again(kept, '{"joined":true}').texts["_meta"]) == {
        meta.CACHE: {"joined": True},
        meta.UNTRUSTED: True,
        "com.example/page": [1],
    }


@pytest.mark.parametrize("marks", ["[]", "7", '"text"'])
def test_marks_that_are_no_object_are_left_out(marks) -> None:
    kept = lasting(Result({**TEXTS, "_meta": marks}))
    assert kept is not None
    assert kept["_meta"] == "{}"


@pytest.mark.parametrize(
    "result",
    [
        Result({**TEXTS, "isError": "true"}),
        Result({**TEXTS, "isError": '"yes"'}),
        Result({**TEXTS, "resultType": '"input_required"'}),
        Result({**TEXTS, "resultType": '"task"'}),
        Result(TEXTS, poured=True),
    ],
)
def test_what_is_no_whole_answer_is_not_kept(result) -> None:
    assert lasting(result) is None


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "ä"])
def test_a_member_whose_name_does_not_fit_is_not_kept(name) -> None:
    assert packed({"_meta": "{}", name: "1"}) is None


@pytest.mark.parametrize("body", [b"", b"2\0_meta\0{}", b"1\0_meta", b"1\0a\0b", b"\xff", b"{}"])
def test_what_somebody_else_wrote_is_nothing(body) -> None:
    assert unpacked(body) is None
