"""A job's output in files: the newest part is kept, and every byte keeps its offset."""

import io
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Piece(NamedTuple):
    """Bytes of an output from `offset`, and how far the output goes."""

    offset: int
    data: bytes
    end: int


class Spool:
    """Writes one stream to `<name>.<first offset>` files in a folder, at most `max_bytes` of it.

    It fills two halves in turn and drops the older when the newer is full, so at least half of
    `max_bytes` is always there.
    """

    def __init__(self, folder: Path, name: str, max_bytes: int) -> None:
        self._folder = folder
        self._name = name
        self._half = max(1, max_bytes // 2)
        self._start = 0
        self._end = 0
        self._file = self._opened()
        self.broken: str | None = None
        """Why output is no longer kept, such as a full disk."""

    def write(self, data: bytes) -> None:
        if self.broken is not None:
            return
        try:
            self._keep(data)
        except OSError as error:
            # The job itself may still do its work.
            self.broken = f"Output was lost: {error.strerror}."

    def _keep(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            room = self._half - (self._end - self._start)
            if room == 0:
                self._turn()
                continue
            written = self._file.write(left[:room])
            self._end += written
            left = left[written:]

    def close(self) -> None:
        self._file.close()

    def _turn(self) -> None:
        self._file.close()
        for start, path in _segments(self._folder, self._name):
            if start < self._start:
                path.unlink(missing_ok=True)
        self._start = self._end
        self._file = self._opened()

    def _opened(self) -> io.FileIO:
        path = self._folder / f"{self._name}.{self._start}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        return io.FileIO(fd, "w")


def read_spool(folder: Path, name: str, offset: int, max_bytes: int) -> Piece:
    """Output from `offset`, or from the first byte that is still there; below zero from the end."""
    while True:
        # One that was listed may have been dropped since, as it is read beside the writer.
        with suppress(FileNotFoundError):
            return _read(folder, name, offset, max_bytes)


def _read(folder: Path, name: str, offset: int, max_bytes: int) -> Piece:
    segments = _segments(folder, name)
    if not segments:
        return Piece(0, b"", 0)
    last_start, last = segments[-1]
    end = last_start + last.stat().st_size
    at = max(offset if offset >= 0 else end + offset, segments[0][0])
    parts: list[bytes] = []
    begin = at
    left = max_bytes
    for start, path in segments:
        size = path.stat().st_size
        if left and start <= at < start + size:
            with path.open("rb") as file:
                file.seek(at - start)
                part = file.read(min(left, start + size - at))
            parts.append(part)
            at += len(part)
            left -= len(part)
    return Piece(min(begin, end), b"".join(parts), end)


def _segments(folder: Path, name: str) -> list[tuple[int, Path]]:
    found = ((path.suffix[1:], path) for path in folder.glob(f"{name}.*"))
    return sorted((int(start), path) for start, path in found if start.isdigit())
