"""What an API server says, in our words. Pure.

Source: Kubernetes API conventions, "Response Status Kind".
"""

from typing import Any

import orjson

from flotilla.errors import FlotillaError, UpstreamError
from flotilla.upstream import retry_after_s, upstream_error
from k8s.objects import Object, members, objects

PROVIDER = "Kubernetes"
MAX_CAUSES = 20
MAX_CAUSE_CHARS = 300


def parsed(raw: bytes, alias: str) -> Any:
    """The JSON of an answer; UpstreamError where it is none."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise UpstreamError(
            f"cluster {alias} answered with broken JSON",
            hint="Try again; often something between this service and the API server cut it.",
            details={"reason": "broken_json"},
        ) from None


def refused(
    alias: str, status: int, raw: bytes, *, retry_after: str | None, audit_id: str | None
) -> FlotillaError:
    """The error for an answer of that HTTP status; `raw` is a Status object, or what a proxy says.

    Its `reason` is in `details.upstreamCode`, its causes (field and message) in `details.causes`.
    """
    told = _status(raw)
    if not told:
        message = f"cluster {alias} answered {status}"
        return upstream_error(
            PROVIDER,
            status,
            message,
            request_id=audit_id,
            retry_after_s=retry_after_s(retry_after),
        )
    details = members(told, "details")
    wait = retry_after_s(retry_after)
    if wait is None and isinstance(details.get("retryAfterSeconds"), int):
        wait = float(details["retryAfterSeconds"]) or None
    error = upstream_error(
        PROVIDER,
        status,
        str(told.get("message") or f"cluster {alias} answered {status}"),
        code=str(told["reason"]) if told.get("reason") else None,
        request_id=audit_id,
        retry_after_s=wait,
        hint=_hint(status, str(told.get("reason") or "")),
    )
    if causes := [_cause(each) for each in objects(details.get("causes"))[:MAX_CAUSES]]:
        error.details["causes"] = causes
    error.details["cluster"] = alias
    return error


def upstream_status(error: FlotillaError) -> int | None:
    """The HTTP status that an error of ours came from."""
    status = error.details.get("upstreamStatus")
    return status if isinstance(status, int) else None


def _status(raw: bytes) -> dict[str, Any]:
    try:
        told: Any = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    found = members(told)
    return found if found.get("kind") == "Status" else {}


def _cause(cause: Object) -> dict[str, str]:
    return {
        key: str(cause[key])[:MAX_CAUSE_CHARS]
        for key in ("reason", "field", "message")
        if cause.get(key)
    }


def _hint(status: int, reason: str) -> str | None:
    if status == 403:
        return "infra.k8s.canI tells what this service's account may do in the cluster."
    if reason == "AlreadyExists":
        return "It is there already; read it with infra.k8s.getResource."
    return None
