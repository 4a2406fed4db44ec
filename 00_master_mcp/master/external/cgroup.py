"""A control group for each server, where this machine lets us make one: it caps all its memory.

It also holds whoever hides: no process leaves its group by clearing its environment.
"""

import hashlib
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
_ROUNDS = 20
"""A fork bomb starts new ones while old ones die."""


@dataclass(frozen=True, slots=True)
class Cgroups:
    """The folder of this hub's groups, with a memory controller of version 2 or 1."""

    folder: Path
    version: int

    def make(self, server: str, memory_bytes: int) -> str:
        """Make or change the group of a server; the path of the file that takes its processes.

        Raises OSError where the kernel refuses.
        """
        group = self.folder / server
        self.folder.mkdir(exist_ok=True)
        if self.version == 2:
            for each in (self.folder.parent, self.folder):
                (each / "cgroup.subtree_control").write_text("+memory")
        group.mkdir(exist_ok=True)
        if self.version == 2:
            (group / "memory.max").write_text(str(memory_bytes))
            with suppress(OSError):  # a kernel without swap accounting
                (group / "memory.swap.max").write_text("0")
            with suppress(OSError):
                # One that takes too much is ended as a whole, not crippled by one process.
                (group / "memory.oom.group").write_text("1")
        else:
            (group / "memory.limit_in_bytes").write_text(str(memory_bytes))
        return str(group / "cgroup.procs")

    def end(self, server: str) -> None:
        """Kill whatever is left in the group of a server, and remove the group."""
        group = self.folder / server
        for _ in range(_ROUNDS):
            if not (pids := _pids_in(group)):
                break
            for pid in pids:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        with suppress(OSError):
            group.rmdir()
            # The last one takes the hub's own along; `make` brings it back.
            self.folder.rmdir()

    def settle(self) -> None:
        """End what a life of this hub that was killed left in its groups."""
        with suppress(OSError):
            for group in sorted(each for each in self.folder.iterdir() if each.is_dir()):
                self.end(group.name)


def find_cgroups(owner: Path, mount: Path = MOUNT) -> Cgroups | None:
    """Where the hub whose servers live in the folder `owner` can make groups, found by trying.

    A hub that runs as a service with `Delegate=memory`, and root on a machine of its own, can; in a
    container they mostly cannot, and this is None.
    """
    digest = hashlib.sha256(os.fsencode(os.path.realpath(owner))).hexdigest()
    for folder, version in ((mount, 2), (mount / "memory", 1)):
        if not _has_memory(folder, version) or not os.access(folder, os.W_OK):
            continue
        found = Cgroups(folder / f"flotilla-external-{digest[:12]}", version)
        try:
            found.make("trial", 1024**3)
        except OSError:
            continue
        else:
            return found
        finally:
            found.end("trial")
    return None


def _pids_in(group: Path) -> list[int]:
    try:
        return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    except (OSError, ValueError):
        return []


def _has_memory(folder: Path, version: int) -> bool:
    if version == 1:
        return (folder / "memory.limit_in_bytes").exists()
    try:
        return "memory" in (folder / "cgroup.controllers").read_text().split()
    except OSError:
        return False
