"""A control group for each server, where this machine lets us make one: it caps all its memory."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
_OURS = "flotilla-external"


@dataclass(frozen=True, slots=True)
class Cgroups:
    """The folder in which groups with a memory controller can be made, of version 2 or 1."""

    folder: Path
    version: int

    def make(self, server: str, memory_bytes: int) -> str:
        """Make or change the group of a server; the path of the file that takes its processes.

        Raises OSError where the kernel refuses.
        """
        group = self.folder / server
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

    def remove(self, server: str) -> None:
        """Remove the group of a server, if nothing runs in it."""
        with suppress(OSError):
            (self.folder / server).rmdir()


def find_cgroups(mount: Path = MOUNT) -> Cgroups | None:
    """Where groups can be made, by making the one that holds them all; None where they cannot.

    A person who runs the hub as a service with `Delegate=memory`, and root on a machine of its own,
    can; a container mostly cannot.
    """
    for folder, version in ((mount, 2), (mount / "memory", 1)):
        if not _has_memory(folder, version) or not os.access(folder, os.W_OK):
            continue
        ours = folder / _OURS
        try:
            ours.mkdir(exist_ok=True)
            if version == 2:
                for each in (folder, ours):
                    (each / "cgroup.subtree_control").write_text("+memory")
        except OSError:
            with suppress(OSError):
                ours.rmdir()
            continue
        return Cgroups(ours, version)
    return None


def _has_memory(folder: Path, version: int) -> bool:
    if version == 1:
        return (folder / "memory.limit_in_bytes").exists()
    try:
        return "memory" in (folder / "cgroup.controllers").read_text().split()
    except OSError:
        return False
