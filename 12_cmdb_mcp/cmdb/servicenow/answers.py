"""What an HTTP answer of ServiceNow means: its result, or which error of ours. Pure.

It says errors as `{"error": {"message", "detail"}, "status": "failure"}`, sometimes under 200 and
behind half of a result, when a transaction was cancelled while the answer was being written.
"""

from collections.abc import Mapping
from time import time
from typing import Any, cast

import orjson

from flotilla import (
    FlotillaError,
    NotConfigured,
    NotFound,
    TimedOut,
    Unavailable,
    UpstreamError,
)
from flotilla.upstream import MAX_RETRY_AFTER_S, retry_after_s, upstream_error

PROVIDER = "ServiceNow"
REQUEST_ID = "X-Transaction-ID"


def result_of(status: int, headers: Mapping[str, str], body: bytes) -> Any:
    """The `result` of an answer; raises the error of ours for any other answer.

    `details.reason` is `hibernating`, `html_page`, `redirected`, `broken_json`, `cancelled` or
    `no_record` where one of these is what happened.
    """
    request_id = headers.get(REQUEST_ID)
    if 300 <= status < 400:
        raise _odd(status, request_id, "redirected", "it sends us elsewhere, as to a login page")
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "text/html" or body.lstrip()[:1] == b"<":
        raise _page(status, request_id, body, headers)
    try:
        told: Any = orjson.loads(body) if body else None
    except ValueError:
        if status >= 400:
            raise _error(status, headers, f"HTTP {status} without a sentence") from None
        raise _odd(status, request_id, "broken_json", "its answer is not whole JSON") from None
    members = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    if status >= 400 or "error" in members:
        raise _told(status, headers, members.get("error"))
    if "result" not in members:
        raise _odd(status, request_id, "broken_json", "its answer has no result")
    return members["result"]


def wait_s(headers: Mapping[str, str], now_s: float | None = None) -> float | None:
    """Seconds that a refusal asks to wait: Retry-After, else the reset of the rate limit."""
    asked = retry_after_s(headers.get("Retry-After"))
    if asked is not None:
        return asked
    try:
        reset_s = float(headers.get("X-RateLimit-Reset", ""))
    except ValueError:
        return None
    left_s = reset_s - (time() if now_s is None else now_s)
    return min(max(left_s, 0.0), MAX_RETRY_AFTER_S) if left_s == left_s else None


def whole(headers: Mapping[str, str], name: str) -> int | None:
    """A header that is a whole number, if it is there and one."""
    text = headers.get(name, "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _told(status: int, headers: Mapping[str, str], error: Any) -> FlotillaError:
    members = cast("dict[str, Any]", error) if isinstance(error, dict) else {}
    parts = [members.get("message"), members.get("detail")]
    # The token endpoint says its errors as one word.
    if isinstance(error, str):
        parts = [error]
    said = ": ".join(str(part) for part in parts if part) or f"HTTP {status} without a sentence"
    if status < 400:
        return _within(said, headers.get(REQUEST_ID))
    made = _error(status, headers, said)
    if isinstance(made, NotFound) and "no record found" in said.lower():
        made.details["reason"] = "no_record"
    return made


def _within(said: str, request_id: str | None) -> FlotillaError:
    """An error under a status of success: half of a result stands before it, and is not used."""
    lower = said.lower()
    if "cancelled" in lower or "canceled" in lower or "execution time" in lower:
        return TimedOut(
            f"{PROVIDER} gave up on the request: {said[:500]}",
            hint="Ask for less: fewer fields, a smaller limit, conditions on indexed fields.",
            details=_details(200, request_id, "cancelled"),
        )
    return UpstreamError(
        f"{PROVIDER}: {said[:1000]}", details=_details(200, request_id, "error_in_answer")
    )


def _error(status: int, headers: Mapping[str, str], said: str) -> FlotillaError:
    return upstream_error(
        PROVIDER,
        status,
        said,
        request_id=headers.get(REQUEST_ID),
        retry_after_s=wait_s(headers),
    )


def _page(
    status: int, request_id: str | None, body: bytes, headers: Mapping[str, str]
) -> FlotillaError:
    if b"hibernat" in body[:65_536].lower():
        return Unavailable(
            f"the {PROVIDER} instance is hibernating",
            hint="Its owner wakes it at developer.servicenow.com; that takes some minutes.",
            details=_details(status, request_id, "hibernating"),
        )
    if status >= 400:
        return _error(status, headers, f"HTTP {status} and a web page instead of an answer")
    return _odd(status, request_id, "html_page", "it answers with a web page, as a login page")


def _odd(status: int, request_id: str | None, reason: str, what: str) -> FlotillaError:
    kind = NotConfigured if reason == "redirected" else UpstreamError
    return kind(
        f"{PROVIDER} does not answer as its interface does: {what}",
        hint="Check url of the instance in servicenow.yaml, and what stands between it and us.",
        details=_details(status, request_id, reason),
    )


def _details(status: int, request_id: str | None, reason: str) -> dict[str, Any]:
    told: dict[str, Any] = {"reason": reason, "upstreamStatus": status}
    return {**told, "upstreamRequestId": request_id} if request_id else told
