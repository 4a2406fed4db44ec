"""What a failed call tells of its server, and so whether it may be tried again. Pure.

Of a connection that was kept and is closed before a byte of the answer came, nobody can know
whether the server had read the request: that is `unknown`, never `not_sent`.
"""

from dataclasses import dataclass
from typing import Literal

from flotilla import (
    Conflict,
    FlotillaError,
    NotFound,
    TimedOut,
    TooLarge,
    Unavailable,
    UpstreamError,
)
from master import rpc
from master.upstream.handshake.transport import SessionLost
from master.upstream.http import OutOfService, Refused
from master.upstream.transport.client import Unreachable

Kind = Literal["not_sent", "unknown", "timeout", "broken", "answered", "own"]
"""
not_sent   nothing reached the server: even what writes may be tried again
unknown    it broke off: whether the server acted is not known
timeout    the hub's own clock: whether the server acted is not known
broken     what came is no answer: garbage, a redirect, HTTP 5xx
answered   the server said no, which proves that it lives
own        it ended in the hub, before the server was asked, and says nothing of the server
"""
_ALIVE = (NotFound, Conflict, TooLarge)


@dataclass(frozen=True, slots=True)
class Failure:
    """`retry_after_s` is how long the server wants to be left alone, where it has said so."""

    kind: Kind
    reason: str
    retry_after_s: float | None = None

    @property
    def proves_alive(self) -> bool:
        return self.kind == "answered"


def judged(error: Exception) -> Failure:
    """What an error that `Link.send`, `Speaker.hold` or `Speaker.probe` raised tells."""
    if isinstance(error, rpc.RpcError):
        return Failure("answered", error.message)
    if not isinstance(error, FlotillaError):
        return Failure("own", f"the hub failed ({type(error).__name__})")
    after_s = error.retry_after_s if isinstance(error, (Refused, OutOfService)) else None
    return Failure(_kind(error), error.message, after_s)


def _kind(error: FlotillaError) -> Kind:
    if isinstance(error, (Unreachable, SessionLost)):
        return "not_sent"
    if isinstance(error, OutOfService):
        return "broken"
    if isinstance(error, Unavailable):
        return "unknown"
    if isinstance(error, TimedOut):
        return "timeout"
    if isinstance(error, Refused) and 400 <= error.status < 500:
        return "answered"
    if isinstance(error, UpstreamError):
        return "broken"
    return "answered" if isinstance(error, _ALIVE) else "own"
