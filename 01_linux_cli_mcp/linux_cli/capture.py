"""Keeps the first and the last part of a stream while it flows, whatever its length. Pure."""

HEAD_BYTES = 32 * 1024
TAIL_BYTES = 16 * 1024


class Capture:
    """The first `head_bytes` and the last `tail_bytes` of what is fed to it.

    Memory stays within twice the sum, however much is fed.
    """

    def __init__(self, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        self._head_bytes = head_bytes
        self._tail_bytes = tail_bytes
        self._head = bytearray()
        self._tail = bytearray()
        self._fed = 0

    def feed(self, data: bytes) -> None:
        self._fed += len(data)
        room = self._head_bytes - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if not data:
            return
        self._tail += data[-self._tail_bytes :] if self._tail_bytes else b""
        # Trimmed only at twice the size, so that many small writes stay cheap.
        if len(self._tail) > 2 * self._tail_bytes:
            del self._tail[: -self._tail_bytes]

    @property
    def dropped(self) -> int:
        """Bytes of the middle that were not kept."""
        return self._fed - len(self._head) - min(len(self._tail), self._tail_bytes)

    @property
    def head(self) -> bytes:
        """The kept start, which is everything when nothing was dropped and the tail is empty."""
        return bytes(self._head)

    def text(self) -> str:
        """What was kept, as UTF-8 with a line that says how much is missing, where it is."""
        tail = bytes(self._tail[-self._tail_bytes :]) if self._tail_bytes else b""
        if not self.dropped:
            return (bytes(self._head) + tail).decode(errors="replace")
        gap = f"\n[... {self.dropped} bytes left out ...]\n"
        return _whole_end(bytes(self._head)) + gap + _whole_start(tail)


def _whole_end(data: bytes) -> str:
    """Decoded without the broken character that cutting may have left at the end."""
    for back in range(1, min(4, len(data)) + 1):
        if data[-back] & 0xC0 == 0xC0:
            length = 2 if data[-back] < 0xE0 else 3 if data[-back] < 0xF0 else 4
            return (data[:-back] if back < length else data).decode(errors="replace")
        if data[-back] < 0x80:
            break
    return data.decode(errors="replace")


def _whole_start(data: bytes) -> str:
    skip = 0
    while skip < min(3, len(data)) and data[skip] & 0xC0 == 0x80:
        skip += 1
    return data[skip:].decode(errors="replace")
