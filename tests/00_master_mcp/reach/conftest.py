"""A gate before a real server, which can be shut in every way that servers are away."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import anyio
import pytest

from flotilla import Deadline, Principal
from flotilla.metrics import Metrics
from flotilla.resilience import HealthCheck
from master import rpc
from master.call import Call
from master.catalogue import Catalogue, Entry, Origin, View
from master.offer import Offer
from master.streaming.splitter import Piece
from master.upstream.authority import Fixed
from master.upstream.handshake.http import HttpSession
from master.upstream.handshake.speaker import Handshake
from master.upstream.handshake.sse import SseSession
from master.upstream.http import Http
from master.upstream.link import Link, Speaker
from master.upstream.links import Links
from master.upstream.modern import Modern
from master.upstream.pool import ConnectionPool
from master.upstream.probing import Probing
from master.upstream.transport.resolve import Ask
from tests.everything import Era, Serving, serving
from tests.listening import stop_listening
from tests.ports import find_free_port

Trouble = Literal["refused", "hole", "deaf", "garbage"]
"""Nobody listens; connections are accepted and nothing comes; they are not even accepted; or what
comes is no HTTP. The connections that stood break off in the first and last, else hang for good."""


class Gate:
    """Stands before a server, on a port of its own."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._server: asyncio.Server | None = None
        self._deaf: list[socket.socket] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._passing: set[asyncio.Task[Any]] = set()
        self._state: Literal["open", "hole", "garbage"] = "open"
        self.port = find_free_port()
        self.knocked = 0
        """Connections since it was shut last."""

    async def open(self) -> None:
        """Let new connections pass; those that hung do so for good."""
        self._hear()
        self._state = "open"
        if self._server is None:
            self._server = await asyncio.start_server(self._entered, "127.0.0.1", self.port)

    async def shut(self, trouble: Trouble) -> None:
        self.knocked = 0
        if trouble in ("hole", "garbage"):
            self._state = trouble  # pyright: ignore[reportAttributeAccessIssue]
        else:
            assert self._server is not None
            await stop_listening(self._server)
            self._server = None
        if trouble == "deaf":
            self._be_deaf()
        for task in list(self._passing if trouble in ("hole", "deaf") else self._tasks):
            task.cancel()

    def cut(self) -> None:
        """Break every connection off, and let new ones pass."""
        for task in list(self._tasks):
            task.cancel()

    async def close(self) -> None:
        self._hear()
        if self._server is not None:
            await stop_listening(self._server)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _be_deaf(self) -> None:
        """A full queue of connections that nobody accepts: the system answers no more of them."""
        full = socket.socket()
        full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        full.bind(("127.0.0.1", self.port))
        full.listen(0)
        self._deaf = [full]
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(("127.0.0.1", self.port))
            self._deaf.append(one)

    def _hear(self) -> None:
        for each in self._deaf:
            each.close()
        self._deaf = []

    async def _entered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.knocked += 1
        try:
            if self._state == "open":
                await self._passed(reader, writer)
            elif self._state == "hole":
                await anyio.sleep_forever()
            else:
                writer.write(b"\x00\xff garbage that is no HTTP\r\n\r\n")
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _passed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to_port)
        both = [
            asyncio.create_task(_poured(reader, back)),
            asyncio.create_task(_poured(there, writer)),
        ]
        self._passing |= set(both)
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if any(each.cancelled() for each in done):
                await anyio.sleep_forever()  # neither end hears of it
        finally:
            self._passing -= set(both)
            for each in both:
                each.cancel()
            back.transport.abort()


async def _poured(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        return


class Deaf:
    """A client that hears nothing."""

    told = False

    async def notify(self, method: str, params: Mapping[str, str]) -> None:
        return

    async def report(self, progress: float, total: float | None, said: str | None) -> None:
        return

    async def pause(self) -> None:
        return

    async def pour(self, pieces: AsyncIterator[Piece]) -> bool:
        raise AssertionError("no answer is large here")


def call(tool: str = "echo", timeout_s: float = 5.0, **arguments: Any) -> Call:
    given = arguments or {"text": "hello"}
    return Call(
        principal=Principal("ann"),
        name=tool,
        params={"name": f'"{tool}"', "arguments": rpc.text_of(given)},
        arguments=given,
        meta={},
        correlation_id="c",
        traceparent=None,
        view=View(),
        capabilities={},
        arrived=0,
        hearer=Deaf(),
        target=Entry(tool, "far", {"name": tool}),
        deadline=Deadline.after(timeout_s),
    )


def speaker_to(kind: str, url: str, pool: ConnectionPool) -> Speaker:
    http, authority = Http("far", url, pool), Fixed({})
    sse = Handshake("far", lambda: SseSession(http, authority, pool))
    handshake = Handshake("far", lambda: HttpSession(http, authority))
    modern = Modern(http, authority)
    return {
        "modern": modern,
        "handshake": handshake,
        "sse": sse,
        "probing": Probing("far", modern, handshake, sse),
    }[kind]


SERVERS: Mapping[str, tuple[Any, Era]] = {
    "modern": ("streamable-http", Era.MODERN),
    "handshake": ("streamable-http", Era.HANDSHAKE),
    "sse": ("sse", Era.HANDSHAKE),
    "probing": ("streamable-http", Era.HANDSHAKE),
}


class Clients:
    """Nobody who is told anything."""

    def changed(self, service: str, kinds: Any) -> None:
        return

    def updated(self, service: str, uri: str, params: Any) -> None:
        return

    def said(self, service: str, method: str, params: Any) -> None:
        return


@dataclass
class Reached:
    """A link to a real server behind a gate, and what its hub heard of it."""

    link: Link
    links: Links
    gate: Gate
    served: Serving
    catalogue: Catalogue
    metrics: Metrics
    opened_s: float
    """How long it took to connect the first time: to list what it offers, above all."""
    heard: list[str] = field(default_factory=list)


Reach = Callable[..., AbstractAsyncContextManager[Reached]]

QUICK = HealthCheck(every_s=0.2, timeout_s=0.3, failures=2)


@asynccontextmanager
async def _reaching(
    kind: str, check: HealthCheck = QUICK, host: str = "127.0.0.1", ask: Ask | None = None
) -> AsyncGenerator[Reached]:
    catalogue, metrics = Catalogue({"far": Origin(external=True)}), Metrics()
    links, pool = Links(catalogue, metrics, 60, checks=lambda _: check), ConnectionPool(ask)
    async with serving(*SERVERS[kind]) as served:
        gate = Gate(served.port)
        await gate.open()
        url = served.url.replace(f"127.0.0.1:{served.port}", f"{host}:{gate.port}")
        try:
            async with pool.running():
                heard: list[str] = []
                links.on_away = lambda service, reason: heard.append(f"away: {reason}")
                links.on_back = lambda service: heard.append("back")
                links.add("far", speaker_to(kind, url, pool))
                link = links.by_service["far"]
                async with links.running(Clients()):
                    with anyio.fail_after(5):
                        opened_s, _ = await timed(link.up())
                    yield Reached(link, links, gate, served, catalogue, metrics, opened_s, heard)
        finally:
            await gate.close()


@pytest.fixture
def reaching() -> Reach:
    """Link up with a fixture server of a kind, behind a gate that is open."""
    return _reaching


async def timed(awaited: Awaitable[Any]) -> tuple[float, Any]:
    """The seconds that it took, and what came of it, an error too."""
    started = asyncio.get_running_loop().time()
    try:
        result = await awaited
    except Exception as error:  # noqa: BLE001 - told on to the test
        result = error
    return asyncio.get_running_loop().time() - started, result


def offer_of(*names: str) -> Offer:
    return Offer({"tools": tuple({"name": name} for name in names)}, {"tools": {}}, None, "1")
