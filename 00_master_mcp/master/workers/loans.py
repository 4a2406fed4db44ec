"""How a lent call that fails is told between two processes of the hub, and what it is there. Pure.

The one that lends sees what befell the server; the one that borrows decides what that means.
"""

from flotilla import (
    Conflict,
    FlotillaError,
    InvalidArgument,
    NotConfigured,
    NotFound,
    TimedOut,
    TooLarge,
    Unavailable,
    UpstreamError,
    meta,
)
from master import rpc
from master.upstream.handshake.transport import SessionLost
from master.upstream.transport.client import Unreachable, WentAway

FAILED = -32098
"""A code that servers may give a meaning of their own; between hubs it has this one."""
_KINDS = (
    *(Unreachable, WentAway, Unavailable, TimedOut, TooLarge, UpstreamError, NotConfigured),
    *(InvalidArgument, NotFound, Conflict),
)


def as_refusal(error: FlotillaError, correlation_id: str) -> rpc.RpcError:
    """The error as a refusal that `restored` reads."""
    kinds = (each for each in _KINDS if isinstance(error, each))
    kind = Unreachable if isinstance(error, SessionLost) else next(kinds, FlotillaError)
    told = {"kind": kind.__name__, **error.as_json(correlation_id)}
    return rpc.RpcError(FAILED, error.message, told)


def restored(refusal: rpc.RpcError) -> Exception:
    """The error that another hub met; what a server itself refused stays a refusal."""
    told = meta.members(refusal.data)
    if refusal.code != FAILED or "kind" not in told:
        return refusal
    kind = next((each for each in _KINDS if each.__name__ == told["kind"]), FlotillaError)
    hint = told.get("hint")
    restored = kind(refusal.message, hint=hint if isinstance(hint, str) else None)
    ours = ("kind", "code", "message", "hint", "correlationId", "retryable")
    restored.details.update({key: told[key] for key in told if key not in ours})
    return restored
