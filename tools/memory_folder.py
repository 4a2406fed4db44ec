"""Where files that nobody keeps are made and removed at once. The standard library alone."""

import os
import shutil
from pathlib import Path

IN_MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there has a random name
ROOM_BYTES = 4 * 2**30


def memory_folder() -> Path | None:
    """The machine's folder in memory if it has room; None is the system's folder for what is
    temporary: a disk, where each removal and each `fsync` of a test's database may wait."""
    try:
        roomy = shutil.disk_usage(IN_MEMORY).free >= ROOM_BYTES and os.access(IN_MEMORY, os.W_OK)
    except OSError:
        return None
    return IN_MEMORY if roomy else None
