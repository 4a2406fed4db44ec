"""The circuit breaker of one service, as a value and what happens to it. Pure.

closed     calls go; so many failures in a row open it
open       nobody calls until `until`; then one call may probe the service
half_open  one call probes: its success closes the circuit, its failure opens it anew

Each function returns the circuit as it stands afterwards, the very same object where nothing
changes; `now` and `until` are seconds of one clock.
"""

from dataclasses import dataclass, replace
from typing import Literal

from flotilla.resilience import Breaker

CircuitState = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a circuit stands; of two that hubs know, the one of the higher revision is the later."""

    state: CircuitState = "closed"
    era: int = 0
    """Of the state: a call keeps the one in which it was admitted as its ticket, so that what comes
    of it later than the next change of state changes nothing."""
    revision: int = 0
    failures: int = 0
    """In a row."""
    reason: str | None = None
    """Why the last one failed."""
    until: float = 0.0
    """Open: when a call may probe. Half-open: when the place of a probe that never reported back
    is free again."""


CLOSED = Standing()


def admit(standing: Standing, now: float, probe_s: float) -> tuple[Standing, int | None]:
    """The ticket of one call, None where it may not go.

    A call that is admitted as the probe has its place for `probe_s`, the longest it may take.
    """
    if standing.state == "closed":
        return standing, standing.era
    if now < standing.until:
        return standing, None
    probing = _changed(standing, "half_open", until=now + probe_s)
    return probing, probing.era


def succeeded(standing: Standing, ticket: int) -> Standing:
    """The call of that ticket was answered: nothing failed in a row any more."""
    if ticket != standing.era or standing.state == "open":
        return standing
    if standing.state == "half_open":
        return _changed(standing, "closed", failures=0, reason=None)
    if not standing.failures:
        return standing
    return replace(standing, revision=standing.revision + 1, failures=0, reason=None)


def failed(standing: Standing, ticket: int, reason: str, now: float, breaker: Breaker) -> Standing:
    """The call of that ticket failed: the last of so many in a row, or the probe, opens it."""
    if ticket != standing.era or standing.state == "open":
        return standing
    failures = standing.failures + 1
    if standing.state == "closed" and failures < breaker.failures:
        return replace(standing, revision=standing.revision + 1, failures=failures, reason=reason)
    return _changed(standing, "open", failures=failures, reason=reason, until=now + breaker.open_s)


def dropped(standing: Standing, ticket: int, now: float) -> Standing:
    """The call of that ticket told nothing: if it was the probe, the next call is."""
    if ticket != standing.era or standing.state != "half_open":
        return standing
    return _changed(standing, "open", until=now)


def tripped(standing: Standing, reason: str, now: float, breaker: Breaker) -> Standing:
    """Open, whatever was counted; an open circuit stays so for `open_s` from now."""
    return _changed(
        standing,
        "open",
        failures=max(standing.failures, 1),
        reason=reason,
        until=now + breaker.open_s,
    )


def restored(standing: Standing, now: float) -> Standing:
    """The next call probes at once, whatever was left of the rest.

    A probe that is out does not hinder it: it was sent while the service was away, and may hang.
    """
    if standing.state == "closed" or (standing.state == "open" and standing.until <= now):
        return standing
    return _changed(standing, "open", until=now)


def state_at(standing: Standing, now: float) -> tuple[CircuitState, float]:
    """The state, and the seconds until a call may probe the service; 0.0 unless it is open."""
    if standing.state == "open":
        return "open", max(0.0, standing.until - now)
    return standing.state, 0.0


def _changed(
    standing: Standing,
    state: CircuitState,
    *,
    until: float = 0.0,
    failures: int | None = None,
    reason: str | None = "",
) -> Standing:
    revision = standing.revision + 1
    return Standing(
        state,
        era=revision,
        revision=revision,
        failures=standing.failures if failures is None else failures,
        reason=standing.reason if reason == "" else reason,
        until=until,
    )
