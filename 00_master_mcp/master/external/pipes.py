"""Lines from and into pipes by plain readiness callbacks.

No transports: making those is a wait that a cancellation can break, and then nobody knows who
closes the descriptor, which may be another pipe's by now.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable

from flotilla import TimedOut, Unavailable
from master.external.lines import LineSplitter, TooLong

_READ_BYTES = 256 * 1024
_UNREAD_BYTES = 4 * 1024 * 1024
"""Lines that nobody has taken yet; beyond it the server has to wait."""
_UNWRITTEN_BYTES = 1024 * 1024


class LineReader:
    """Lines from a pipe by plain readiness, which no cancellation can break."""

    def __init__(
        self,
        fd: int,
        max_line_bytes: int,
        too_long: Callable[[TooLong], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._fd = fd
        self._splitter = LineSplitter(max_line_bytes)
        self._too_long = too_long
        self._loop = loop
        self._lines: deque[bytes] = deque()
        self._unread_bytes = 0
        self._came = asyncio.Event()
        self._ended = self._discarding = self._reading = False
        os.set_blocking(fd, False)
        self._resume()

    @property
    def ended(self) -> bool:
        return self._ended

    async def next(self) -> bytes | None:
        """The next line, None after the last."""
        while not self._lines:
            if self._ended or self._discarding:
                return None
            self._came.clear()
            await self._came.wait()
        line = self._lines.popleft()
        self._unread_bytes -= len(line)
        if self._unread_bytes <= _UNREAD_BYTES // 2:
            self._resume()
        return line

    def discard(self) -> None:
        """Throw away what still comes: whoever writes must not wait for a reader while it ends."""
        self._discarding = True
        self._came.set()
        self._resume()

    def close(self) -> None:
        self._pause()
        self._ended = True
        self._came.set()
        os.close(self._fd)

    def _resume(self) -> None:
        if not self._reading and not self._ended:
            self._reading = True
            self._loop.add_reader(self._fd, self._readable)

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        if self._discarding and data:
            return
        for line in self._splitter.feed(data):
            self._take(line)
        if not data:
            self._pause()
            self._ended = True
            if (last := self._splitter.end()) and not self._discarding:
                self._take(last)
            self._came.set()
        if self._unread_bytes > _UNREAD_BYTES:
            self._pause()

    def _take(self, line: bytes | TooLong) -> None:
        if isinstance(line, TooLong):
            self._too_long(line)
            return
        self._lines.append(line)
        self._unread_bytes += len(line)
        self._came.set()


class LineWriter:
    """Lines into a pipe, each whole: one that was taken is sent even if its sender has gone."""

    def __init__(self, fd: int, server: str, loop: asyncio.AbstractEventLoop) -> None:
        self._fd = fd
        self._server = server
        self._loop = loop
        self._waiting: deque[memoryview] = deque()
        self._unwritten_bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        self._closed = self._writing = False
        os.set_blocking(fd, False)

    async def write(self, data: bytes, timeout_s: float) -> None:
        if self._is_full():
            await self._wait_for_room(timeout_s)
        if self._closed:
            raise Unavailable(f"external server {self._server} has ended")
        self._waiting.append(memoryview(data))
        self._unwritten_bytes += len(data)
        if not self._writing:
            self._flush()

    async def _wait_for_room(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while self._is_full():
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            raise TimedOut(
                f"external server {self._server} reads nothing of what it is sent"
            ) from None

    def _is_full(self) -> bool:
        return not self._closed and self._unwritten_bytes >= _UNWRITTEN_BYTES

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._stop_writing()
            self._waiting.clear()
            self._room.set()
            os.close(self._fd)

    def _flush(self) -> None:
        try:
            while self._waiting:
                sent = os.write(self._fd, self._waiting[0])
                self._unwritten_bytes -= sent
                rest = self._waiting[0][sent:]
                self._waiting.popleft()
                if rest:
                    self._waiting.appendleft(rest)
        except BlockingIOError:
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._fd, self._flush)
        except BrokenPipeError:
            self.close()
            return
        else:
            self._stop_writing()
        if self._unwritten_bytes < _UNWRITTEN_BYTES:
            self._room.set()

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._fd)
