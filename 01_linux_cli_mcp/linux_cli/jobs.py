"""Work that outlasts a call: startJob, readJob, cancelJob and listJobs."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
import structlog
from anyio import to_thread
from anyio.abc import TaskGroup
from pydantic import Field

from flotilla import (
    MAX_TEXT_BYTES,
    Conflict,
    Context,
    Cursor,
    FlotillaError,
    Limit,
    Model,
    NotFound,
    Page,
    RateLimited,
    Tool,
    Unavailable,
    cut,
    destroys,
    page_of,
    reads,
)
from flotilla.paging import DEFAULT_LIMIT
from linux_cli.commands import Command, Env, Folder, Stdin, chosen_argv
from linux_cli.decoding import Encoding, decoded
from linux_cli.host import Host, HostName, Hosts, Order, Part, Stream, absolute
from linux_cli.job_records import JobState, Record, Records
from linux_cli.spool import Spool, read_spool

log = structlog.get_logger(__name__)

JobId = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$", description="`id` from startJob.")]

_RETRY_AFTER_MS = 5000
_MAX_COMMAND = 1000
_END_WAIT_S = 10.0


class Job(Model):
    """A job as it stands.

    `timedOut`, `cancelled` and `stopped` (the service was shut down) ended before their time;
    `lost` ran when the service itself died, so how it ended is not known.
    """

    id: str
    host: str
    command: str
    state: JobState
    started_by: str
    started_at: datetime
    ended_at: datetime | None
    exit_code: int | None
    signal: str | None
    reason: str | None


class JobOutput(Model):
    """A part of a job's output, and how the job stands.

    Read on at `nextOffset`; `complete` says that nothing more will come after this part.
    `droppedBytes` lay between the offset asked for and `offset`, and are gone.
    """

    job: Job
    stream: Stream
    content: str
    encoding: Encoding
    offset: int
    next_offset: int
    end_offset: int
    dropped_bytes: int
    truncated: bool
    complete: bool


class _Running:
    """A job of this life of the spoke."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.scope = anyio.CancelScope()
        self.ended = anyio.Event()


class Jobs:
    """Runs jobs while `open` and keeps what they wrote in a folder of the spoke's own."""

    def __init__(
        self,
        hosts: Hosts,
        folder: Path,
        *,
        max_running: int,
        max_kept: int,
        output_bytes: int,
        retention_s: float,
        max_s: float,
    ) -> None:
        self._hosts = hosts
        self._records = Records(folder)
        self._max_running = max_running
        self._max_kept = max_kept
        self._output_bytes = output_bytes
        self._retention_s = retention_s
        self._max_s = max_s
        self._running: dict[str, _Running] = {}
        self._group: TaskGroup | None = None

    def tools(self) -> tuple[Tool, ...]:
        return (
            destroys("os.linux.startJob", self.start_job, open_world=True),
            reads("os.linux.readJob", self.read_job, untrusted=True),
            destroys("os.linux.cancelJob", self.cancel_job, idempotent=True),
            reads("os.linux.listJobs", self.list_jobs, untrusted=True),
        )

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Jobs may be started within; at the end all that still run are ended and say so."""
        lost = await self._note_lost()
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                for machine, label in lost:
                    # While we serve already: a host may be away.
                    group.start_soon(self._end_lost, machine, label)
                try:
                    yield
                finally:
                    self._group = None
                    group.cancel_scope.cancel()
        finally:
            self._running.clear()

    async def start_job(
        self,
        context: Context,
        command: Command = None,
        argv: Annotated[list[str] | None, Field(min_length=1, max_length=1000)] = None,
        host: HostName = "local",
        cwd: Folder = None,
        env: Env | None = None,
        timeout_s: Annotated[
            float | None, Field(gt=0, le=7 * 86_400, description="Seconds until it is ended.")
        ] = None,
        stdin: Stdin = None,
    ) -> Job:
        """Start a command in the background and return at once; it goes on after this call.

        Either `command`, a line for /bin/sh, or `argv`. Follow it with readJob, end it with
        cancelJob. It ends with this service. Everyone who may use these tools sees it.
        """
        chosen = chosen_argv(command, argv)
        machine = self._hosts.find(host)
        if self._group is None:
            raise Unavailable("jobs cannot be started while the service starts or stops")
        if len(self._running) >= self._max_running:
            raise RateLimited(
                f"{self._max_running} jobs run already, as many as may",
                retry_after_ms=_RETRY_AFTER_MS,
                hint="Wait for one to end, or end one by cancelJob.",
            )
        record = Record(
            id=secrets.token_hex(8),
            label=secrets.token_hex(16),
            host=machine.name,
            argv=chosen,
            cwd=None if cwd is None else absolute(cwd),
            started_by=context.principal.name,
            started_at=datetime.now(UTC),
        )
        order = Order(
            argv=chosen,
            timeout_s=min(timeout_s or self._max_s, self._max_s),
            cwd=record.cwd,
            env=env or {},
            stdin=None if stdin is None else stdin.encode(),
            label=record.label,
        )
        running = _Running(record)
        try:
            self._records.save(record)
        except OSError as error:
            raise Unavailable(f"the job cannot be recorded: {error.strerror}") from None
        self._running[record.id] = running
        self._group.start_soon(self._run, machine, order, running)
        return _shown(record)

    async def read_job(
        self,
        job_id: JobId,
        stream: Literal["stdout", "stderr"] = "stdout",
        offset: Annotated[
            int,
            Field(ge=-(2**62), le=2**62, description="First byte; below zero counts from the end."),
        ] = 0,
        max_bytes: Annotated[int, Field(ge=4, le=MAX_TEXT_BYTES)] = MAX_TEXT_BYTES,
    ) -> JobOutput:
        """Read a part of what a job wrote, at most 48 KB, and how the job stands.

        Pass `nextOffset` as `offset` to read on; while the job runs more may come. Of very long
        output only the newest part is kept, and `droppedBytes` says how much was missed.
        """
        record = await self._find(job_id)
        # The state is taken first: output that comes after it is read, never missed.
        folder = self._records.folder_of(job_id)
        piece = await to_thread.run_sync(read_spool, folder, stream, offset, max_bytes)
        at_end = piece.offset + len(piece.data) >= piece.end
        ended = record.state != "running"
        part = Part(
            path="",
            offset=piece.offset,
            data=piece.data,
            size_bytes=None,
            modified_s=0,
            at_end=at_end and ended,
            first=b"",
        )
        text, encoding, used = decoded(part, raw=False)
        following = piece.offset + used
        return JobOutput(
            job=_shown(record),
            stream=stream,
            content=text,
            encoding=encoding,
            offset=piece.offset,
            next_offset=following,
            end_offset=piece.end,
            dropped_bytes=max(0, piece.offset - max(0, offset)) if offset >= 0 else 0,
            truncated=following < piece.end,
            complete=ended and following >= piece.end,
        )

    async def cancel_job(self, job_id: JobId) -> Job:
        """End a running job and everything it started; one that has ended already stays as it is.

        It is asked to end and killed a second later.
        """
        running = self._running.get(job_id)
        if running is None:
            record = await self._find(job_id)
            return _shown(record)
        running.scope.cancel()
        with anyio.move_on_after(_END_WAIT_S):
            await running.ended.wait()
        if not running.ended.is_set():
            raise Conflict("the job does not end: the kernel holds one of its processes")
        return _shown(running.record)

    async def list_jobs(
        self,
        state: JobState | None = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[Job]:
        """List jobs that run, and those that ended within the time they are remembered.

        Newest first, with who started them and how they ended.
        """
        records = await to_thread.run_sync(self._kept)
        shown = [_shown(record) for record in records if state in (None, record.state)]
        return page_of("jobs", shown, limit=limit, cursor=cursor)

    def _kept(self) -> list[Record]:
        self._records.forget(older_than_s=self._retention_s, keep=self._max_kept)
        return self._records.all()

    async def _find(self, job_id: str) -> Record:
        running = self._running.get(job_id)
        if running is not None:
            return running.record
        for record in await to_thread.run_sync(self._records.all):
            if record.id == job_id:
                return record
        raise NotFound(f"there is no job {job_id!r}", hint="listJobs names those remembered.")

    async def _note_lost(self) -> list[tuple[Host, str]]:
        """End what an earlier life of the spoke left running here, and have its records say so.

        What is left to be done elsewhere: hosts, and the labels of what runs there.
        """
        left: list[tuple[Host, str]] = []
        for record in await to_thread.run_sync(self._kept):
            if record.state == "running":
                # NotFound: the host is not configured any more, so nothing can be done there.
                with suppress(NotFound):
                    machine = self._hosts.find(record.host)
                    if machine.elsewhere:
                        left.append((machine, record.label))
                    else:
                        await machine.end_labelled(record.label)
                lost = {
                    "state": "lost",
                    "ended_at": datetime.now(UTC),
                    "reason": "The service ended without ending it.",
                }
                self._records.save(record.model_copy(update=lost))
        return left

    async def _end_lost(self, machine: Host, label: str) -> None:
        try:
            await machine.end_labelled(label)
        except FlotillaError as error:
            # A job ends there by itself when its time is over.
            log.warning("lost_job_not_ended", host=machine.name, reason=error.message)

    async def _run(self, machine: Host, order: Order, running: _Running) -> None:
        job_id = running.record.id
        folder = self._records.folder_of(job_id)
        try:
            with running.scope:
                outcome = await self._outcome(machine, order, folder)
                self._end(running, outcome)
            if running.scope.cancelled_caught:
                self._end(running, {"state": "cancelled"})
        finally:
            if running.record.state == "running":
                reason = "The service was shut down."
                self._end(running, {"state": "stopped", "reason": reason})
            self._running.pop(job_id, None)
            running.ended.set()

    async def _outcome(self, machine: Host, order: Order, folder: Path) -> dict[str, Any]:
        try:
            spools: dict[Stream, Spool] = {
                "stdout": Spool(folder, "stdout", self._output_bytes),
                "stderr": Spool(folder, "stderr", self._output_bytes),
            }
        except OSError as error:
            return {"state": "failed", "reason": f"its output cannot be kept: {error.strerror}"}
        try:
            ended = await machine.run_long(order, lambda stream, data: spools[stream].write(data))
        except FlotillaError as error:
            return {"state": "failed", "reason": error.message}
        except Exception:  # the top-level handler: nobody waits for a job, and others go on
            log.exception("job_broke", host=machine.name)
            return {"state": "failed", "reason": "It failed inside the service; the log has why."}
        finally:
            for spool in spools.values():
                spool.close()
        return {
            "state": "timedOut" if ended.timed_out else "finished",
            "exit_code": ended.exit_code,
            "signal": ended.signal,
            "reason": next((spool.broken for spool in spools.values() if spool.broken), None),
        }

    def _end(self, running: _Running, outcome: dict[str, Any]) -> None:
        update = {**outcome, "ended_at": datetime.now(UTC)}
        running.record = running.record.model_copy(update=update)
        try:
            self._records.save(running.record)
        except OSError as error:
            # In memory it stands right; after a restart it will be shown as lost.
            log.warning("job_record_not_saved", job=running.record.id, reason=error.strerror)


def _shown(record: Record) -> Job:
    is_line = len(record.argv) == 3 and record.argv[:2] == ("/bin/sh", "-c")
    command = record.argv[2] if is_line else " ".join(record.argv)
    return Job(
        id=record.id,
        host=record.host,
        command=cut(command, _MAX_COMMAND)[0],
        state=record.state,
        started_by=record.started_by,
        started_at=record.started_at,
        ended_at=record.ended_at,
        exit_code=record.exit_code,
        signal=record.signal,
        reason=record.reason,
    )
