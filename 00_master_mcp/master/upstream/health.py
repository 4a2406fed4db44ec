"""How a service stands, as people and circuits are told of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Status = Literal["healthy", "unhealthy", "unreachable"]


@dataclass(frozen=True, slots=True)
class Health:
    """What was found out last, by a call or by a check of the hub's own. Times are UTC.

    `unhealthy`: it answers, and says that it cannot serve. `unreachable`: it does not answer.
    """

    status: Status
    reason: str | None = None
    """Why it is not healthy."""
    latency_ms: float | None = None
    """Of the last check that was answered."""
    checked_at: datetime | None = None
    away_since: datetime | None = None
    """Of one that is unreachable."""
