"""A byte proxy that adds one header to each request, for a client that cannot send any itself."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

MAX_HEAD_BYTES = 2**20


class HeaderProxy:
    """Stands on loopback before a port of loopback.

    Everything else passes as it is, in both directions and as it comes; when one side closes, so
    does the other.
    """

    def __init__(self, port: int, name: str, value: str) -> None:
        self._port = port
        self._line = f"{name}: {value}\r\n".encode()
        self._carrying: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[int]:
        """Serve on a free port, which is yielded."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=MAX_HEAD_BYTES)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in self._carrying:
                task.cancel()
            await asyncio.gather(*self._carrying, return_exceptions=True)

    def _connected(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(client, back))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            server, onward = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            back.close()
            return
        ways = [
            asyncio.create_task(self._requests(client, onward)),
            asyncio.create_task(_answers(server, back)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            onward.close()
            back.close()

    async def _requests(self, client: asyncio.StreamReader, onward: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await client.readuntil(b"\r\n\r\n")
                first, _, rest = head.partition(b"\r\n")
                onward.write(first + b"\r\n" + self._line + rest)
                await _body(rest.lower(), client, onward)
                await onward.drain()


async def _body(headers: bytes, client: asyncio.StreamReader, onward: asyncio.StreamWriter) -> None:
    """Carry the body that the headers, in lower case, announce."""
    if re.search(rb"^transfer-encoding:[^\r]*chunked", headers, re.MULTILINE):
        size = 1
        while size:
            line = await client.readuntil(b"\r\n")
            size = int(line.partition(b";")[0], 16)
            onward.write(line + await client.readexactly(size + 2))
        return
    if length := re.search(rb"^content-length:\s*(\d+)", headers, re.MULTILINE):
        onward.write(await client.readexactly(int(length[1])))


async def _answers(server: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while some := await server.read(65_536):
            back.write(some)
            await back.drain()
