"""By what a kept result is found again: the tool, its arguments, and whose call it is. Pure."""

import hashlib
import json
from typing import Any

import orjson

from flotilla.json_text import to_json
from master import rpc
from master.call import Call
from master.result import HOP, OURS

_PASSING = frozenset({"progressToken", "traceparent", "tracestate", "baggage"})
"""Members of `_meta` that differ from call to call and change no answer."""


def key_of(call: Call) -> str:
    """The SHA-256, in hex, of all that can change the answer to a tool call.

    A principal with other roles is another one. Our own tools see their arguments and the principal
    alone; an external server sees `_meta` too, and what its client can be asked.
    """
    entry, principal = call.resolved(), call.principal
    said = [
        to_json([entry.name, principal.name, *sorted(principal.roles)]),
        canonical(call.params.get("arguments", "{}")),
    ]
    if entry.origin.external:
        said += _seen_outside(call)
    return hashlib.sha256(b"\n".join(said)).hexdigest()


def canonical(text: str) -> bytes:
    """A JSON text without blanks, its members in a fixed order.

    Numbers stay as they are written, so that no two values ever meet. A text that has a member
    twice, or what cannot be written, stays as it is.
    """
    try:
        return orjson.dumps(_as_written.decode(text), option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError, RecursionError):
        return text.encode()


def _seen_outside(call: Call) -> list[bytes]:
    marks = rpc.members(call.params.get("_meta", "{}"))[1]
    told = {
        name: canonical(text).decode()
        for name, text in sorted(marks.items())
        if not name.startswith((HOP, OURS)) and name not in _PASSING
    }
    return [to_json(told), canonical(rpc.text_of(call.capabilities))]


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        # Which of the two counts is for the server to say.
        raise ValueError("a member stands there twice")
    return found


_as_written = json.JSONDecoder(
    parse_float=orjson.Fragment,
    parse_int=orjson.Fragment,
    object_pairs_hook=_once,
)
