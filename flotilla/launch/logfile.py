"""The log files of the fleet's processes: kept small, and read on as they grow.

A child writes straight to its file and never through the launcher, so that a terminal that is
paused, or a launcher that dies, cannot hold it up.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 20 * 1024 * 1024
KEPT = 3
MAX_READ_BYTES = 256 * 1024


class LogFile:
    """One process's log; old ones stand beside it as `.1` to `.3`."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._position = 0
        self._rest = b""

    def open_to_write(self) -> BinaryIO:
        """The file for a child that starts now; what it writes is what `new_lines` reads next."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        file = os.fdopen(descriptor, "ab", buffering=0)
        self._position = os.fstat(descriptor).st_size
        self._rest = b""
        self._trim()
        return file

    def new_lines(self) -> list[str]:
        """The whole lines that came since the last look; a flood is read in its last 256 KiB."""
        try:
            with self.path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size - self._position > MAX_READ_BYTES:
                    self._position, self._rest = size - MAX_READ_BYTES, b""
                file.seek(self._position)
                chunk = file.read(MAX_READ_BYTES)
        except OSError:
            return []  # somebody moved it away; the child keeps writing to what it has open
        self._position += len(chunk)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._trim()
        return [line.decode(errors="replace") for line in lines if line.strip()]

    def _trim(self) -> None:
        """Move a full log away by copy and truncate, as the child holds the file open.

        Lines written between the two are lost; a full disk would lose more.
        """
        if self._position < self._max_bytes:
            return
        with suppress(OSError):  # no room for the copy: truncating is then all the more due
            for number in range(KEPT - 1, 0, -1):
                older = self._numbered(number)
                if older.exists():
                    older.replace(self._numbered(number + 1))
            shutil.copy(self.path, self._numbered(1))
        os.truncate(self.path, 0)
        self._position, self._rest = 0, b""

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")
