"""The error of a search that nobody answered. Pure."""

from collections.abc import Sequence

from flotilla import FlotillaError, NotConfigured, RateLimited, TimedOut, UpstreamError
from web_search.answers import Asked
from web_search.engine import Blocked
from web_search.outcomes import Outcome

MAX_REASON_CHARS = 300


def told(outcome: Outcome, kept: int | None = None) -> Asked:
    """The outcome as a client reads it; `kept` are its results that were pages."""
    return Asked(
        engine=outcome.engine,
        status=outcome.status,
        results=len(outcome.found) if kept is None else kept,
        took_ms=outcome.took_ms,
        reason=outcome.error.message[:MAX_REASON_CHARS] if outcome.error else None,
        retry_after_ms=outcome.retry_after_ms,
    )


def failure(outcomes: Sequence[Outcome]) -> FlotillaError:
    """Of one engine its own error; of several one that says what each of them did."""
    if not outcomes:
        return TimedOut("the call's time was over before any search engine could be asked")
    if len(outcomes) == 1 and outcomes[0].error is not None:
        return outcomes[0].error
    message = "no search engine answered: " + "; ".join(
        f"{each.engine} {each.status}" for each in outcomes
    )
    error = _error(outcomes, message)
    told_of = [told(each).model_dump(by_alias=True, exclude_none=True) for each in outcomes]
    error.details["engines"] = told_of
    return error


def _error(outcomes: Sequence[Outcome], message: str) -> FlotillaError:
    waits = [each.retry_after_ms for each in outcomes if each.retry_after_ms is not None]
    if all(each.limited for each in outcomes):
        return RateLimited(message, retry_after_ms=min(waits), hint="Wait so long, then ask again.")
    if all(each.status == "not_configured" for each in outcomes):
        return NotConfigured(message, hint="Each says under engines what it lacks.")
    if all(each.status == "timeout" for each in outcomes):
        return TimedOut(message, hint="The network of this service may be down; ask again later.")
    walls = any(isinstance(each.error, Blocked) for each in outcomes)
    return UpstreamError(
        message,
        hint="Where engines block robots, set up SearXNG or an engine with a key."
        if walls
        else "Look whether this service reaches the engines, or needs WEB_SEARCH_PROXY to do so.",
        details={"retryAfterMs": min(waits)} if waits else None,
    )
