"""What goes on in Google after a call has answered: its handle, and getOperation."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Literal

import anyio
import structlog
from pydantic import Field

from flotilla import Context, FlotillaError, Model, Tool, reads
from google_cloud.cloud import AccountName, Aim, Cloud
from google_cloud.failures import from_operation
from google_cloud.places import last, moment, operation_place, relative

if TYPE_CHECKING:
    from google_cloud.connections import Connection

MAX_WAIT_S = 600
_CHUNK_S = 5.0
"""How long one request waits in Google, and so how often a caller is told how far it is."""
_PAUSE_S = 0.25
"""Between two requests where Google answers at once, which its wait may do."""

log = structlog.get_logger(__name__)


class Failed(Model):
    """Why an operation failed: the code that a call of ours would have, and Google's own."""

    code: str
    message: str
    upstream_code: str | None = None


class LongOperation(Model):
    """Something that Google does on its own time; getOperation with `operationId` follows it.

    Only `succeeded` means that it was done. `running` goes on whether or not anybody waits.
    """

    operation_id: str
    outcome: Literal["running", "succeeded", "failed"]
    action: str
    """What Google calls it: `start`, `insert`, `delete`, ..."""
    status: str
    progress_percent: int
    target: str
    target_id: str
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: Failed | None = None
    warnings: list[str] = Field(default_factory=list[str])


class Operations:
    """cloud.gcp.getOperation."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads(
                "cloud.gcp.getOperation",
                self.get_operation,
                title="Follow an operation",
                open_world=True,
                long=True,
                untrusted=True,
            ),
        )

    async def get_operation(
        self,
        context: Context,
        operation_id: Annotated[
            str,
            Field(max_length=400, description="operationId of the call that began it."),
        ],
        account: AccountName = None,
        wait_s: Annotated[
            int,
            Field(ge=0, le=MAX_WAIT_S, description="Wait so long for its end; 0: only look."),
        ] = 0,
    ) -> LongOperation:
        """Show how far an operation is, or wait for its end with progress notifications.

        Answers `running` when the time is over; to stop waiting (cancel) stops nothing in Google,
        where the operation goes on. `failed` has Google's reason in `error`.
        """
        project, _, _ = operation_place(operation_id)
        aim = await self._cloud.aim(context.deadline, account, project)
        found = await self._asked(context, aim, operation_id, None)
        until = monotonic() + min(wait_s, context.deadline.remaining_s() - 1.0)
        try:
            while found.outcome == "running" and (left_s := until - monotonic()) > 0:
                await context.report(
                    found.progress_percent,
                    100,
                    f"{found.action} of {last(found.target)}: {found.status}; "
                    "it goes on in Google whether or not you wait",
                )
                began = monotonic()
                found = await self._asked(context, aim, operation_id, min(left_s, _CHUNK_S))
                if found.outcome == "running" and monotonic() - began < _PAUSE_S:
                    await anyio.sleep(_PAUSE_S)
        except BaseException as stopped:
            if isinstance(stopped, anyio.get_cancelled_exc_class()):
                log.info("google_operation_wait_cancelled", operation=operation_id)
            raise
        return found

    async def _asked(
        self, context: Context, aim: Aim, operation_id: str, wait_s: float | None
    ) -> LongOperation:
        """Ask for it once; with `wait_s` at its end, or as it is when that time is over."""
        work = partial(operation_of, operation_id=operation_id)
        if wait_s is not None:
            try:
                return await self._cloud.read(
                    context.deadline, aim, lambda google, _: work(google, wait_s, waiting=True)
                )
            except FlotillaError as error:
                # No answer within the time that we gave it: it is still running, or Google hangs,
                # which the look that follows finds out.
                if error.details.get("reason") != "no_answer":
                    raise
        return await self._cloud.read(context.deadline, aim, work)


def operation_of(
    google: "Connection", timeout_s: float, *, operation_id: str, waiting: bool = False
) -> LongOperation:
    """The operation as it is, or as it is at its end; for a thread."""
    from google.cloud import compute_v1

    project, place, name = operation_place(operation_id)
    kind, _, where = place.partition("/")
    named: dict[str, Any] = {"project": project, "operation": name}
    if kind == "zones":
        client: Any = google.of(compute_v1.ZoneOperationsClient)
        named["zone"] = where
    elif kind == "regions":
        client = google.of(compute_v1.RegionOperationsClient)
        named["region"] = where
    else:
        client = google.of(compute_v1.GlobalOperationsClient)
    asked = client.wait if waiting else client.get
    return told(asked(**named, retry=None, timeout=timeout_s), project)


def told(operation: Any, project: str) -> LongOperation:
    """An operation of Compute's as our callers see it."""
    failed = _failed(operation)
    done = operation.status == operation.Status.DONE
    return LongOperation(
        operation_id=f"projects/{project}/{_place(operation)}/operations/{operation.name}",
        outcome="running" if not done else "failed" if failed else "succeeded",
        action=operation.operation_type,
        status=_status(operation),
        progress_percent=min(100, max(0, operation.progress)),
        target=relative(operation.target_link),
        target_id=str(operation.target_id or ""),
        started_at=moment(operation.start_time or operation.insert_time),
        ended_at=moment(operation.end_time),
        error=failed if done else None,
        warnings=[each.message[:300] for each in list(operation.warnings)[:10]],
    )


def begun(operation: Any, project: str) -> LongOperation:
    """`told` for what a call has just begun; raises its error where it has failed already."""
    if operation.status == operation.Status.DONE and _failed(operation) is not None:
        raise _error_of(operation)
    return told(operation, project)


def _place(operation: Any) -> str:
    if operation.zone:
        return f"zones/{last(operation.zone)}"
    return f"regions/{last(operation.region)}" if operation.region else "global"


def _status(operation: Any) -> str:
    status = operation.status
    return status.name if hasattr(status, "name") else str(status)


def _errors(operation: Any) -> Sequence[Any]:
    return list(operation.error.errors) if "error" in operation else []


def _failed(operation: Any) -> Failed | None:
    errors = _errors(operation)
    if not errors and operation.http_error_status_code < 400:
        return None
    error = _error_of(operation)
    return Failed(
        code=error.code, message=error.message, upstream_code=errors[0].code if errors else None
    )


def _error_of(operation: Any) -> FlotillaError:
    return from_operation(
        operation.http_error_status_code,
        [(each.code, each.message) for each in _errors(operation)],
        operation.http_error_message,
    )
