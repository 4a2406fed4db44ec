"""A stream that broke off after its request was sent is never taken for one that was not sent."""

import asyncio

import anyio
import pytest

from flotilla import FlotillaError
from master import rpc
from master.upstream.authority import Fixed
from master.upstream.failure import judged
from master.upstream.handshake.http import HttpSession
from master.upstream.http import Http
from master.upstream.incoming import Incoming
from master.upstream.pool import ConnectionPool
from tests.listening import stop_listening

pytestmark = pytest.mark.anyio

HALF = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nmcp-session-id: s\r\n"
    b"connection: close\r\n\r\nid: 1\nretry: 1\ndata: \n\n"
)
REFUSAL = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no"}}'


class Ears:
    def __init__(self) -> None:
        self.failures: asyncio.Queue[FlotillaError | rpc.RpcError] = asyncio.Queue()

    async def heard(self, message: Incoming, request: int | None) -> None:
        raise AssertionError("nothing is said here")

    async def paused(self, request: int) -> None:
        return

    def failed(self, request: int, error: FlotillaError | rpc.RpcError) -> None:
        self.failures.put_nowait(error)


@pytest.mark.parametrize(
    "resumed",
    [
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%s" % (len(REFUSAL), REFUSAL),
        b"HTTP/1.1 405 No\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 503 Later\r\ncontent-length: 0\r\n\r\n",
        b"garbage\r\n\r\n",
        b"",
        None,
    ],
    ids=["404", "404-rpc", "405", "503", "garbage", "nothing", "refused"],
)
async def test_whether_it_took_effect_is_not_known(resumed: bytes | None) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if resumed is None:
            # Before the answer breaks off: whoever comes back for the rest finds nobody.
            await stop_listening(server)
        writer.write(HALF if head.startswith(b"POST") else resumed or b"")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ears, pool = Ears(), ConnectionPool()
    async with pool.running():
        session = HttpSession(Http("far", f"http://127.0.0.1:{port}/mcp", pool), Fixed({}))
        running = asyncio.create_task(session.run(ears))
        await asyncio.sleep(0)
        with anyio.fail_after(5):
            await session.send(b'{"jsonrpc":"2.0","id":7,"method":"tools/call"}', 7)
            error = await ears.failures.get()
        assert judged(error).kind == "unknown"
        running.cancel()
        await asyncio.wait({running})
    await stop_listening(server)
