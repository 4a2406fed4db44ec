"""How much memory the browser's processes have, and which of them has the most."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from os import sysconf
from pathlib import Path

_PAGE_BYTES = sysconf("SC_PAGE_SIZE")
_MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    bytes: int
    """Its proportional share (PSS) where the kernel tells it, else what is its alone."""
    renders: bool
    """Whether it runs pages, and not the browser itself."""


@dataclass(frozen=True, slots=True)
class Usage:
    processes: tuple[Process, ...]

    @property
    def total_mb(self) -> int:
        return sum(each.bytes for each in self.processes) // _MB

    def largest_page(self) -> Process | None:
        """The renderer with the most memory."""
        pages = (each for each in self.processes if each.renders)
        return max(pages, key=lambda each: each.bytes, default=None)


def measure(root_pid: int, proc: Path = Path("/proc")) -> Usage:
    """A process and all that descend from it, as /proc has them now. Blocks for milliseconds."""
    return Usage(tuple(_read(pid, proc) for pid in descendants(root_pid, proc)))


def descendants(root_pid: int, proc: Path = Path("/proc")) -> Iterator[int]:
    """`root_pid` first; what ends meanwhile is left out."""
    if not (proc / str(root_pid)).exists():
        return
    yield root_pid
    with suppress(OSError):
        for task in (proc / str(root_pid) / "task").iterdir():
            with suppress(OSError):
                for child in (task / "children").read_text().split():
                    yield from descendants(int(child), proc)


def _read(pid: int, proc: Path) -> Process:
    folder = proc / str(pid)
    size, renders = 0, False
    with suppress(OSError):
        renders = b"--type=renderer" in (folder / "cmdline").read_bytes()
    with suppress(OSError):
        # A child of the kernel's file system has no say in it: RSS counts shared pages each time.
        resident, shared = (folder / "statm").read_text().split()[1:3]
        size = (int(resident) - int(shared)) * _PAGE_BYTES
    with suppress(OSError, StopIteration, ValueError):
        lines = (folder / "smaps_rollup").read_text().splitlines()
        size = int(next(each for each in lines if each.startswith("Pss:")).split()[1]) * 1024
    return Process(pid, size, renders)
