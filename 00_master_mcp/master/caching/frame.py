"""A result as it is kept: without what belonged to one call, its members to the letter. Pure."""

from collections.abc import Mapping

from flotilla import meta
from master import rpc
from master.result import COMPLETE, HOP, Result

_BETWEEN = "\0"
"""Stands in no JSON text."""
_FIRST = "1"
"""The form of what follows; another form is none of ours."""
_OF_THE_CALL = frozenset(
    {
        meta.CORRELATION_ID,
        meta.CACHE,
        "progressToken",
        "traceparent",
        "tracestate",
        "baggage",
    }
)


def lasting(result: Result) -> rpc.Texts | None:
    """What of an answer may be given again; None where it is an error or no whole answer.

    It always has `_meta`, without the members that are the call's own.
    """
    texts = result.texts
    if result.poured or is_error(result) or texts.get("resultType", COMPLETE) != COMPLETE:
        return None
    return {**texts, "_meta": _lasting_marks(texts.get("_meta"))}


def is_error(result: Result) -> bool:
    return result.texts.get("isError", "false") != "false"


def again(texts: Mapping[str, str], mark: str) -> Result:
    """A kept result for another call; `mark` is the JSON text that says how it comes to that."""
    marks = texts["_meta"]
    rest = "}" if marks == "{}" else f",{marks[1:]}"
    return Result({**texts, "_meta": f'{{"{meta.CACHE}":{mark}{rest}'})


def packed(texts: Mapping[str, str]) -> bytes | None:
    """As bytes; None where a member has a name that does not fit."""
    if not all(name.isascii() and name.isprintable() for name in texts):
        return None
    parts = [part for pair in texts.items() for part in pair]
    return _BETWEEN.join((_FIRST, *parts)).encode()


def unpacked(body: bytes) -> rpc.Texts | None:
    """What was packed; None where that is something else."""
    try:
        first, *parts = body.decode().split(_BETWEEN)
    except UnicodeDecodeError:
        return None
    texts = dict(zip(parts[::2], parts[1::2], strict=False))
    if (
        first != _FIRST
        or len(parts) != 2 * len(texts)
        or not texts.get("_meta", "").startswith("{")
    ):
        return None
    return texts


def _lasting_marks(text: str | None) -> str:
    if text is None:
        return "{}"
    try:
        marks = rpc.members(text)[1]
    except ValueError:
        return "{}"
    return rpc.written(
        {
            name: each
            for name, each in marks.items()
            if not name.startswith(HOP) and name not in _OF_THE_CALL
        }
    )
