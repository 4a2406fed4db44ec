"""Work that vCenter does by itself: the handle that a call gets at once, and how it is followed."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from anyio import sleep
from pydantic import Field

from flotilla import (
    Context,
    Cursor,
    Deadline,
    FlotillaError,
    Limit,
    Model,
    NotFound,
    Page,
    Tool,
    UpstreamError,
    page_of,
    reads,
)
from flotilla.paging import DEFAULT_LIMIT
from vmware.faults import fault_error, task_failed
from vmware.link import Link, Links
from vmware.names import MoId, VCenterName, decoded

if TYPE_CHECKING:
    from vmware.reading import Vc

KIND = "Task"
MAX_WAIT_S = 600
FIRST_LOOK_S = 0.25
LAST_LOOK_S = 3.0
ANSWER_S = 1.0
"""What is left of a deadline to answer in, when the wait is cut short by it."""

TaskId = Annotated[MoId, Field(description="`taskId` as a tool of infra.vmware returned it.")]


class TaskError(Model):
    """Why a task failed: our code, the fault's name at vCenter, its words."""

    code: str
    fault: str
    message: str
    hint: str | None = None


class Task(Model):
    """A task of vCenter: `queued` or `running` goes on by itself, `success` and `error` are ends.

    `resultId` is the ID of what it made, say of a clone. Follow it with getTask.
    """

    vcenter: str
    task_id: str
    operation: str
    state: str
    progress_percent: int | None
    target_id: str | None
    target: str | None
    started_by: str | None
    queued_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    result_id: str | None = None
    error: TaskError | None = None

    @property
    def ended(self) -> bool:
        return self.state in ("success", "error")


PATHS = (
    "info.descriptionId",
    "info.state",
    "info.progress",
    "info.entity",
    "info.entityName",
    "info.reason",
    "info.queueTime",
    "info.startTime",
    "info.completeTime",
    "info.result",
    "info.error",
)


class Tasks:
    """The tools of this file."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("infra.vmware.listTasks", self.list_tasks, title="Recent tasks", untrusted=True),
            reads(
                "infra.vmware.getTask",
                self.get_task,
                title="Follow a task",
                untrusted=True,
                long=True,
            ),
        )

    async def list_tasks(
        self,
        context: Context,
        vcenter: VCenterName = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[Task]:
        """List what a vCenter works on or has done in the last minutes, newest first.

        vCenter keeps some two hundred tasks so; older ones are among listEvents.
        """
        link = self._links.to(vcenter)
        found = await link.use(context.deadline, _recent)
        return page_of(f"tasks|{link.alias}", found, limit=limit, cursor=cursor)

    async def get_task(
        self,
        context: Context,
        task_id: TaskId,
        vcenter: VCenterName = None,
        wait_s: Annotated[
            float, Field(ge=0, le=MAX_WAIT_S, description="Seconds to wait for its end at most.")
        ] = 0,
    ) -> Task:
        """Show how a task stands, or wait up to `waitS` seconds for its end.

        Progress is reported meanwhile. To stop waiting, by a cancel too, does not stop the task:
        it goes on in vCenter, and a later getTask finds it. A task that failed is a result with
        `error`, not an error of this call.
        """
        link = self._links.to(vcenter)
        return await followed(link, context, task_id, wait_s)


async def followed(link: Link, context: Context, task_id: str, wait_s: float) -> Task:
    """The task at its end, or as it stands after `wait_s` seconds or shortly before the deadline.

    Between two looks no thread and no connection is held.
    """
    until = context.deadline.no_later_than(wait_s)
    pause_s, told = FIRST_LOOK_S, -1
    while True:
        task = await link.use(context.deadline, lambda vc: read_task(vc, task_id))
        percent = 100 if task.ended else task.progress_percent or 0
        if wait_s and percent > told:
            told = percent
            await context.report(percent, 100, f"{task.operation}: {task.state}")
        left_s = min(until.remaining_s(), context.deadline.remaining_s() - ANSWER_S)
        if task.ended or left_s <= 0:
            return task
        await sleep(min(pause_s, left_s))
        pause_s = min(pause_s * 1.6, LAST_LOOK_S)


async def begun(link: Link, deadline: Deadline, start: "Any") -> Task:
    """The task that `start` begins, as it stands at once; one that failed at once is an error.

    Whatever it makes or deletes: the next list reads the order of its vCenter anew.
    """

    def work(vc: "Vc") -> str:
        task = start(vc)
        if task is None:
            raise UpstreamError("vCenter named no task for what it was asked to do")
        return task._moId

    task_id = await link.use(deadline, work)
    link.orders.forget()
    try:
        task = await link.use(deadline, lambda vc: read_task(vc, task_id))
    except FlotillaError as error:
        error.hint = "The task was begun; follow it with getTask."
        error.details.update({"taskId": task_id, "vcenter": link.alias, "outcome": "begun"})
        raise
    if task.error is not None:
        raise fault_error(task.error.fault, task.error.message, doing=task.operation)
    return task


def read_task(vc: "Vc", task_id: str) -> Task:
    """The task as it stands; NotFound when vCenter has forgotten it."""
    found = vc.these(KIND, [(KIND, task_id)], PATHS)
    if not found:
        raise NotFound(
            f"vCenter {vc.alias} knows no task {task_id!r}",
            hint="Tasks that ended are forgotten after some minutes; see listEvents.",
        )
    return task_of(vc.alias, task_id, found[0].values)


def task_of(alias: str, task_id: str, values: dict[str, Any]) -> Task:
    """A task from its leaf paths."""
    from vmware.vsphere import fault_of

    failed = values.get("info.error")
    entity, reason = values.get("info.entity"), values.get("info.reason")
    return Task(
        vcenter=alias,
        task_id=task_id,
        operation=str(values.get("info.descriptionId", "")),
        state=str(values.get("info.state", "unknown")),
        progress_percent=values.get("info.progress"),
        target_id=None if entity is None else entity._moId,
        target=decoded(values.get("info.entityName") or "") or None,
        started_by=getattr(reason, "userName", None),
        queued_at=values.get("info.queueTime"),
        started_at=values.get("info.startTime"),
        completed_at=values.get("info.completeTime"),
        result_id=getattr(values.get("info.result"), "_moId", None),
        error=None if failed is None else TaskError(**task_failed(*fault_of(failed))),
    )


def _recent(vc: "Vc") -> list[Task]:
    manager = vc.content.taskManager
    recent = vc.leaves("TaskManager", manager._moId, ("recentTask",)).get("recentTask") or ()
    refs = [(KIND, each._moId) for each in recent]
    tasks = [task_of(vc.alias, read.mo_id, read.values) for read in vc.these(KIND, refs, PATHS)]
    # Those of the same instant by their numbers: task-9 before task-10.
    return sorted(tasks, key=_age, reverse=True)


def _age(task: Task) -> tuple[float, int, str]:
    queued_at = 0.0 if task.queued_at is None else task.queued_at.timestamp()
    return queued_at, len(task.task_id), task.task_id
