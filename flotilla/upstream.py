"""What a provider's HTTP answer means to a caller of ours, alike for every provider. Pure.

The provider's own code, its request ID and the status stay in `details` as `upstreamCode`,
`upstreamRequestId` and `upstreamStatus`: they are what its support asks for.
Source: RFC 9110, sections 10.2.3 (Retry-After) and 15.
"""

from collections.abc import AsyncIterable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from flotilla.errors import (
    Conflict,
    FlotillaError,
    InvalidArgument,
    NotAllowed,
    NotConfigured,
    NotFound,
    RateLimited,
    TimedOut,
    TooLarge,
    Unavailable,
    UpstreamError,
)

DEFAULT_RETRY_AFTER_S = 5.0
MAX_RETRY_AFTER_S = 3600.0
MAX_MESSAGE_CHARS = 1000

_KINDS: dict[int, type[FlotillaError]] = {
    400: InvalidArgument,
    401: NotConfigured,
    403: NotAllowed,
    404: NotFound,
    408: TimedOut,
    409: Conflict,
    410: NotFound,
    412: Conflict,
    413: TooLarge,
    415: InvalidArgument,
    422: InvalidArgument,
    503: Unavailable,
    504: TimedOut,
}


def upstream_error(
    provider: str,
    status: int,
    message: str,
    *,
    code: str | None = None,
    request_id: str | None = None,
    retry_after_s: float | None = None,
    hint: str | None = None,
) -> FlotillaError:
    """The error of ours for a provider's answer of that HTTP status.

    `message` is the provider's sentence; it is cut at 1000 characters. A 401 is about the fleet's
    own credentials, never the caller's, and so is `not_configured`.
    """
    told = f"{provider}: {message[:MAX_MESSAGE_CHARS]}"
    details: dict[str, Any] = {"upstreamStatus": status}
    if code:
        details["upstreamCode"] = code
    if request_id:
        details["upstreamRequestId"] = request_id
    error: FlotillaError
    if status == 429:
        wait_s = DEFAULT_RETRY_AFTER_S if retry_after_s is None else retry_after_s
        error = RateLimited(told, retry_after_ms=round(wait_s * 1000), hint=hint)
    else:
        kind = _KINDS.get(status, UpstreamError)
        error = kind(told, hint=hint or _hint(provider, status))
        if retry_after_s is not None:
            details["retryAfterMs"] = round(retry_after_s * 1000)
    error.details.update(details)
    return error


async def whole(parts: AsyncIterable[bytes], max_bytes: int, told: str, *, hint: str) -> bytes:
    """The body whose `parts` come one by one.

    Raises TooLarge with `told` and `hint` beyond `max_bytes`, having read one part more at most.
    """
    read: list[bytes] = []
    size = 0
    async for part in parts:
        size += len(part)
        if size > max_bytes:
            raise TooLarge(told, hint=hint)
        read.append(part)
    return b"".join(read)


def retry_after_s(
    header: str | None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> float | None:
    """Seconds that a Retry-After header asks for, at most an hour; None for none or nonsense.

    Takes both forms: a number of seconds and an HTTP date.
    """
    if header is None:
        return None
    text = header.strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - now()).total_seconds()
    if seconds != seconds:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _hint(provider: str, status: int) -> str | None:
    if status == 401:
        return f"{provider} does not take the credentials of this account; renew them."
    if status == 403:
        return f"The account of this service lacks the right in {provider}; grant it there."
    return None
