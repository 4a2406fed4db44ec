"""Has a spoke do one of its operations, for the hub itself or for the fleet's owner."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any, cast

import orjson

from flotilla import (
    Deadline,
    FlotillaError,
    NotConfigured,
    NotFound,
    Principal,
    UpstreamError,
    meta,
)
from flotilla.correlation import HEADER, new_correlation_id
from flotilla.errors import (
    CircuitOpen,
    Conflict,
    InvalidArgument,
    NotAllowed,
    RateLimited,
    TimedOut,
    TooLarge,
    Unavailable,
)
from flotilla.fleet import HUB as FLEET_HUB
from flotilla.fleet import FleetConfig
from flotilla.identity import Signer
from flotilla.operations import PATH, TIMEOUT_HEADER, is_name, scope_of
from master.upstream.authority import HUB
from master.upstream.pool import ConnectionPool
from master.upstream.transport.target import Target

MAX_ANSWER_BYTES = 4 * 1024 * 1024
TIMEOUT_S = 10.0
RETRY_AFTER_MS = 1000
"""Where a service that has enough does not say for how long."""

_KINDS = {
    kind.code: kind
    for kind in (
        InvalidArgument,
        NotFound,
        Conflict,
        TooLarge,
        NotAllowed,
        CircuitOpen,
        TimedOut,
        Unavailable,
        NotConfigured,
        UpstreamError,
    )
}


class Operations:
    """Operations of the fleet's own spokes. Never those of other people's servers."""

    def __init__(self, fleet: FleetConfig, pool: ConnectionPool, signer: Signer) -> None:
        self._fleet = fleet
        self._pool = pool
        self._signer = signer

    async def run(
        self,
        service: str,
        name: str,
        body: Mapping[str, Any] | bytes,
        *,
        principal: Principal = HUB,
        timeout_s: float = TIMEOUT_S,
        correlation_id: str | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> dict[str, Any]:
        """What the spoke answers; `principal` is in whose name the hub asks, itself or the owner.

        A `body` of bytes is JSON already and goes as it is, numbers as they were spelled.
        Raises what the spoke raised, under the same code; NotFound for a service or operation that
        does not exist, Unavailable when the spoke cannot be reached or goes away, TimedOut,
        UpstreamError for an answer that is none.
        """
        if service == FLEET_HUB or service not in self._fleet.services:
            raise NotFound(f"there is no service {service!r}")
        if not is_name(name):
            raise NotFound(f"there is no operation {name!r}")
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        token = self._signer.token_for_call(service, principal, tool=scope_of(name), body=raw)
        target = Target.of(f"{self._fleet.url(service)}{PATH}/{name}", service)
        headers = {
            "authorization": f"Bearer {token}",
            "content-type": "application/json",
            HEADER: correlation_id or new_correlation_id(),
            TIMEOUT_HEADER: str(max(1, int(timeout_s * 1000))),
        }
        due_at = Deadline.after(timeout_s).at
        response = await self._pool.client(target).request("POST", target, headers, raw, due_at)
        with closing(response):
            told = await response.begin(max_bytes)
            if len(told) > max_bytes:
                size = f"over {max_bytes // 1024} KiB"
                raise UpstreamError(f"{service} answered operation {name!r} with {size}")
            return _answer(service, name, response.status, told)


def _answer(service: str, name: str, status: int, raw: bytes) -> dict[str, Any]:
    told: Any
    try:
        told = orjson.loads(raw)
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        raise UpstreamError(f"{service} answered operation {name!r} with no JSON (HTTP {status})")
    answer = cast("dict[str, Any]", told)
    if status == 200:
        return answer
    raise _raised(service, name, status, meta.members(answer.get("error")))


def _raised(service: str, name: str, status: int, error: Mapping[str, Any]) -> FlotillaError:
    """The error that the spoke raised, as the hub raises it again."""
    if status == 401:
        return UpstreamError(
            f"{service} refused the hub's credentials for operation {name!r}",
            hint="Its public key of the hub may be an old one, or its clock wrong.",
        )
    kind = _KINDS.get(str(error.get("code")), FlotillaError)
    told = {"code", "message", "hint", "correlationId", "retryable"}
    details = {key: value for key, value in error.items() if key not in told}
    hint = None if error.get("hint") is None else str(error["hint"])
    message = str(
        error.get("message") or f"{service} answered operation {name!r} with HTTP {status}"
    )
    if error.get("code") == RateLimited.code:
        return limited(message, hint, details)
    return kind(message, hint=hint, details=details)


def limited(message: str, hint: str | None, details: Mapping[str, Any]) -> RateLimited:
    """With the details of the error that it repeats."""
    told = details.get("retryAfterMs")
    error = RateLimited(
        message, retry_after_ms=told if isinstance(told, int) else RETRY_AFTER_MS, hint=hint
    )
    error.details |= details
    return error
