"""What an error of Resource Manager means to a caller of ours. Pure.

Source: Azure Resource Manager, "Common error codes" and the OData error of its API guidelines.
"""

import re
from collections.abc import Mapping
from typing import Any, cast

from flotilla import FlotillaError
from flotilla.upstream import retry_after_s, upstream_error

PROVIDER = "Azure"
_MOST_DETAILS = 3
_LIMITS = re.compile(r"x-ms-ratelimit-microsoft\.costmanagement-[a-z-]*retry-after")

_HINTS: Mapping[str, str] = {
    "ScopeLocked": "A lock protects it; who may manage locks must take it away in Azure first.",
    "MissingSubscriptionRegistration": "Register the resource provider in this subscription first.",
    "SubscriptionNotFound": "listSubscriptions gives those that this account can see.",
    "ResourceGroupNotFound": "listResourceGroups gives those that there are.",
    "SkuNotAvailable": "Choose another size or location.",
    "OperationNotAllowed": "Often a quota: ask for a higher one or choose a smaller size.",
}


def failure(status: int, headers: Mapping[str, str], body: Any) -> FlotillaError:
    """The error of an answer of that status; `body` is its JSON, or None."""
    code, message = told(body)
    error = upstream_error(
        PROVIDER,
        status,
        message or f"the request failed with status {status}",
        code=code,
        request_id=headers.get("x-ms-request-id"),
        retry_after_s=retry_after_s(asked_pause(headers)),
        hint=_HINTS.get(code or ""),
    )
    if correlated := headers.get("x-ms-correlation-request-id"):
        error.details["upstreamCorrelationId"] = correlated[:100]
    return error


def told(body: Any) -> tuple[str | None, str | None]:
    """The code and the sentence of an error body, in either of the two shapes that are met."""
    outer = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    error: Any = outer.get("error", outer)
    if not isinstance(error, dict):
        return None, None
    known = cast("dict[str, Any]", error)
    code, message = known.get("code"), known.get("message")
    said = [" ".join(message.split())] if isinstance(message, str) else []
    details: Any = known.get("details")
    if isinstance(details, list):
        for each in cast("list[Any]", details)[:_MOST_DETAILS]:
            inner_code, inner = told({"error": each})
            if inner:
                said.append(f"{inner_code}: {inner}" if inner_code else inner)
    return (code if isinstance(code, str) else None), " ".join(said) or None


def asked_pause(headers: Mapping[str, str]) -> str | None:
    """What Azure asks to wait: Retry-After, or the header that Cost Management has instead."""
    own = [value for name, value in headers.items() if _LIMITS.fullmatch(name) and value.isdigit()]
    return headers.get("retry-after") or (max(own, key=int) if own else None)
