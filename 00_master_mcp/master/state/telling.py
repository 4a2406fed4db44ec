"""What people and callers are told of a circuit, whoever keeps it."""

from math import ceil

import structlog

from flotilla.breaker import Standing, state_at
from flotilla.errors import CircuitOpen
from master.state.seam import CircuitView

log = structlog.get_logger(__name__)

PROBE_MS = 1000
"""When to ask again while a call probes: how long that takes nobody knows."""


def told(service: str, before: Standing, after: Standing) -> None:
    """Say in the log that the circuit is in another state now."""
    if after.state == before.state:
        return
    tell = log.warning if after.state == "open" else log.info
    tell(
        "circuit_changed",
        upstream=service,
        circuit=after.state,
        failures=after.failures,
        reason=after.reason,
    )


def viewed(standing: Standing, now: float) -> CircuitView:
    state, retry_after_s = state_at(standing, now)
    return CircuitView(state, standing.failures, standing.reason, retry_after_s)


def refusal(service: str, standing: Standing, now: float) -> CircuitOpen:
    """For a call that the circuit does not admit, with `retryAfterMs`."""
    state, retry_after_s = state_at(standing, now)
    hint = "master.getServiceHealth tells what failed."
    if state == "half_open":
        return CircuitOpen(
            f"{service} rests after failures, and another call is finding out whether it is back",
            hint=hint,
            details={"retryAfterMs": PROBE_MS},
        )
    return CircuitOpen(
        f"{service} rests after {standing.failures} failed calls in a row; "
        f"a call may try it again in {ceil(retry_after_s)} s",
        hint=hint,
        details={"retryAfterMs": ceil(retry_after_s * 1000)},
    )
