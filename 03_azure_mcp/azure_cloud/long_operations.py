"""Operations of Azure that go on after the call that began them: their handles, and how they stand.

Source: Azure Resource Manager, "Track asynchronous operations"; the order of the three ways is the
one of its API guidelines.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast
from urllib.parse import parse_qsl, unquote, urlencode

from azure_cloud.arm_errors import told
from azure_cloud.ids import is_guid
from azure_cloud.links import at_home
from azure_cloud.wire import Answer
from flotilla import InvalidArgument, Model, UpstreamError, decode_cursor, encode_cursor
from flotilla.upstream import retry_after_s

Status = Literal["running", "succeeded", "failed", "canceled"]
Way = Literal["operation", "location", "resource"]
"""By the status that Azure-AsyncOperation leads to, Location's 202, or the resource itself."""

KIND = "azop"
DEFAULT_POLL_S = 5.0
_PATH = re.compile(
    r"/subscriptions/[^/]+/(?:[^/]+/)*[a-z]*operation[a-z]*(?:/[^/]+){0,2}", re.IGNORECASE
)
# Clients of HTTP take tabs and line ends out of an address, and then dots up: what is judged here
# must be what is asked. An encoded slash would part segments that were judged as one.
_SPELT_OUT = re.compile(r"(?:(?!%(?:2[ef]|5c|25|[01]|7f))[!-\[\]-~])*", re.IGNORECASE)
_MOST_URL_CHARS = 2048


class OperationHandle(Model):
    """An operation that was begun; `getOperation` follows it."""

    operation_id: str
    """Opaque; pass it to getOperation."""
    status: Status
    target: str
    action: str
    started_at: datetime
    retry_after_s: float | None = None
    """When it is worth asking again."""
    note: str | None = None


class OperationState(OperationHandle):
    """How an operation stands."""

    percent_complete: float | None = None
    error: dict[str, str] | None = None
    """`code` and `message` of a failed one, as Azure says them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What an operation's ID holds."""

    account: str
    way: Way
    path: str
    """With its query; below the endpoint of the account."""
    target: str
    action: str
    started_at: datetime

    @property
    def subscription(self) -> str:
        return self.path.split("/")[2]

    def written(self) -> str:
        return encode_cursor(
            KIND,
            [
                self.account,
                self.way,
                self.path,
                self.target,
                self.action,
                self.started_at.timestamp(),
            ],
        )


def read(operation_id: str) -> Followed:
    """What the ID holds; InvalidArgument for one that none of our tools can have given."""
    try:
        value = decode_cursor(KIND, operation_id)
    except InvalidArgument:
        raise _not_ours() from None
    match value:
        case [
            str() as account,
            "operation" | "location" | "resource" as way,
            str() as path,
            str() as target,
            str() as action,
            int() | float() as started,
        ] if 0 < started < 1e11:
            pass
        case _:
            raise _not_ours()
    if not _may_be_asked(path, way):
        raise _not_ours()
    return Followed(
        account=account,
        way=way,
        path=path,
        target=target,
        action=action,
        started_at=datetime.fromtimestamp(started, UTC),
    )


def begun(
    account: str,
    endpoint: str,
    answer: Answer,
    *,
    path: str,
    version: str,
    target: str,
    action: str,
) -> OperationHandle:
    """The handle of what a request began; `path` and `version` are those of its resource.

    Raises UpstreamError where Azure names a place to follow it that is not its own.
    """
    now = datetime.now(UTC)
    way, link = _place(answer)
    where = (
        f"{path}?{urlencode({'api-version': version})}"
        if link is None
        else _own(link, endpoint, way)
    )
    followed = Followed(
        account=account, way=way, path=where, target=target, action=action, started_at=now
    )
    status = "running" if answer.status == 202 or link is not None else _of_resource(answer.body)
    return OperationHandle(
        operation_id=followed.written(),
        status=status,
        target=target,
        action=action,
        started_at=now,
        retry_after_s=poll_after_s(answer) if status == "running" else None,
    )


def stood(operation_id: str, followed: Followed, answer: Answer) -> OperationState:
    """How the operation stands by what its place answers now."""
    body = cast("dict[str, Any]", answer.body) if isinstance(answer.body, dict) else {}
    match followed.way:
        case "operation":
            status = _status(body.get("status"))
        case "location":
            status = "running" if answer.status == 202 else "succeeded"
        case "resource":
            status = _of_resource(body)
    percent = body.get("percentComplete")
    failed = status in ("failed", "canceled")
    return OperationState(
        operation_id=operation_id,
        status=status,
        target=followed.target,
        action=followed.action,
        started_at=followed.started_at,
        retry_after_s=poll_after_s(answer) if status == "running" else None,
        percent_complete=percent if isinstance(percent, int | float) else None,
        error=problem_of(body) if failed else None,
    )


def gone(operation_id: str, followed: Followed) -> OperationState:
    """The end of a deletion that could only be followed by what was deleted."""
    return OperationState(
        operation_id=operation_id,
        status="succeeded",
        target=followed.target,
        action=followed.action,
        started_at=followed.started_at,
    )


def problem_of(body: Mapping[str, Any]) -> dict[str, str] | None:
    """Code and message of the error that a status holds."""
    code, message = told({"error": body.get("error")})
    if code is None and message is None:
        return None
    return {"code": code or "unknown", "message": (message or "Azure gives no reason")[:2000]}


def poll_after_s(answer: Answer) -> float:
    """Seconds after which it is worth asking again."""
    asked = retry_after_s(answer.headers.get("retry-after"))
    return DEFAULT_POLL_S if asked is None else asked


def _place(answer: Answer) -> tuple[Way, str | None]:
    headers = answer.headers
    if link := headers.get("azure-asyncoperation") or headers.get("operation-location"):
        return "operation", link
    if answer.status == 202 and (link := headers.get("location")):
        return "location", link
    return "resource", None


def _own(link: str, endpoint: str, way: Way) -> str:
    """The link below the endpoint; UpstreamError for any other: our token would go there."""
    parts = at_home(link, endpoint)
    path = "" if parts is None else f"{parts.path}?{parts.query}" if parts.query else parts.path
    if not _may_be_asked(path, way):
        raise UpstreamError(
            "Azure began it, but the place where it can be followed is not one of its own",
            hint="Look at the target with a get tool; do not repeat the call.",
            details={"reason": "strange_link", "outcome": "unknown"},
        )
    return path


def _may_be_asked(path: str, way: str) -> bool:
    """Whether a GET of it can be one that follows an operation."""
    plain, _, query = path.partition("?")
    if len(path) > _MOST_URL_CHARS or "#" in path or not _SPELT_OUT.fullmatch(plain):
        return False
    whole = unquote(plain)
    if ".." in whole or "//" in whole or re.search(r"[^!-~]", query):
        return False
    parts = whole.split("/")
    if len(parts) < 4 or parts[0] or parts[1].lower() != "subscriptions" or not is_guid(parts[2]):
        return False
    if not any(name.lower() == "api-version" for name, _ in parse_qsl(query)):
        return False
    return way == "resource" or _PATH.fullmatch(whole) is not None


def _status(told_status: Any) -> Status:
    match str(told_status).lower():
        case "succeeded":
            return "succeeded"
        case "failed":
            return "failed"
        case "canceled" | "cancelled":
            return "canceled"
        case _:
            return "running"


def _of_resource(body: Any) -> Status:
    """By `properties.provisioningState`; a resource that has none is there already."""
    whole = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    properties: Any = whole.get("properties")
    state = (
        cast("dict[str, Any]", properties).get("provisioningState")
        if isinstance(properties, dict)
        else None
    )
    return "succeeded" if state is None else _status(state)


def _not_ours() -> InvalidArgument:
    return InvalidArgument(
        "operationId is not one that a tool of this service gave out",
        hint="Pass operationId of the tool that began the operation, unchanged.",
    )
