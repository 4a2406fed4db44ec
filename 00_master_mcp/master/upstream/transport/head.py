"""The first lines and headers of a request, as bytes. Pure."""

import re
from collections.abc import Mapping
from functools import lru_cache

from flotilla import InvalidArgument
from master.upstream.transport.target import Target

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "host", "keep-alive"}
    | {"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
_WITH_BODY = frozenset({"PATCH", "POST", "PUT"})


class BadHeader(InvalidArgument, ValueError):
    """A header that cannot be sent, or that would change where the request ends."""


def request_head(method: str, target: Target, headers: Mapping[str, str], body_bytes: int) -> bytes:
    """Everything of a request that comes before its body.

    Raises BadHeader where a name is no token or is one that the client itself writes, or where a
    value holds a line break or NUL.
    """
    lines = _template(tuple(headers)) % tuple(headers.values())
    # One search over all of them; each header brings one line break of ours.
    count = len(headers)
    if lines.count("\n") != count or lines.count("\r") != count or "\0" in lines:
        raise BadHeader(f"the header {_culprit(headers)} has a line break or NUL in it")
    if body_bytes or method in _WITH_BODY:
        lines = f"{lines}content-length: {body_bytes}\r\n"
    return f"{method}{target.start}{lines}\r\n".encode()


@lru_cache(maxsize=512)
def _template(names: tuple[str, ...]) -> str:
    """Lines for these headers with gaps for their values: most requests have the same names."""
    for name in names:
        if _TOKEN.fullmatch(name) is None:
            raise BadHeader(f"{name[:100]!r} is no name of a header")
        if name.lower() in _OURS:
            raise BadHeader(f"the header {name} is written by the hub alone")
    return "".join(f"{name.replace('%', '%%')}: %s\r\n" for name in names)


def _culprit(headers: Mapping[str, str]) -> str:
    return next(name for name, value in headers.items() if not {*"\r\n\0"}.isdisjoint(value))
