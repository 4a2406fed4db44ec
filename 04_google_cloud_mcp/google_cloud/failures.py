"""What an error of Google, of its SDK or of the way there means to a caller of ours. Pure.

Google's own reason (`quotaExceeded`), its status and its request ID stay in `details`.
Source: cloud.google.com/apis/design/errors; cloud.google.com/compute/docs/api/errors.
"""

from collections.abc import Mapping
from json import JSONDecodeError
from typing import Any, cast

from flotilla import FlotillaError, NotConfigured, RateLimited, TimedOut, Unavailable, UpstreamError
from flotilla.upstream import retry_after_s, upstream_error

PROVIDER = "Google Cloud"
QUOTA_RETRY_S = 30.0
"""What a caller is told to wait where Google says no time: its quotas are counted by the minute."""

_QUOTA_REASONS = frozenset(
    {
        "rateLimitExceeded",
        "userRateLimitExceeded",
        "quotaExceeded",
        "resourceQuotaExceeded",
        "QUOTA_EXCEEDED",
        "RATE_LIMIT_EXCEEDED",
    }
)
_REQUEST_ID_HEADERS = ("x-goog-request-id", "x-guploader-uploadid", "x-cloud-trace-context")
BROKEN = "connection_broken"
GARBLED = "garbled_answer"
DOUBTFUL = frozenset({BROKEN, GARBLED, "no_answer"})
"""Reasons after which nobody knows whether the request was carried out."""


def from_status(
    status: int, message: str, *, reason: str | None, headers: Mapping[str, str]
) -> FlotillaError:
    """The error for an answer of that HTTP status; quotas are `rate_limited` whatever theirs."""
    known = {name.lower(): value for name, value in headers.items()}
    request_id = next((known[name] for name in _REQUEST_ID_HEADERS if name in known), None)
    after_s = retry_after_s(known.get("retry-after"))
    if status == 403 and reason in _QUOTA_REASONS:
        error = upstream_error(
            PROVIDER,
            429,
            message,
            code=reason,
            request_id=request_id,
            retry_after_s=QUOTA_RETRY_S if after_s is None else after_s,
            hint="A quota of the project is used up; wait, or ask Google for more.",
        )
        error.details["upstreamStatus"] = 403
    else:
        error = upstream_error(
            PROVIDER,
            status,
            message,
            code=reason,
            request_id=request_id,
            retry_after_s=after_s,
            hint=_hint(status),
        )
    if reason:
        error.details["reason"] = reason
    return error


def from_operation(
    status: int, errors: list[tuple[str, str]], message: str | None = None
) -> FlotillaError:
    """The error of an operation that failed: `errors` are its codes and sentences."""
    told = "; ".join(sentence or code for code, sentence in errors) or message or "it failed"
    reason = errors[0][0] if errors else None
    if reason in _QUOTA_REASONS:
        error: FlotillaError = RateLimited(
            f"{PROVIDER}: {told[:1000]}",
            retry_after_ms=round(QUOTA_RETRY_S * 1000),
            hint="A quota of the project is used up; ask Google for more.",
        )
        error.details.update({"upstreamStatus": status, "upstreamCode": reason})
    else:
        error = upstream_error(PROVIDER, status if status >= 400 else 502, told, code=reason)
    if reason:
        error.details["reason"] = reason
    return error


def translated(error: BaseException) -> FlotillaError | None:
    """The error of ours for what the SDK raised; None for what is no failure of Google's.

    Call it where the SDK is loaded already.
    """
    if isinstance(error, FlotillaError):
        return error
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth
    from google.protobuf.json_format import ParseError
    from requests import exceptions as http

    if isinstance(error, api.GoogleAPICallError):
        return _from_call(error)
    if isinstance(error, (ParseError, http.JSONDecodeError, http.ContentDecodingError)):
        return _garbled()
    if isinstance(error, (http.Timeout, TimeoutError)):
        return TimedOut(f"{PROVIDER} did not answer in time", details={"reason": "no_answer"})
    if isinstance(error, http.SSLError):
        return UpstreamError(
            f"{PROVIDER}'s certificate is not to be trusted",
            hint="Set ca_file of this account to the authorities of its endpoints.",
            details={"reason": "certificate_not_trusted"},
        )
    if isinstance(error, (http.RequestException, ConnectionError)):
        return Unavailable(
            f"the connection to {PROVIDER} broke", details={"reason": BROKEN}, hint="Try again."
        )
    if isinstance(error, auth.GoogleAuthError):
        return _from_sign_in(error)
    if isinstance(error, (UnicodeDecodeError, JSONDecodeError)):
        return _garbled()
    return None


def _garbled() -> FlotillaError:
    return UpstreamError(
        f"{PROVIDER} sent an answer that cannot be read",
        hint="Try again; something between this service and Google may have cut it.",
        details={"reason": GARBLED},
    )


def _from_call(error: Any) -> FlotillaError:
    response = error.response
    headers: Mapping[str, str] = response.headers if response is not None else {}
    status = int(error.code or 502)
    message = str(error.message or "")
    # The SDK puts the method and the whole address before Google's sentence.
    before, found, after = message.partition(": ")
    if found and before.split(" ", 1)[0] in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        message = after
    return from_status(status, message or "no reason given", reason=_reason(error), headers=headers)


def _reason(error: Any) -> str | None:
    for each in cast("list[Any]", list(error.errors or ())):
        if isinstance(each, dict) and isinstance(given := each.get("reason"), str):  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            return given
    given = getattr(error, "reason", None)
    return given if isinstance(given, str) else None


def _from_sign_in(error: Any) -> FlotillaError:
    from google.auth import exceptions as auth

    if isinstance(error, auth.TransportError) or getattr(error, "retryable", False):
        return Unavailable(
            f"{PROVIDER} did not give a token just now",
            hint="Try again; if it stays so, look at the account's token endpoint.",
            details={"reason": "sign_in_unreachable"},
        )
    return NotConfigured(
        f"{PROVIDER} does not take the credentials of this account",
        hint="Renew its key, or sign in anew where it uses Google's own chain.",
        details={"reason": "sign_in_refused"},
    )


def _hint(status: int) -> str | None:
    return "It may have been deleted, or the name or zone is another." if status == 404 else None
