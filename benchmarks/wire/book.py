"""What an echo server saw, in a file that the benchmark reads.

Signals and files, not requests: they work alike behind HTTP and behind a pipe.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import orjson

_WRITE_AFTER_S = 0.05


class Book:
    """Counts what happens, and writes `<folder>/<pid>.json` soon after; None writes nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._file = None if folder is None else folder / f"{os.getpid()}.json"
        self._counts: Counter[str] = Counter()
        self._writing: asyncio.TimerHandle | None = None
        self.has_added_tool = False

    def count(self, what: str) -> None:
        self._counts[what] += 1
        if self._file is not None and self._writing is None:
            loop = asyncio.get_running_loop()
            self._writing = loop.call_later(_WRITE_AFTER_S, self._write, self._file)

    def note(self, what: str) -> None:
        """Count what somebody waits for: it is written before this returns."""
        self._counts[what] += 1
        if self._file is not None:
            self._write(self._file)

    def open(self, on_added: Callable[[], None]) -> None:
        """Say that this server is there; SIGUSR1 adds a tool from now on."""

        def add() -> None:
            self.has_added_tool = True
            on_added()

        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, add)
        # At once: who would end this server must know it before it answers.
        self.note("started")

    def _write(self, file: Path) -> None:
        self._writing = None
        fresh = file.with_suffix(".new")
        fresh.write_bytes(orjson.dumps(self._counts))
        fresh.replace(file)


class Books:
    """All echo servers that write into one folder, as the benchmark sees them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def total(self) -> Counter[str]:
        """The counts of all that ever ran; they lag by a twentieth of a second."""
        total: Counter[str] = Counter()
        for file in self.folder.glob("*.json"):
            total.update(orjson.loads(file.read_bytes()))
        return total

    def living(self) -> list[int]:
        """The PIDs of those that run."""
        pids = (int(file.stem) for file in self.folder.glob("*.json"))
        return [pid for pid in pids if _runs(pid)]

    def signal(self, number: signal.Signals) -> None:
        for pid in self.living():
            os.kill(pid, number)


def _runs(pid: int) -> bool:
    # A zombie still has its folder in /proc, and an empty command line.
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False
