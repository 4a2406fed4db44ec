"""One child process from start to end: its output flows out, and nothing of it is left behind."""

import asyncio
import errno
import os
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import IO

import anyio

from flotilla import InvalidArgument, NotAllowed, NotFound, Unavailable
from flotilla.leftovers import MARK, kill_marked
from flotilla.outlast import outlast
from linux_cli.host import Ended, Stream, Take

GRACE_S = 1.0
"""Between the request to end and the kill."""
KILL_S = 5.0
"""A killed process is gone at once unless the kernel holds it in a wait for a device."""
_READ_BYTES = 64 * 1024
_LAST_READS = 16
"""A pipe holds 64 KiB unless somebody enlarged it, to 1 MiB at most without privilege."""
DRAIN_S = 0.5
"""How long output may still flow once everything that wrote it has been killed."""

_CALLERS_MISTAKES = (errno.E2BIG, errno.ENOEXEC, errno.ENAMETOOLONG, errno.ELOOP)


@dataclass(frozen=True, slots=True)
class Launch:
    """All that `exec` needs. `env` holds `MARK`, by which stray descendants are found."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    stdin: bytes | None

    @property
    def mark(self) -> str:
        return self.env[MARK]


async def run_child(launch: Launch, timeout_s: float, take: Take) -> Ended:
    """Run it to its end, or end it and all its descendants at the timeout or on cancellation.

    What it leaves in its process group is killed when it ends; a daemon that made a session of
    its own lives on after a normal end, as it was meant to.
    """
    started = monotonic()
    child = _spawn(launch)
    complete = False
    try:
        with _flowing(child, take) as drained:
            with anyio.move_on_after(timeout_s) as scope:
                await child.exited.wait()
            timed_out = scope.cancelled_caught and not child.exited.is_set()
            if timed_out:
                await outlast(_end(child, launch.mark))
            child.signal_group(signal.SIGKILL)
            with anyio.move_on_after(DRAIN_S) as waiting:
                await drained.wait()
            if waiting.cancelled_caught:
                child.empty_pipes(take)
            complete = True
    finally:
        # Also the way of a cancellation: it goes on only when nothing runs any more.
        try:
            if not complete:
                await outlast(_end(child, launch.mark))
        finally:
            child.signal_group(signal.SIGKILL)
            status = child.reap()
    if status is None:
        raise Unavailable(
            f"{launch.argv[0]!r} does not die: the kernel holds it",
            hint="It waits for a device or a network file system; it goes when that answers.",
        )
    code, name = (status, None) if status >= 0 else (128 - status, _signal_name(-status))
    return Ended(code, name, timed_out, monotonic() - started)


class _Child:
    """A started process. It stays a zombie until `reap`, so its group cannot become another's."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._pidfd = os.pidfd_open(process.pid)
        self._loop = asyncio.get_running_loop()
        self.exited = asyncio.Event()
        self._loop.add_reader(self._pidfd, self._saw_exit)
        assert process.stdout and process.stderr
        self.pipes: dict[Stream, IO[bytes]] = {"stdout": process.stdout, "stderr": process.stderr}

    def _saw_exit(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self.exited.set()

    def signal_group(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            # Gone already, or (for a program that changed its user) not ours to signal.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def empty_pipes(self, take: Take) -> None:
        """Take what was written and not read yet: a busy loop may see its timer before its pipes.

        Bounded, since a daemon that lives on may write for ever.
        """
        for stream, pipe in self.pipes.items():
            with suppress(BlockingIOError):
                for _ in range(_LAST_READS):
                    data = os.read(pipe.fileno(), _READ_BYTES)
                    if not data:
                        break
                    take(stream, data)

    def reap(self) -> int | None:
        """Its status, and the end of the zombie; None, and reaped whenever it ends, if it runs."""
        if not self.exited.is_set():
            self._loop.add_reader(self._pidfd, self._reap_now)
            return None
        return self._reap_now()

    def _reap_now(self) -> int:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        return self._process.wait()


def _spawn(launch: Launch) -> _Child:
    with _stdin(launch.stdin) as stdin:
        try:
            process = subprocess.Popen(
                launch.argv,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=launch.env,
                cwd=launch.cwd,
                start_new_session=True,
                bufsize=0,
            )
        except FileNotFoundError:
            raise NotFound(
                f"there is no program {launch.argv[0]!r}, or no folder {launch.cwd!r}"
            ) from None
        except NotADirectoryError:
            raise InvalidArgument(f"cwd {launch.cwd!r} is not a folder") from None
        except PermissionError:
            raise NotAllowed(f"{launch.argv[0]!r} may not be run in {launch.cwd!r}") from None
        except OSError as error:
            if error.errno in _CALLERS_MISTAKES:
                raise InvalidArgument(
                    f"{launch.argv[0]!r} cannot be run so: {error.strerror}"
                ) from None
            raise Unavailable(f"cannot start {launch.argv[0]!r}: {error.strerror}") from None
    return _Child(process)


class _stdin:  # noqa: N801 - reads as a context manager
    """/dev/null, or the given bytes as a file in memory: no pipe to fill, nothing to wait for."""

    def __init__(self, data: bytes | None) -> None:
        self._data = data

    def __enter__(self) -> int:
        if self._data is None:
            self._fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            return self._fd
        self._fd = os.memfd_create("stdin", os.MFD_CLOEXEC)
        left = memoryview(self._data)
        while left:
            left = left[os.write(self._fd, left) :]
        os.lseek(self._fd, 0, os.SEEK_SET)
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


@contextmanager
def _flowing(child: _Child, take: Take) -> Generator[asyncio.Event]:
    """Feeds both pipes to `take`; the event is set when both have ended.

    Plain readiness callbacks and no transports: making those is a wait that a cancellation can
    break, and then nobody knows who closes the descriptor, which may be another program's by now.
    """
    loop = asyncio.get_running_loop()
    drained = asyncio.Event()
    open_pipes: dict[Stream, int] = {stream: pipe.fileno() for stream, pipe in child.pipes.items()}

    def readable(stream: Stream, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        if data:
            take(stream, data)
            return
        loop.remove_reader(descriptor)
        del open_pipes[stream]
        if not open_pipes:
            drained.set()

    for stream, descriptor in open_pipes.items():
        os.set_blocking(descriptor, False)
        loop.add_reader(descriptor, readable, stream, descriptor)
    try:
        yield drained
    finally:
        for descriptor in open_pipes.values():
            loop.remove_reader(descriptor)
        for pipe in child.pipes.values():
            pipe.close()


async def _end(child: _Child, mark: str) -> None:
    """Ask the group to end, kill it after the grace, then whoever left the group."""
    child.signal_group(signal.SIGTERM)
    with anyio.move_on_after(GRACE_S):
        await child.exited.wait()
    child.signal_group(signal.SIGKILL)
    await anyio.to_thread.run_sync(kill_marked, mark)
    with anyio.move_on_after(KILL_S):
        await child.exited.wait()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
