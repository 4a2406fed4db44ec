"""What an approval is bound to: this very call and no other. Pure.

The SHA-256 over the canonical name, the service and what it calls the tool, the principal, the
arguments as the client wrote them, and whatever else of the request reaches the server.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NoReturn, cast

from flotilla import InvalidArgument
from flotilla.json_text import to_json
from master.call import Call
from master.result import HOP, OURS
from master.rpc import Texts, members

_VERSION = "1"
_APART = frozenset({"name", "arguments", "_meta", "inputResponses", "requestState"})
"""Members of `params` that are no part of what is asked for, or stand in the digest by themselves.
"""
_PASSING = frozenset({"progressToken", "traceparent", "tracestate", "baggage"})
"""Members of `_meta` that differ from call to call and ask for nothing."""


def digest_of(call: Call) -> str:
    """In hexadecimal. InvalidArgument where the arguments have a member twice, or nest too deeply.

    Blanks, the order of members and the way a character is escaped make no difference; the spelling
    of a number does. Handles of secrets stand in it as handles.
    """
    entry = call.resolved()
    return bound(
        method=call.method,
        tool=entry.name,
        service=entry.service,
        upstream_name=entry.upstream_name,
        principal=call.principal.name,
        texts=kept_params(call),
    )


def bound(
    *,
    method: str,
    tool: str,
    service: str,
    upstream_name: str,
    principal: str,
    texts: Mapping[str, str],
) -> str:
    """The digest of a call of these parts; `texts` are the members of its params."""
    params = [f"{name}:{canonical(text)}" for name, text in sorted(texts.items())]
    said = [_VERSION, method, tool, service, upstream_name, principal, params]
    # A JSON list of texts: no two lists of parts are ever written alike.
    return hashlib.sha256(to_json(said)).hexdigest()


def kept_params(call: Call) -> Texts:
    """The members of a call's params that ask for something.

    Our own services look at no `_meta` of a client's but ours; an external server sees the rest.
    """
    texts = {name: text for name, text in call.params.items() if name not in _APART}
    texts["arguments"] = call.params.get("arguments", "{}")
    if call.resolved().origin.external:
        marks = members(call.params.get("_meta", "{}"))[1]
        told = {
            name: text
            for name, text in marks.items()
            if not name.startswith((HOP, OURS)) and name not in _PASSING
        }
        if told:
            written = ",".join(f"{json.dumps(name)}:{text}" for name, text in sorted(told.items()))
            texts["_meta"] = f"{{{written}}}"
    return texts


def canonical(text: str) -> str:
    """A JSON text in ASCII without blanks, its members sorted, its numbers as they were written."""
    try:
        return _written(_decoder.decode(text))
    except RecursionError:
        raise InvalidArgument("the arguments are nested too deeply") from None


class _Number(str):
    """A number, as it was spelled."""

    __slots__ = ()


def _written(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        inner = (f"{json.dumps(name)}:{_written(each)}" for name, each in sorted(items))
        return "{" + ",".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, cast("list[Any]", value))) + "]"
    return json.dumps(value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidArgument(
            f"the arguments have {twice[:100]!r} twice in one object",
            hint="A person could not tell which of the two they allow; leave one out.",
        )
    return found


def _refuse(constant: str) -> NoReturn:
    raise InvalidArgument(f"{constant} is not JSON")


_decoder = json.JSONDecoder(
    parse_float=_Number,
    parse_int=_Number,
    parse_constant=_refuse,
    object_pairs_hook=_once,
)
