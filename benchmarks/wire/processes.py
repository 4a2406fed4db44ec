"""Programs that a benchmark starts: when they are ready, what they cost, and that they end."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from time import perf_counter

import psutil

ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.02
STOP_S = 10.0
"""A program that has not ended by then is killed."""


class NotReady(Exception):
    """A program ended or did not answer in time; the message says what it wrote last."""


class NotYet(Exception):
    """What a program still lacks, for the message when it never comes."""


class Program:
    """One program and its children; `not_counted` says which children are somebody else's."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        folder: Path,
        env: Mapping[str, str] | None = None,
        not_counted: Callable[[], Iterable[int]] = tuple,
    ) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        self._not_counted = not_counted
        self._left: list[psutil.Process] = []
        with self._log.open("ab") as log:
            self.started = perf_counter()
            self._process = subprocess.Popen(
                argv,
                env={**os.environ, **(env or {})},
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._measured = psutil.Process(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_s(self) -> float:
        """User and system time of the program and of its living children."""
        return sum(_sum(each, lambda it: sum(it.cpu_times()[:2])) for each in self._tree())

    def rss_mb(self) -> float:
        return sum(_sum(each, lambda it: it.memory_info().rss) for each in self._tree()) / 2**20

    def peak_mb(self) -> float:
        """The highest resident size so far, of each process by itself, added up."""
        return sum(_high_water_kb(each.pid) for each in self._tree()) / 2**10

    async def until(self, works: Callable[[], Awaitable[bool]], within_s: float) -> float:
        """Seconds from the start until `works` says True; NotReady else.

        An OSError, TimeoutError or NotYet of `works` is the reason of now, and it is asked again.
        """
        reason = ""
        while perf_counter() - self.started < within_s:
            if self._process.poll() is not None:
                raise NotReady(f"{self.name} ended with {self._process.returncode}: {self.said()}")
            try:
                if await works():
                    return perf_counter() - self.started
            except (OSError, TimeoutError, NotYet) as error:
                reason = f"{error}; "
            await asyncio.sleep(POLL_S)
        raise NotReady(f"not ready within {within_s:.0f} s: {reason}{self.said()}")

    def said(self) -> str:
        """The end of what it wrote."""
        lines = self._log.read_text(errors="replace").split("\n")
        return " ".join(line.strip() for line in lines[-12:] if line.strip())[-600:]

    def stop(self) -> None:
        """End the program, then what it left behind, each by its own PID."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._left = self._measured.children(recursive=True)
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for child in self._left:
            # psutil knows a PID that was given to somebody else since.
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()

    def _tree(self) -> list[psutil.Process]:
        others = set(self._not_counted())
        try:
            children = self._measured.children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [self._measured, *(each for each in children if each.pid not in others)]


class Programs:
    """All that one benchmark started; they end in reverse order with `running`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._all: list[Program | Programs] = []

    def start(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        not_counted: Callable[[], Iterable[int]] = tuple,
    ) -> Program:
        program = Program(name, argv, folder=self.folder, env=env, not_counted=not_counted)
        self._all.append(program)
        return program

    def module(self, name: str, module: str, *args: str, **env: str) -> Program:
        """Start a module of these benchmarks."""
        argv = [sys.executable, "-m", module, *args]
        return self.start(name, argv, {**MODULE_ENV, **env})

    def also(self, others: "Programs") -> None:
        """Stop these together with one's own."""
        self._all.append(others)

    def stop(self) -> None:
        while self._all:
            self._all.pop().stop()


MODULE_ENV = {
    "PYTHONPATH": os.pathsep.join(str(ROOT / each) for each in ("benchmarks", ".", "00_master_mcp"))
}


@contextlib.contextmanager
def programs(folder: Path) -> Generator[Programs]:
    started = Programs(folder)
    try:
        yield started
    finally:
        started.stop()


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _sum(process: psutil.Process, value: Callable[[psutil.Process], float]) -> float:
    try:
        return value(process)
    except psutil.NoSuchProcess:
        return 0.0


def _high_water_kb(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0].split()[1]) if found else 0
