"""Servers that answer to the byte as a test says, and the clients that are tried on them."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from master.upstream.transport.client import Client
from master.upstream.transport.plain import PlainClient
from master.upstream.transport.target import Target
from master.upstream.transport.with_aiohttp import AiohttpClient
from tests.listening import stop_listening


@pytest.fixture(params=[True, False], ids=["uvloop", "asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


MOSTLY_UVLOOP = pytest.mark.parametrize(
    "anyio_backend",
    [True, pytest.param(False, marks=pytest.mark.real)],
    ids=["uvloop", "asyncio"],
    indirect=True,
)
"""For what waits for most of its time: the default run takes the loop of the hub's own process."""


@dataclass
class Peer:
    """One connection as the server has it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def request(self) -> bytes:
        """The next request, head and body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return head + await self.reader.readexactly(length)

    async def say(self, *parts: bytes) -> None:
        for part in parts:
            if self.writer.is_closing():  # uvloop makes a RuntimeError of it
                raise ConnectionResetError
            self.writer.write(part)
            await self.writer.drain()

    async def until_gone(self) -> None:
        """Return when the client has closed the connection."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass
        self.gone.set()


Serve = Callable[[Peer], Awaitable[None]]


@dataclass
class Served:
    target: Target
    peers: list[Peer]

    @property
    def port(self) -> int:
        return self.target.port


StartServer = Callable[[Serve], AbstractAsyncContextManager[Served]]


@asynccontextmanager
async def _serving(serve: Serve) -> AsyncGenerator[Served]:
    tasks: set[asyncio.Task[Any]] = set()
    peers: list[Peer] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        peers.append(peer := Peer(reader, writer))
        try:
            await serve(peer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=2**20, backlog=1000)
    port = server.sockets[0].getsockname()[1]
    try:
        yield Served(Target.of(f"http://127.0.0.1:{port}/mcp", "spoke"), peers)
    finally:
        await stop_listening(server)
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(set(tasks))
        await server.wait_closed()


@pytest.fixture
def serving() -> StartServer:
    """Start a server that treats each of its connections so; it stops when the block ends."""
    return _serving


@pytest.fixture(params=[PlainClient, AiohttpClient], ids=["plain", "aiohttp"])
async def client(request: pytest.FixtureRequest) -> AsyncGenerator[Client]:
    made: Client = request.param()
    yield made
    await made.close()


@pytest.fixture
async def plain() -> AsyncGenerator[PlainClient]:
    made = PlainClient()
    yield made
    await made.close()
    assert made.open_connections == 0
