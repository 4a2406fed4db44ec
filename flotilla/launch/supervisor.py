"""Keeps the fleet's processes up, and ends every one of them when it ends itself."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

from flotilla.backoff import delay_s
from flotilla.launch import reading
from flotilla.launch.logfile import LogFile
from flotilla.launch.plan import Process
from flotilla.launch.terminal import Terminal

MISCONFIGURED = 2
"""With this code a process says that starting it again would not help."""
STEADY_S = 60.0
"""What ran this long is started at once when it ends; before, the pauses grow."""
LAST_WORD_S = 5.0
"""What a process gets beyond the grace of its calls to close its connections and files."""
LOOK_S = 0.25
"""How often the logs are looked at."""
MAX_SHOWN = 5
"""Lines of one log that a look may put on the terminal; the file has them all."""
SIGNALS = {each.value: each.name for each in signal.Signals}
TETHER = Path(__file__).with_name("tether.py")


class Refused(Exception):
    """A process refused its first start; the message is its own sentence."""


class Supervisor:
    """Runs the processes until `stop`; each in a session of its own, so that Ctrl-C is ours."""

    def __init__(
        self,
        processes: Sequence[Process],
        *,
        root: Path,
        env: Mapping[str, str],
        logs: Path,
        grace_s: float,
        terminal: Terminal,
    ) -> None:
        self._root = root
        self._env = {**env, "PYTHONPATH": str(root)}
        self._grace_s = grace_s
        self._terminal = terminal
        self._kept = [_Kept(each, LogFile(logs / f"{each.name}.log")) for each in processes]
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._refusal: str | None = None

    def stop(self) -> None:
        """Ask the processes to end; asked again, kill them."""
        (self._hurry if self._stopping.is_set() else self._stopping).set()

    async def run(self, beside: Callable[[], asyncio.Task[None]]) -> None:
        """Start all, and `beside`, and return when `stop` ended them; Refused by a first start."""
        pipe, held = os.pipe()
        try:
            keepers = [asyncio.create_task(self._keep_up(kept, pipe)) for kept in self._kept]
            others = [asyncio.create_task(self._read_logs()), beside()]
            for task in (*keepers, *others):
                task.add_done_callback(self._stop_on_failure)
            await self._stopping.wait()
            await asyncio.wait(keepers)
            for task in others:
                task.cancel()
            outcomes = await asyncio.gather(*keepers, *others, return_exceptions=True)
        finally:
            os.close(pipe)
            os.close(held)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        if self._refusal is not None:
            raise Refused(self._refusal)

    def _stop_on_failure(self, task: asyncio.Task[None]) -> None:
        """A fault of ours must not leave processes behind; `run` raises it once they ended."""
        if not task.cancelled() and task.exception() is not None:
            self._stopping.set()

    async def _keep_up(self, kept: "_Kept", pipe: int) -> None:
        attempt = 0
        while not self._stopping.is_set():
            started = monotonic()
            code = await self._one_life(kept, pipe)
            if self._stopping.is_set():
                return
            lines = kept.unread()
            if code == MISCONFIGURED and kept.lives == 1:
                said = reading.refusal(lines) or "it is misconfigured"
                self._refusal = f"{kept.process.name} does not start: {said}"
                self._stopping.set()
                return
            attempt = 0 if monotonic() - started > STEADY_S else attempt + 1
            pause_s = delay_s(attempt)
            self._tell_of_end(kept, code, lines, pause_s)
            with suppress(TimeoutError):  # the pause is over, which is what we wait for
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()

    async def _one_life(self, kept: "_Kept", pipe: int) -> int:
        """Start a process and wait for its end; what it left in its group is killed."""
        outlive_s = self._grace_s + LAST_WORD_S
        with kept.log.open_to_write() as log:
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", str(TETHER), str(pipe), str(outlive_s)),
                *kept.process.target,
                cwd=self._root,
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(pipe,),
                start_new_session=True,
            )
        kept.lives += 1
        exited = asyncio.create_task(child.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([exited, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not exited.done():
            await self._end(kept.process.name, child, exited)
        _kill_group(child)
        return await exited

    async def _end(
        self, name: str, child: asyncio.subprocess.Process, exited: asyncio.Task[int]
    ) -> None:
        """Ask a process to end and wait until it did, its time is up, or somebody is in a hurry."""
        with suppress(ProcessLookupError):  # it ended by itself just now
            child.terminate()
        hurry = asyncio.create_task(self._hurry.wait())
        limit_s = self._grace_s + LAST_WORD_S
        await asyncio.wait([exited, hurry], timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not exited.done():
            self._terminal.warn(f"killing {name}, which has not ended")

    def _tell_of_end(self, kept: "_Kept", code: int, lines: list[str], pause_s: float) -> None:
        how = f"killed by {SIGNALS.get(-code, -code)}" if code < 0 else f"exit code {code}"
        words = reading.refusal(lines) or reading.last_words(lines)
        self._terminal.warn(
            f"failed  {kept.process.name} ended ({how}{f': {words}' if words else ''}); "
            f"starting it again in {pause_s:.1f} s; see {kept.log.path}"
        )

    async def _read_logs(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if self._stopping.is_set():
                return  # while all of them end they miss each other: that is for the files alone
            for kept in self._kept:
                self._show(kept)

    def _show(self, kept: "_Kept") -> None:
        lines = kept.look()
        told = [told for line in lines if (told := reading.short(kept.process.name, line))]
        for line in told[:MAX_SHOWN]:
            self._terminal.warn(line)
        if len(told) > MAX_SHOWN:
            self._terminal.warn(f"... and {len(told) - MAX_SHOWN} more in {kept.log.path}")


class _Kept:
    """A process that is kept up: its log, and how often it was started."""

    def __init__(self, process: Process, log: LogFile) -> None:
        self.process = process
        self.log = log
        self.lives = 0
        self._recent: list[str] = []

    def look(self) -> list[str]:
        """The new lines of the log; the last of them are kept for the story of its end."""
        lines = self.log.new_lines()
        self._recent = [*self._recent, *lines][-20:]
        return lines

    def unread(self) -> list[str]:
        """The last lines of a life that ended."""
        self.look()
        lines, self._recent = self._recent, []
        return lines


def _kill_group(child: asyncio.subprocess.Process) -> None:
    """Kill a child and what is left of its session's group, whose number is the child's."""
    with suppress(ProcessLookupError, PermissionError):  # nothing is left of it
        os.killpg(child.pid, signal.SIGKILL)
