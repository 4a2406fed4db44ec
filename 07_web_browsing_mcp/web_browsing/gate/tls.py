"""TLS over a wire, as a pipe: what has been read before the handshake is not lost to it."""

import asyncio
import ssl
from contextlib import suppress
from typing import Final, Self

from web_browsing.gate.wire import Wire

_PIECE_BYTES: Final = 64 * 1024


class TlsPipe:
    """A `Pipe` in TLS. Source: RFC 8446."""

    def __init__(self, wire: Wire, context: ssl.SSLContext, server_name: str | None) -> None:
        self._wire = wire
        self._coming, self._going = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._coming,
            self._going,
            server_side=server_name is None,
            server_hostname=server_name,
        )

    @classmethod
    async def client(cls, wire: Wire, context: ssl.SSLContext, server_name: str) -> Self:
        """Shake hands with a server of that name or address; raises SSLError, OSError."""
        pipe = cls(wire, context, server_name)
        await pipe._shake_hands()
        return pipe

    @classmethod
    async def server(cls, wire: Wire, context: ssl.SSLContext, read: bytes) -> Self:
        """Shake hands with a client, of whom `read` has been read already."""
        pipe = cls(wire, context, None)
        pipe._coming.write(read)
        await pipe._shake_hands()
        return pipe

    async def read(self) -> bytes:
        while True:
            pieces, size, more = list[bytes](), 0, True
            while size < _PIECE_BYTES:
                try:
                    piece = self._tls.read(_PIECE_BYTES - size)
                except ssl.SSLWantReadError:
                    break
                except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                    piece = b""
                if not piece:
                    more = False
                    break
                pieces.append(piece)
                size += len(piece)
            if pieces or not more:
                return b"".join(pieces)
            await self._flush()
            await self._take()

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = self._tls.write(view[: 4 * _PIECE_BYTES])
            view = view[written:]
            await self._flush()

    async def finish(self, within_s: float) -> None:
        try:
            # Says that nothing more comes; what the other side says to that is not waited for.
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            async with asyncio.timeout(within_s):
                await self._flush()
        except (OSError, TimeoutError):
            self.abort()
        await self._wire.finish(within_s)

    def abort(self) -> None:
        self._wire.abort()

    async def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._take()
            except ssl.SSLError:
                # What is wrong is said to the other side, too.
                await self._flush()
                raise
            else:
                return await self._flush()

    async def _take(self) -> None:
        data = await self._wire.read()
        if data:
            self._coming.write(data)
        else:
            self._coming.write_eof()

    async def _flush(self) -> None:
        if self._going.pending:
            await self._wire.write(self._going.read())
