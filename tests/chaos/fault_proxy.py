"""A TCP proxy that breaks what passes through it, on cue: what stands between a hub and a server.

A fault holds for the connections that are open and for those to come, unless its text says
otherwise. A connection on which bytes were lost stays dead when the fault ends: on a real network
it would, too.
"""

import asyncio
import contextlib
import os
import random
import socket
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Literal, Self

import httptools

from tests.listening import stop_listening

CHUNK_BYTES = 64 * 1024
PARTS = 64
"""Of an answer, heard ahead of what was passed on."""
STUFFED_S = 0.05
"""A connection that loopback does not take within this is one that nobody will take."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Everything goes through."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Each part of an answer comes so much later, as over a long way: what follows it closely
    is late by the same time, not by its sum."""

    delay_s: float
    jitter_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Reset:
    """Connections end by RST: at once and whenever one is opened, or after so many answered bytes.

    With 0 the request reaches the server, which acts, and nothing of its answer comes back.
    """

    after_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nobody listens at the port, and the open connections are reset: a process was killed."""


@dataclass(frozen=True, slots=True)
class HalfOpen:
    """The connections that are open have silently lost their peer; new ones go through."""


@dataclass(frozen=True, slots=True)
class BlackHole:
    """Connections are accepted, swallow what they are sent, and never say anything."""


@dataclass(frozen=True, slots=True)
class Unaccepting:
    """A host that answers no SYN: the port's queue is full and nobody empties it."""


@dataclass(frozen=True, slots=True)
class Drip:
    """Answers come at this rate."""

    bytes_per_s: int


@dataclass(frozen=True, slots=True)
class Garbage:
    """Each request is answered, in the server's stead, with something that is no MCP."""

    what: Literal["noise", "json", "html"]


@dataclass(frozen=True, slots=True)
class Truncate:
    """Connections end by FIN after so many bytes of answers, counted from the fault's start."""

    after_bytes: int


Fault = (
    Pass | Latency | Reset | Refuse | HalfOpen | BlackHole | Unaccepting | Drip | Garbage | Truncate
)

_JSON = b'{"hello":"world"}'
_HTML = b"<!doctype html><title>Welcome to the captive portal</title>"
_OK = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b"


def spoilt(what: str) -> bytes:
    """The bytes of an answer that is none; noise differs each time."""
    if what == "json":
        return _OK % (b"application/json", len(_JSON), _JSON)
    if what == "html":
        return _OK % (b"text/html; charset=utf-8", len(_HTML), _HTML)
    return os.urandom(256)


def everyone(number: int) -> bool:
    """Every connection, whatever its number."""
    del number
    return True


class FaultProxy:
    """Listens on a port of loopback for one server on another. Open it inside a loop.

    The counters count from the start: connections, whole requests, bytes of requests and answers,
    answers that were cut off.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._fault: Fault = Pass()
        self._only: Callable[[int], bool] = everyone
        self._listener: asyncio.Server | None = None
        self._stuffing: list[socket.socket] = []
        self._open: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.connections = 0
        self.requests = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self.cut_off = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        return len(self._open)

    def fault_of(self, number: int) -> Fault:
        """What the connection of this number suffers now; the first one has number 1."""
        return self._fault if self._only(number) else Pass()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Self]:
        await self._listen()
        try:
            yield self
        finally:
            await self._unlisten()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def suffer(self, fault: Fault, only: Callable[[int], bool] = everyone) -> None:
        """From now on this, and nothing that was before; of connections, `only` those."""
        was_shut = isinstance(self._fault, (Refuse, Unaccepting))
        self._fault, self._only = fault, only
        if isinstance(fault, (Refuse, Unaccepting)) or was_shut:
            await self._unlisten()
        for connection in list(self._open):
            if only(connection.number):
                connection.suffer(fault)
        if isinstance(fault, Unaccepting):
            await self._stuff()
        elif was_shut and not isinstance(fault, Refuse):
            await self._listen()

    async def heal(self) -> None:
        """Let everything through again, but for the connections that are dead."""
        await self.suffer(Pass())

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _unlisten(self) -> None:
        if self._listener is not None:
            await stop_listening(self._listener)
            self._listener = None
        for held in self._stuffing:
            held.close()
        self._stuffing = []

    async def _stuff(self) -> None:
        """Hold the port with a queue that is full: the kernel drops every further SYN."""
        loop = asyncio.get_running_loop()
        deaf = socket.socket()
        self._stuffing = [deaf]
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        deaf.bind(("127.0.0.1", self.port))
        deaf.listen(0)
        while True:
            filler = socket.socket()
            filler.setblocking(False)
            self._stuffing.append(filler)
            try:
                await asyncio.wait_for(
                    loop.sock_connect(filler, ("127.0.0.1", self.port)), STUFFED_S
                )
            except TimeoutError:
                return

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = _Connection(self, self.connections, reader, writer, self._target)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(connection)
        try:
            await connection.run()
        except asyncio.CancelledError:
            # The proxy is stopping; to raise here would make asyncio log the end of the test.
            return
        finally:
            self._open.discard(connection)
            self._tasks.discard(task)


class _Connection:
    """One connection of a client, and the one to the server that it needs."""

    def __init__(
        self,
        proxy: FaultProxy,
        number: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        target: int,
    ) -> None:
        self.number = number
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._target = target
        self._server: asyncio.StreamWriter | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._answering: asyncio.Task[None] | None = None
        self._answered_bytes = 0
        self._dead = False

    @property
    def _fault(self) -> Fault:
        return self._proxy.fault_of(self.number)

    def suffer(self, fault: Fault) -> None:
        self._answered_bytes = 0
        if isinstance(fault, (HalfOpen, BlackHole, Unaccepting)):
            self._dead = True
        elif isinstance(fault, Refuse) or (isinstance(fault, Reset) and fault.after_bytes is None):
            self._reset()

    async def run(self) -> None:
        fault = self._fault
        self._dead = isinstance(fault, BlackHole)
        try:
            if isinstance(fault, Reset) and fault.after_bytes is None:
                self._reset()
                return
            with contextlib.suppress(ConnectionError):
                await self._requests()
        finally:
            if self._answering is not None:
                self._answering.cancel()
            writers = [each for each in (self._writer, self._server) if each is not None]
            for writer in writers:
                if self._dead:
                    writer.transport.abort()
                else:
                    writer.close()
            for writer in writers:
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
            if self._answering is not None:
                await asyncio.wait({self._answering})

    def on_message_complete(self) -> None:
        """The parser has seen the end of a request."""
        self._proxy.requests += 1
        fault = self._fault
        if isinstance(fault, Garbage) and not self._dead:
            self._writer.write(spoilt(fault.what))

    async def _requests(self) -> None:
        while chunk := await self._reader.read(CHUNK_BYTES):
            self._proxy.bytes_up += len(chunk)
            with contextlib.suppress(httptools.HttpParserError):  # counted no more, passed on
                self._parser.feed_data(chunk)
            if self._dead:
                continue
            if isinstance(self._fault, Garbage):
                # What was spoilt cannot be whole again: the server has missed a request.
                self._parser = httptools.HttpRequestParser(self)
                continue
            if self._server is None:
                await self._connect()
            if self._server is not None:
                self._server.write(chunk)
                await self._server.drain()

    async def _connect(self) -> None:
        try:
            reader, self._server = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            self._reset()
            raise ConnectionResetError from None
        self._answering = asyncio.create_task(self._answers(reader))

    async def _answers(self, reader: asyncio.StreamReader) -> None:
        parts: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(PARTS)
        hearing = asyncio.create_task(self._hear(reader, parts))
        try:
            with contextlib.suppress(ConnectionError):
                while (part := await parts.get())[1]:
                    if not await self._answered(*part):
                        return
            if not self._dead:
                self._writer.close()
        finally:
            hearing.cancel()

    async def _hear(
        self, reader: asyncio.StreamReader, parts: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        """Note each part of the server's answers with when it came; an empty one is the end."""
        chunk = b"more"
        while chunk:
            try:
                chunk = await reader.read(CHUNK_BYTES)
            except ConnectionError:
                chunk = b""
            await parts.put((monotonic(), chunk))

    async def _answered(self, came_at: float, chunk: bytes) -> bool:
        """Pass a part of an answer on as the fault lets it; whether there may be more."""
        fault = self._fault
        match fault:
            case Latency():
                late_s = fault.delay_s + random.uniform(0, fault.jitter_s)
                await asyncio.sleep(came_at + late_s - monotonic())
            case Reset(after_bytes=int(most)) | Truncate(after_bytes=most):
                left = most - self._answered_bytes
                if len(chunk) >= left:
                    self._proxy.cut_off += 1
                    await self._pass(chunk[: max(0, left)])
                    if isinstance(fault, Reset):
                        self._reset()
                    else:
                        self._writer.close()
                    return False
            case Drip():
                await self._drip(chunk, fault)
                return True
            case _:
                pass
        await self._pass(chunk)
        return True

    async def _drip(self, chunk: bytes, fault: Drip) -> None:
        """A tenth of a second's bytes at a time, while the fault lasts."""
        part = max(1, fault.bytes_per_s // 10)
        for at in range(0, len(chunk), part):
            if self._fault != fault:
                await self._pass(chunk[at:])
                return
            await self._pass(chunk[at : at + part])
            await asyncio.sleep(part / fault.bytes_per_s)

    async def _pass(self, chunk: bytes) -> None:
        if self._dead or not chunk:
            return
        self._answered_bytes += len(chunk)
        self._proxy.bytes_down += len(chunk)
        self._writer.write(chunk)
        await self._writer.drain()

    def _reset(self) -> None:
        """End it by RST, and let the server know by the end of its own connection."""
        self._dead = True
        held = self._writer.get_extra_info("socket")
        if held is not None and held.fileno() >= 0:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
