"""What became of asking one engine, in the words that a client reads. Pure."""

from dataclasses import dataclass
from typing import Literal

from flotilla import FlotillaError, NotConfigured, RateLimited, TimedOut
from web_search.engine import Blocked, Found

Status = Literal[
    "ok", "empty", "blocked", "rate_limited", "timeout", "failed", "resting", "not_configured"
]

DEFAULT_RETRY_AFTER_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The answer of one engine, or why there is none."""

    engine: str
    status: Status
    found: tuple[Found, ...] = ()
    took_ms: int = 0
    error: FlotillaError | None = None
    retry_after_ms: int | None = None

    @property
    def answered(self) -> bool:
        return self.status in ("ok", "empty")

    @property
    def limited(self) -> bool:
        """It only wants to be asked later."""
        return isinstance(self.error, RateLimited)


def outcome_of(engine: str, error: FlotillaError, took_ms: int) -> Outcome:
    """The outcome where the engine raised that error."""
    return Outcome(
        engine=engine,
        status=_status_of(error),
        took_ms=took_ms,
        error=error,
        retry_after_ms=retry_after_ms(error),
    )


def retry_after_ms(error: FlotillaError) -> int | None:
    """When it may go better, as the error has it."""
    value = error.details.get("retryAfterMs")
    if isinstance(value, int) and value >= 0:
        return value
    return DEFAULT_RETRY_AFTER_MS if isinstance(error, RateLimited) else None


def _status_of(error: FlotillaError) -> Status:
    match error:
        case Blocked():
            return "blocked"
        case RateLimited():
            return "rate_limited"
        case TimedOut():
            return "timeout"
        case NotConfigured():
            return "not_configured"
        case _:
            return "failed"
