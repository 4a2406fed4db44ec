"""A circuit for each engine and kind: who blocks, throttles or keeps failing is left alone a while.

By kinds, because their pages are others: who asks for images too often must not lose the web.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from flotilla import CircuitOpen, FlotillaError, InvalidArgument, RateLimited
from flotilla.breaker import (
    CLOSED,
    CircuitState,
    Standing,
    admit,
    dropped,
    failed,
    state_at,
    succeeded,
    tripped,
)
from flotilla.resilience import Breaker
from web_search.engine import Blocked, Kind
from web_search.outcomes import Outcome, Status

log = structlog.get_logger(__name__)

FAILURES = Breaker(failures=5, open_s=60)
FIRST_BLOCK_S, LONGEST_BLOCK_S = 600.0, 3600.0
SHORTEST_LIMIT_S, LONGEST_LIMIT_S = 1.0, 3600.0


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one engine in one kind."""

    standing: Standing = CLOSED
    blocks: int = 0
    """In a row: each makes the rest twice as long."""
    last: Status | None = None


@dataclass(frozen=True, slots=True)
class Circuit:
    """How it stands towards one engine now; `rest_s` is 0.0 unless it is open."""

    state: CircuitState
    rest_s: float
    reason: str | None
    last: Status | None


def settled(record: Record, ticket: int, outcome: Outcome, now: float) -> Record:
    """The record after the call of that ticket. Pure; seconds of one clock.

    A wall opens the circuit at once, for ten minutes and then twice as long up to an hour;
    throttling for as long as the engine asked; other trouble after five times in a row.
    """
    standing, blocks = record.standing, record.blocks
    match outcome.status:
        case "ok" | "empty":
            standing, blocks = succeeded(standing, ticket), 0
        case "blocked":
            rest_s = min(LONGEST_BLOCK_S, FIRST_BLOCK_S * 2.0 ** min(blocks, 10))
            # Several that ran at once met the same wall: that is once, not several times.
            if standing.state != "open":
                standing, blocks = tripped(standing, "blocked", now, _resting(rest_s)), blocks + 1
        case "rate_limited":
            asked_s = (outcome.retry_after_ms or 0) / 1000
            rest_s = min(LONGEST_LIMIT_S, max(SHORTEST_LIMIT_S, asked_s))
            if standing.state != "open" or standing.until < now + rest_s:
                standing = tripped(standing, "rate_limited", now, _resting(rest_s))
        case "timeout" | "failed" if not isinstance(outcome.error, InvalidArgument):
            standing = failed(standing, ticket, outcome.status, now, FAILURES)
        case _:
            standing = dropped(standing, ticket, now)
    return replace(record, standing=standing, blocks=blocks, last=outcome.status)


class Circuits:
    """The circuits of all engines, in this process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._records: dict[tuple[str, Kind], Record] = {}

    def admit(self, engine: str, kind: Kind, probe_s: float) -> int | None:
        """The ticket of one call, None while the engine rests."""
        record = self._records.get((engine, kind), Record())
        standing, ticket = admit(record.standing, self._clock(), probe_s)
        self._records[engine, kind] = replace(record, standing=standing)
        return ticket

    def settle(self, ticket: int, kind: Kind, outcome: Outcome) -> None:
        key: tuple[str, Kind] = (outcome.engine, kind)
        now = self._clock()
        before = self._records.get(key, Record())
        after = settled(before, ticket, outcome, now)
        self._records[key] = after
        if after.standing.state == "open" and after.standing.until > max(
            now, before.standing.until
        ):
            log.warning(
                "engine_rests",
                engine=outcome.engine,
                kind=kind,
                reason=after.standing.reason,
                rest_s=round(after.standing.until - now),
            )
        elif after.standing.state == "closed" and before.standing.state != "closed":
            log.info("engine_answers_again", engine=outcome.engine, kind=kind)

    def drop(self, engine: str, kind: Kind, ticket: int) -> None:
        """The caller has gone: that says nothing of the engine."""
        record = self._records.get((engine, kind), Record())
        standing = dropped(record.standing, ticket, self._clock())
        self._records[engine, kind] = replace(record, standing=standing)

    def circuit(self, engine: str, kind: Kind) -> Circuit:
        record = self._records.get((engine, kind), Record())
        state, rest_s = state_at(record.standing, self._clock())
        if state == "half_open":
            rest_s = max(0.0, record.standing.until - self._clock())
        reason = None if state == "closed" else record.standing.reason
        return Circuit(state, rest_s, reason, record.last)

    def resting(self, engine: str, kind: Kind) -> Outcome:
        """What a call is told that may not go."""
        circuit = self.circuit(engine, kind)
        wait_ms = max(1, round(circuit.rest_s * 1000))
        return Outcome(
            engine=engine,
            status="resting",
            error=_resting_error(engine, circuit.reason, wait_ms),
            retry_after_ms=wait_ms,
        )


def _resting(rest_s: float) -> Breaker:
    return Breaker(failures=1, open_s=rest_s)


def _resting_error(engine: str, reason: str | None, wait_ms: int) -> FlotillaError:
    wait_s = max(1, round(wait_ms / 1000))
    if reason == "rate_limited":
        return RateLimited(
            f"{engine} asked to be left alone for {wait_s} s more",
            retry_after_ms=wait_ms,
            hint="Name another engine or auto, or wait.",
        )
    if reason == "blocked":
        error = Blocked(engine, f"it is left alone for {wait_s} s more")
        error.details["retryAfterMs"] = wait_ms
        return error
    return CircuitOpen(
        f"{engine} failed too often and rests for {wait_s} s",
        hint="Name another engine or auto, or wait.",
        details={"reason": reason or "failed", "engine": engine, "retryAfterMs": wait_ms},
    )
