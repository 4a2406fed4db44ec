"""Bytes into lines, with a limit on how long a line may be. Pure."""

from dataclasses import dataclass

SHOWN_BYTES = 4096
ENDING_BYTES = 256


@dataclass(frozen=True, slots=True)
class TooLong:
    """Stands for a line beyond the limit: its length in bytes, how it began and how it ended."""

    length: int
    beginning: bytes
    """4 KB at most."""
    ending: bytes = b""
    """The last 256 bytes: many programs write there whose answer the line is."""


class LineSplitter:
    """Feed it bytes as they come; whole lines come out, without their line break.

    Of a line longer than `max_bytes` only the beginning is kept, and a TooLong comes in its place.
    Memory is at most `max_bytes` and what is fed.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._length = 0
        self._ending = b""

    def feed(self, data: bytes) -> list[bytes | TooLong]:
        """The lines that `data` ends; empty ones are left out."""
        *ended, rest = data.split(b"\n")
        lines: list[bytes | TooLong] = []
        for part in ended:
            self._take(part)
            if line := self.end():
                lines.append(line)
        self._take(rest)
        return lines

    def end(self) -> bytes | TooLong | None:
        """What is there of a line, if the stream ended within it."""
        length, line, ending = self._length, b"".join(self._parts), self._ending
        self._length, self._parts, self._ending = 0, [], b""
        if length > self._max_bytes:
            return TooLong(length, line, ending)
        return line.removesuffix(b"\r") or None

    def _take(self, part: bytes) -> None:
        fitted = self._length <= self._max_bytes
        self._length += len(part)
        if self._length <= self._max_bytes:
            self._parts.append(part)
        elif fitted:
            so_far = b"".join((*self._parts, part))
            self._parts, self._ending = [so_far[:SHOWN_BYTES]], so_far[-ENDING_BYTES:]
        else:
            self._ending = (self._ending + part[-ENDING_BYTES:])[-ENDING_BYTES:]
