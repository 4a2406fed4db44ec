"""One server as a child process: lines out, lines in, and at the end nothing of it is left."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
import structlog
from anyio import to_thread

from flotilla import Unavailable
from flotilla.leftovers import MARK, Ledger, kill_marked
from flotilla.outlast import outlast
from flotilla.redaction import Redactor
from master.external.cgroup import Cgroups
from master.external.lines import TooLong
from master.external.pipes import LineReader, LineWriter
from master.external.sandbox import Sealed
from master.external.stderr import StderrLog

log = structlog.get_logger(__name__)

MAX_LINE_BYTES = 64 * 1024 * 1024
WRITE_S = 10.0
GRACE_S = 2.0
"""Between the closed standard input, which is how MCP asks to end, and SIGTERM; and between that
and SIGKILL, also when the hub is gone."""
KILL_S = 5.0
_READ_BYTES = 256 * 1024
_TETHER = Path(__file__).with_name("tether.py")


@dataclass(frozen=True, slots=True)
class Exit:
    """How a server ended: its code (128 + n for signal n), and its last words, redacted."""

    code: int
    last_words: str

    @property
    def reason(self) -> str:
        number = self.code - 128
        with suppress(ValueError):
            how = f"ended by {signal.Signals(number).name}" if number > 0 else f"code {self.code}"
            return f"{how}: {self.last_words}" if self.last_words else how
        return f"code {self.code}: {self.last_words}"


class Child:
    """A started server. Use `running` to have one, which also ends it.

    `lines` is read by one task; `write` may be called by many. `too_long` hears of lines that are
    beyond the limit, which `lines` leaves out; who reads the lines may set it.
    """

    def __init__(
        self,
        sealed: Sealed,
        spawned: "_Spawned",
        *,
        redactor: Redactor,
        max_line_bytes: int,
        grace_s: float,
        too_long: Callable[[TooLong], None] | None,
    ) -> None:
        self.server = sealed.server
        self.protection = sealed.protection
        self._mark = sealed.mark
        self._grace_s = grace_s
        self._spawned = spawned
        self._loop = asyncio.get_running_loop()
        self._exited = asyncio.Event()
        self._stderr_log = StderrLog(sealed.server, redactor)
        self.too_long = too_long
        self._out = LineReader(spawned.stdout, max_line_bytes, self._saw_too_long, self._loop)
        self._in = LineWriter(spawned.stdin, sealed.server, self._loop)
        self._ended = False
        os.set_blocking(spawned.stderr, False)
        self._stderr_open = True
        self._loop.add_reader(spawned.stderr, self._read_stderr)
        self._loop.add_reader(spawned.pidfd, self._saw_exit)

    @property
    def pid(self) -> int:
        """The process that all of the server's are below."""
        return self._spawned.process.pid

    @property
    def exited(self) -> bool:
        return self._exited.is_set()

    @property
    def silent(self) -> bool:
        """Whether its standard output has ended."""
        return self._out.ended

    async def lines(self) -> AsyncIterator[bytes]:
        """Whole lines of its standard output, without line breaks, until that ends."""
        while (line := await self._out.next()) is not None:
            yield line

    async def write(self, line: bytes, timeout_s: float = WRITE_S) -> None:
        """Send a line, which gets its line break here. What has been taken is sent whole.

        Waits while the server does not read; TimedOut after `timeout_s`, and then nothing of the
        line is sent. Unavailable when it has ended.
        """
        if b"\n" in line:
            raise ValueError("a line holds no line break")
        await self._in.write(line + b"\n", timeout_s)

    async def wait(self) -> Exit:
        """Return when it has ended by itself or was ended."""
        await self._exited.wait()
        return self._exit()

    async def end(self) -> Exit:
        """End it: closed input, then SIGTERM, then SIGKILL, then whoever strayed; whole each time.

        A cancellation is passed on when nothing runs any more.
        """
        if not self._ended:
            self._ended = True
            await outlast(self._end())
        await self._exited.wait()
        return self._exit()

    async def _end(self) -> None:
        self._in.close()
        self._out.discard()
        for ask, wait_s in ((b"", self._grace_s), (b"t", self._grace_s), (b"k", KILL_S)):
            if ask:
                with suppress(BrokenPipeError):  # the tether has ended just now
                    os.write(self._spawned.life, ask)
            with anyio.move_on_after(wait_s):
                await self._exited.wait()
                break
        # The tether left nobody behind, unless it was itself killed or stopped.
        await to_thread.run_sync(kill_marked, self._mark)
        with anyio.move_on_after(KILL_S):
            await self._exited.wait()
        if not self._exited.is_set():
            log.error("external_server_does_not_die", server=self.server, pid=self.pid)
            self._spawned.process.kill()
            await self._exited.wait()
        self._let_go()

    def _let_go(self) -> None:
        self._read_stderr()
        self._close_stderr()
        self._out.close()
        self._spawned.close()

    def _exit(self) -> Exit:
        code = self._spawned.process.returncode
        assert code is not None
        return Exit(code if code >= 0 else 128 - code, self._stderr_log.last_words())

    def _saw_exit(self) -> None:
        self._loop.remove_reader(self._spawned.pidfd)
        self._spawned.process.wait()  # it has ended: this only takes its status
        self._in.close()
        self._exited.set()

    def _saw_too_long(self, line: TooLong) -> None:
        log.warning("external_line_too_long", server=self.server, bytes=line.length)
        if self.too_long is not None:
            self.too_long(line)

    def _read_stderr(self) -> None:
        if not self._stderr_open:
            return
        try:
            data = os.read(self._spawned.stderr, _READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self._stderr_log.take(data)
        else:
            self._close_stderr()

    def _close_stderr(self) -> None:
        if self._stderr_open:
            self._stderr_open = False
            self._loop.remove_reader(self._spawned.stderr)
            self._stderr_log.end()
            os.close(self._spawned.stderr)


class _Spawned:
    """The tether's process, and our ends of the pipes; who reads or writes one also closes it.

    Raises Unavailable when the system cannot start it.
    """

    def __init__(self, sealed: Sealed, cgroup_file: str, grace_s: float) -> None:
        with ExitStack() as theirs, ExitStack() as ours:
            ends = [os.pipe() for _ in range(4)]
            # The program reads the first and the last of the four, and writes the others.
            given = [ends[0][0], ends[1][1], ends[2][1], ends[3][0]]
            kept = [ends[0][1], ends[1][0], ends[2][0], ends[3][1]]
            order = os.memfd_create("order", os.MFD_CLOEXEC)
            for fd in (*given, order):
                theirs.callback(os.close, fd)
            for fd in kept:
                ours.callback(os.close, fd)
            _write_all(order, sealed.order)
            life = given[3]
            tether = (sys.executable, "-I", "-S", str(_TETHER))
            try:
                self.process = subprocess.Popen(
                    (*tether, str(life), str(grace_s), cgroup_file, *sealed.argv, str(order)),
                    stdin=given[0],
                    stdout=given[1],
                    stderr=given[2],
                    env={MARK: sealed.mark},
                    cwd="/",
                    pass_fds=(life, order),
                    start_new_session=True,
                )
            except OSError as error:
                raise Unavailable(f"cannot start {sealed.server}: {error.strerror}") from None
            self.stdin, self.stdout, self.stderr, self.life = kept
            self.pidfd = os.pidfd_open(self.process.pid)
            ours.pop_all()

    def close(self) -> None:
        os.close(self.life)
        os.close(self.pidfd)


def _write_all(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


@asynccontextmanager
async def running(
    sealed: Sealed,
    *,
    redactor: Redactor,
    ledger: Ledger,
    cgroups: Cgroups | None = None,
    max_line_bytes: int = MAX_LINE_BYTES,
    grace_s: float = GRACE_S,
    too_long: Callable[[TooLong], None] | None = None,
) -> AsyncGenerator[Child]:
    """The server runs within; at the end it is gone with everything that it started.

    `redactor` knows its secrets; `too_long` hears of lines beyond `max_line_bytes`. Raises
    Unavailable when it cannot be started at all; a program that ends at once is for `wait` to tell.
    """
    cgroup_file = ""
    if cgroups is not None:
        try:
            cgroup_file = cgroups.make(sealed.server, sealed.memory_bytes)
        except OSError as error:
            raise Unavailable(
                f"cannot make a memory group for {sealed.server}: {error.strerror}"
            ) from None
    with ledger.entry(sealed.mark):
        child = Child(
            sealed,
            _Spawned(sealed, cgroup_file, grace_s),
            redactor=redactor,
            max_line_bytes=max_line_bytes,
            grace_s=grace_s,
            too_long=too_long,
        )
        try:
            yield child
        finally:
            await child.end()
            if cgroups is not None:
                await to_thread.run_sync(cgroups.end, sealed.server)
