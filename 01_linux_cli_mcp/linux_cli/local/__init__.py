"""This machine: the host `local`."""

import json
import os
import secrets
import select
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import anyio
import structlog
from anyio import to_thread

from flotilla import Conflict, InvalidArgument, NotAllowed, NotFound
from flotilla.leftovers import MARK, Ledger, kill_marked
from linux_cli.host import Ended, Entry, Order, Part, Space, Take, Writing, Written
from linux_cli.local import confine
from linux_cli.local.child import Launch, run_child
from linux_cli.local.disk import Disk
from linux_cli.local.guard import Guard, real_path
from linux_cli.procfs import parent_of, start_ticks_of

log = structlog.get_logger(__name__)

_MAX_SYSTEM_TEXT = 1024 * 1024
_SPACE_WAIT_S = 2.0
_GONE_WAIT_S = 1.0


class LocalHost:
    """Runs programs and opens files where the spoke itself runs.

    `confining` False leaves runReadOnly's programs to their argv's judgement alone.
    """

    name = "local"
    elsewhere = False

    def __init__(
        self, *, guard: Guard, ledger: Ledger, home: str, path: str, confining: bool
    ) -> None:
        self._guard = guard
        self._ledger = ledger
        self._disk = Disk(guard)
        self._home = home
        self._path = path
        self._confining = confining

    @property
    def confines(self) -> bool:
        return self._confining

    @property
    def page_bytes(self) -> int:
        return os.sysconf("SC_PAGE_SIZE")

    async def run(self, order: Order, take: Take) -> Ended:
        cwd = order.cwd or self._home
        program = order.argv[0]
        # As a shell has it: a name is looked up, a path counts from the working directory.
        if "/" in program:
            program = os.path.join(cwd, program)  # noqa: PTH118 - keeps `./`
        found = await self.find_program(program)
        if found is None:
            raise NotFound(f"there is no program {program!r} on {self.name}")
        argv = (found, *order.argv[1:])
        if order.confined and self._confining:
            # Real paths, since links get no rule.
            real = (await self.real_path(found), found, *order.argv[1:])
            protected = json.dumps([*self._guard.paths(), "/dev"])
            argv = (sys.executable, "-I", "-S", confine.__file__, protected, *real)
        launch = Launch(argv, self._environment(order), cwd, order.stdin)
        with self._ledger.entry(launch.mark):
            return await run_child(launch, order.timeout_s, take)

    async def run_long(self, order: Order, take: Take) -> Ended:
        return await self.run(order, take)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Programs may be run within; what a killed life of the spoke left is ended first."""
        if left := await to_thread.run_sync(self._ledger.settle):
            log.warning("leftovers_ended", programs=left)
        yield

    def _environment(self, order: Order) -> dict[str, str]:
        # Nothing of the spoke's own environment goes down, whatever it holds.
        return {
            "PATH": self._path,
            "HOME": self._home,
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "TZ": "UTC",
            **order.env,
            MARK: order.label or secrets.token_hex(16),
        }

    async def end_labelled(self, label: str) -> None:
        await to_thread.run_sync(kill_marked, label)

    async def find_program(self, name: str, folders: Sequence[str] | None = None) -> str | None:
        looked = folders if folders is not None else self._path.split(":")
        if "/" in name:
            # By its name, not by where it leads: a link called `cat` may lead to an interpreter in
            # the same folder as the real cat.
            trusted = folders is None or name.rpartition("/")[0] in folders
            return name if trusted and _is_executable(name) else None
        for folder in looked:
            if folder and _is_executable(f"{folder}/{name}"):
                return f"{folder}/{name}"
        return None

    async def read_system(self, paths: Sequence[str]) -> Mapping[str, str]:
        return await to_thread.run_sync(_read_system, paths)

    async def list_system(self, path: str) -> Sequence[str]:
        with suppress(OSError):
            return sorted(os.listdir(path))  # noqa: PTH208 - names alone, and quickly
        return ()

    async def links_in(self, folders: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return await to_thread.run_sync(_links_in, folders)

    async def real_path(self, path: str) -> str:
        return await to_thread.run_sync(real_path, path, abandon_on_cancel=True)

    async def space(self, mount_points: Sequence[str]) -> Mapping[str, Space]:
        found: dict[str, Space] = {}

        async def look(point: str) -> None:
            # A dead network file system never answers; its thread is left to wait alone.
            with anyio.move_on_after(_SPACE_WAIT_S), suppress(OSError):
                found[point] = await to_thread.run_sync(_space, point, abandon_on_cancel=True)

        async with anyio.create_task_group() as group:
            for point in mount_points:
                group.start_soon(look, point)
        return found

    async def check_readable(self, paths: Sequence[str], cwd: str, *, enters: bool) -> None:
        # Confined, the kernel guards what lies below and all devices; else names must do.
        alone = not self._confining

        def check() -> None:
            for path in paths:
                self._guard.check_path(os.path.join(cwd, path), alone=alone, into=alone and enters)  # noqa: PTH118

        await to_thread.run_sync(check, abandon_on_cancel=True)

    async def read_part(self, path: str, offset: int, max_bytes: int) -> Part:
        # A dead network file system never answers; the call is not held with it.
        return await to_thread.run_sync(
            self._disk.read_part, path, offset, max_bytes, abandon_on_cancel=True
        )

    async def list_folder(self, path: str) -> tuple[str, Sequence[Entry]]:
        return await to_thread.run_sync(self._disk.list_folder, path, abandon_on_cancel=True)

    async def write_file(self, writing: Writing) -> Written:
        return await to_thread.run_sync(self._disk.write_file, writing)

    async def send_signal(self, pid: int, signal: int, start_ticks: int | None) -> bool:
        if pid <= 1 or pid in _own_line():
            raise NotAllowed(f"process {pid} is the system's first, this service or above it")
        send = partial(_send_signal, pid, signal, start_ticks)
        return await to_thread.run_sync(send)


def _is_executable(path: str) -> bool:
    # A name that is longer than any file's is an error to the system, and to us no program.
    with suppress(OSError):
        return Path(path).is_file() and os.access(path, os.X_OK)
    return False


def _read_system(paths: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in paths:
        with suppress(OSError), open(path, "rb") as file:  # noqa: PTH123 - thousands of them
            found[path] = file.read(_MAX_SYSTEM_TEXT).decode(errors="backslashreplace")
    return found


def _links_in(folders: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for folder in folders:
        with suppress(OSError):
            targets: list[str] = []
            for name in os.listdir(folder):  # noqa: PTH208 - thousands of them
                with suppress(OSError):
                    targets.append(os.readlink(f"{folder}/{name}"))  # noqa: PTH115 - as above
            found[folder] = targets
    return found


def _space(point: str) -> Space:
    found = os.statvfs(point)
    return Space(
        total_bytes=found.f_blocks * found.f_frsize,
        free_bytes=found.f_bfree * found.f_frsize,
        available_bytes=found.f_bavail * found.f_frsize,
        total_inodes=found.f_files,
        free_inodes=found.f_ffree,
    )


def _own_line() -> set[int]:
    """This process and all above it: killing one of them would end the spoke."""
    line: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in line:
        line.add(pid)
        pid = parent_of(_read_system([f"/proc/{pid}/stat"]).get(f"/proc/{pid}/stat", ""))
    return line


def _send_signal(pid: int, number: int, start_ticks: int | None) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        raise NotFound(f"there is no process {pid}") from None
    except OSError as error:
        # EINVAL: the number of a thread that leads no process.
        raise InvalidArgument(f"process {pid}: {error.strerror}") from None
    try:
        # The descriptor holds the process, so what is read now is what gets the signal.
        stat = _read_system([f"/proc/{pid}/stat"]).get(f"/proc/{pid}/stat", "")
        if start_ticks is not None and start_ticks_of(stat) != start_ticks:
            raise Conflict(
                f"process {pid} is not the one expected: it started at another time",
                hint="List the processes again.",
            )
        signal.pidfd_send_signal(pidfd, number)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(_GONE_WAIT_S * 1000))
    except ProcessLookupError:
        return True
    except PermissionError:
        raise NotAllowed(f"the system does not permit a signal to process {pid}") from None
    finally:
        os.close(pidfd)
