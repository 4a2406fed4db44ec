"""Running processes: listProcesses and killProcess."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from signal import Signals
from typing import Annotated, Literal

from pydantic import Field

from flotilla import (
    Cursor,
    Limit,
    Model,
    NotConfigured,
    Page,
    Tool,
    destroys,
    page_of,
    reads,
)
from flotilla.paging import DEFAULT_LIMIT
from linux_cli.host import HostName, Hosts
from linux_cli.procfs import boot_time_of, field_of, stat_of, users_of

_MAX_COMMAND = 1000
_TICKS_PER_S = 100
"""USER_HZ: what Linux shows times in, on every architecture that we run on."""

SortBy = Literal["cpu", "memory", "pid"]
SignalName = Literal["TERM", "KILL", "INT", "HUP", "QUIT", "USR1", "USR2", "STOP", "CONT"]


class Process(Model):
    """One process. `cpuPercent` is its average since it started, of one CPU."""

    pid: int
    parent_pid: int
    user: str
    name: str
    command: str
    state: str
    cpu_percent: float
    memory_bytes: int
    """Resident memory, shared pages included."""
    threads: int
    started_at: datetime | None
    start_ticks: int
    """When it started, exactly: with the pid it names this very process."""


class Killed(Model):
    """What became of a process; `ended` False means that it was still there a second later."""

    pid: int
    signal: str
    ended: bool


@dataclass(frozen=True, slots=True)
class _Clock:
    booted_s: int | None
    uptime_s: float
    page_bytes: int


class Processes:
    """Looks at the processes of a host and signals them."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("os.linux.listProcesses", self.list_processes, untrusted=True),
            destroys("os.linux.killProcess", self.kill_process),
        )

    async def list_processes(
        self,
        host: HostName = "local",
        sort_by: SortBy = "cpu",
        user: Annotated[str | None, Field(max_length=64, description="Only this user's.")] = None,
        name_contains: Annotated[
            str | None,
            Field(max_length=256, description="Only where name or command line contain this."),
        ] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> Page[Process]:
        """List processes with their user, command line, CPU use, memory and start.

        Sorted by average CPU use since the start, by resident memory (both highest first) or by
        pid. Command lines are cut at 1000 characters.
        """
        found = await self._all(host)
        if user is not None:
            found = [one for one in found if one.user == user]
        if name_contains is not None:
            part = name_contains.casefold()
            found = [one for one in found if part in f"{one.name}\n{one.command}".casefold()]
        found.sort(key=lambda one: (_rank(one, sort_by), one.pid))
        return page_of(f"processes.{sort_by}", found, limit=limit, cursor=cursor)

    async def kill_process(
        self,
        pid: Annotated[int, Field(ge=2, le=4_194_304)],
        host: HostName = "local",
        signal: SignalName = "TERM",
        expected_start_ticks: Annotated[
            int | None,
            Field(ge=0, description="startTicks from listProcesses: guards against a reused pid."),
        ] = None,
    ) -> Killed:
        """Send a signal to one process and tell whether it has ended a second later.

        TERM asks it to end, KILL ends it without a chance to save. Refused for process 1, for this
        service and for all above it; `conflict` when the pid belongs to another process by now.
        """
        number = Signals[f"SIG{signal}"]
        machine = self._hosts.find(host)
        ended = await machine.send_signal(pid, number, expected_start_ticks)
        return Killed(pid=pid, signal=signal, ended=ended)

    async def _all(self, host: str) -> list[Process]:
        machine = self._hosts.find(host)
        pids = [name for name in await machine.list_system("/proc") if name.isdigit()]
        if not pids:
            raise NotConfigured(f"host {host!r} has no /proc, so its processes cannot be seen")
        paths = [f"/proc/{pid}/{part}" for pid in pids for part in ("stat", "status", "cmdline")]
        shared = ["/proc/stat", "/proc/uptime", "/etc/passwd"]
        texts = await machine.read_system([*paths, *shared])
        users = users_of(texts.get("/etc/passwd", ""))
        clock = _Clock(
            boot_time_of(texts.get("/proc/stat", "")),
            float(texts.get("/proc/uptime", "0").split()[0]),
            machine.page_bytes,
        )
        processes = (_process(int(pid), texts, users, clock) for pid in pids)
        return [one for one in processes if one is not None]


def _process(
    pid: int, texts: Mapping[str, str], users: Mapping[int, str], clock: _Clock
) -> Process | None:
    stat = stat_of(texts.get(f"/proc/{pid}/stat", ""))
    uid = field_of(texts.get(f"/proc/{pid}/status", ""), "Uid")
    if stat is None or uid is None:
        return None
    owner = int(uid.split()[1])
    age_s = clock.uptime_s - stat.start_ticks / _TICKS_PER_S
    cpu = 100 * stat.cpu_ticks / _TICKS_PER_S / age_s if age_s > 0 else 0.0
    started = None
    if clock.booted_s is not None:
        started = datetime.fromtimestamp(clock.booted_s + stat.start_ticks / _TICKS_PER_S, UTC)
    command = texts.get(f"/proc/{pid}/cmdline", "").rstrip("\0").replace("\0", " ")
    return Process(
        pid=pid,
        parent_pid=stat.parent,
        user=users.get(owner, str(owner)),
        name=stat.name,
        command=command[:_MAX_COMMAND],
        state=stat.state,
        cpu_percent=round(cpu, 1),
        memory_bytes=stat.resident_pages * clock.page_bytes,
        threads=stat.threads,
        started_at=started,
        start_ticks=stat.start_ticks,
    )


def _rank(one: Process, sort_by: SortBy) -> float:
    if sort_by == "cpu":
        return -one.cpu_percent
    return -one.memory_bytes if sort_by == "memory" else one.pid
