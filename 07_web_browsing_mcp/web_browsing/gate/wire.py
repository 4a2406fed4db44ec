"""Bytes both ways with backpressure: a connection that is read when there is room for it."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, cast

HIGH_BYTES: Final = 256 * 1024
"""Unread beyond this, nothing more is taken from the network."""


class Pipe(Protocol):
    """A connection, plain or in TLS. One task reads, one writes."""

    async def read(self) -> bytes:
        """What has come, at least a byte; `b""` at the end. Raises OSError where it was cut."""
        ...

    async def write(self, data: bytes) -> None:
        """Returns when there is room for more; raises OSError where the other side has gone."""
        ...

    async def finish(self, within_s: float) -> None:
        """Close it once what was written has gone out, and at the latest after `within_s`."""
        ...

    def abort(self) -> None:
        """Close it at once."""
        ...


class Wire(asyncio.Protocol):
    """A `Pipe` of plain bytes."""

    def __init__(
        self,
        made: "Callable[[Wire], None] | None" = None,
        lost: "Callable[[Wire], None] | None" = None,
    ) -> None:
        self.when_ended: Callable[[], object] | None = None
        """Called once, when nothing more will come from the other side."""
        self._made, self._lost = made, lost
        self._ended = False
        self._transport: asyncio.Transport | None = None
        self._chunks: deque[bytes] = deque()
        self._unread_bytes = 0
        self._reading_paused = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] = []
        self._writing_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._made is not None:
            self._made(self)

    def data_received(self, data: bytes) -> None:
        self._chunks.append(data)
        self._unread_bytes += len(data)
        if self._unread_bytes > HIGH_BYTES and not self._reading_paused and self._transport:
            self._reading_paused = True
            self._transport.pause_reading()
        self._wake_reader()

    def eof_received(self) -> bool:
        self._end()
        # The other direction may go on: whoever serves this decides.
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._error = exc
        self._transport = None
        self._end()
        self._wake_writers()
        if self._lost is not None:
            self._lost(self)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._wake_writers()

    @property
    def is_quiet(self) -> bool:
        """Open, and nothing has come that was not read."""
        return not self._ended and not self._chunks

    async def read(self) -> bytes:
        while not self._chunks:
            if self._error is not None:
                raise ConnectionResetError("the connection was cut") from self._error
            if self._ended:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        data = self._chunks.popleft()
        self._unread_bytes -= len(data)
        if self._reading_paused and self._unread_bytes <= HIGH_BYTES // 2 and self._transport:
            self._reading_paused = False
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._transport.write(data)
        await self._room()

    async def end_writing(self) -> None:
        """Say that nothing more will come, where the other direction goes on."""
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    async def finish(self, within_s: float) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        try:
            # From now on "room" means that nothing is left.
            transport.set_write_buffer_limits(0)
            async with asyncio.timeout(within_s):
                await self._room()
                await self.end_writing()
                # Closed with something unread, the kernel resets it, and the other side may lose
                # the answer that it has not read yet.
                while await self.read():
                    pass
        except (OSError, TimeoutError):
            pass
        finally:
            self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def _room(self) -> None:
        while self._writing_paused:
            if self._transport is None:
                raise ConnectionResetError("the connection was cut")
            waiter = asyncio.get_running_loop().create_future()
            self._writers.append(waiter)
            try:
                await waiter
            finally:
                self._writers.remove(waiter)

    def _end(self) -> None:
        self._ended = True
        self._wake_reader()
        if self.when_ended is not None:
            called, self.when_ended = self.when_ended, None
            called()

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _wake_writers(self) -> None:
        for each in self._writers:
            if not each.done():
                each.set_result(None)
