"""Our own client, for `http://`: asyncio's transports, llhttp, and as little else as there can be.

A request makes no task and no timer, and waits on one future where its answer comes at once.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from time import monotonic

from master.upstream.transport.answer import Answer
from master.upstream.transport.client import (
    CONNECT_S,
    KEEP_ALIVE_S,
    too_late,
    unreachable,
)
from master.upstream.transport.connection import HEAD, TICK_S, Connection
from master.upstream.transport.head import request_head
from master.upstream.transport.resolve import Names
from master.upstream.transport.target import Target


class PlainResponse:
    """Its connection is free for others as soon as all has come, read or not."""

    __slots__ = ("_answer", "_connection")

    def __init__(self, answer: Answer, connection: Connection) -> None:
        self._answer = answer
        self._connection = connection

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._answer.headers

    @property
    def content_type(self) -> str:
        return self._answer.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def ended(self) -> bool:
        return self._answer.ended and not self._answer.held

    async def begin(self, most_bytes: int) -> bytes:
        answer = self._answer
        if not answer.ended and answer.held <= most_bytes:
            await self._connection.wait(answer, most_bytes)
        return self._taken()

    async def chunk(self) -> bytes:
        answer = self._answer
        # What came before the connection broke off is given out first.
        if not answer.held and not answer.ended:
            await self._connection.wait(answer, 0)
        return self._taken()

    async def chunks(self) -> AsyncIterator[bytes]:
        while chunk := await self.chunk():
            yield chunk

    def close(self) -> None:
        if not self._answer.ended:
            self._connection.give_up(self._answer)

    def _taken(self) -> bytes:
        taken = self._answer.take()
        if not self._answer.ended:
            self._connection.resume(self._answer)
        return taken


class PlainClient:
    """Made inside the loop that it serves. Limits on requests in flight are not its business."""

    def __init__(
        self,
        keep_alive_s: float = KEEP_ALIVE_S,
        connect_s: float = CONNECT_S,
        names: Names | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._keep_alive_s = keep_alive_s
        self._connect_s = connect_s
        self._names = names or Names()
        self._idle: dict[str, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed: asyncio.Future[None] | None = None

    @property
    def open_connections(self) -> int:
        """Those in use and the idle ones."""
        return len(self._open)

    async def request(
        self,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        body: bytes = b"",
        due_at: float | None = None,
        silence_s: float | None = None,
    ) -> PlainResponse:
        assert target.plain, "https:// and the like are aiohttp's"
        head = request_head(method, target, headers, len(body))
        now = monotonic()
        if due_at is not None and due_at <= now:
            raise too_late(target)
        connection = self._reused(target.authority, now)
        if connection is None:
            connection = await self._connected(target, due_at)
        answer = Answer(bodiless=method == "HEAD")
        connection.start(head, body, answer, due_at, silence_s)
        await connection.wait(answer, HEAD)
        return PlainResponse(answer, connection)

    def drop_idle(self, target: Target) -> None:
        for connection in self._idle.pop(target.authority, ()):
            connection.abort()

    async def close(self) -> None:
        if self._closed is None:
            self._closed = self._loop.create_future()
        if self._sweep is not None:
            self._sweep.cancel()
        self._names.close()
        for connection in list(self._open):
            connection.abort()
        if self._open:
            await asyncio.shield(self._closed)

    def idle(self, connection: Connection) -> None:
        connection.idle_since = monotonic()
        self._idle.setdefault(connection.target.authority, []).append(connection)
        if self._sweep is None and self._closed is None:
            self._sweep = self._loop.call_later(self._keep_alive_s, self._swept)

    def lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        idle = self._idle.get(connection.target.authority)
        if idle is not None and connection in idle:
            idle.remove(connection)
            if not idle:
                del self._idle[connection.target.authority]
        if self._closed is not None and not self._open and not self._closed.done():
            self._closed.set_result(None)

    def _reused(self, authority: str, now: float) -> Connection | None:
        """The idle connection that was used last, if there is a good one."""
        idle = self._idle.get(authority)
        while idle:
            connection = idle.pop()
            idle_s = now - connection.idle_since
            keep_s = min(self._keep_alive_s, connection.kept_s)
            if idle_s < keep_s and connection.is_quiet():
                return connection
            connection.abort()
        return None

    def _swept(self) -> None:
        """Close what was idle for too long; once in that time for all of them."""
        self._sweep = None
        oldest = monotonic() - self._keep_alive_s
        kept = False
        for idle in self._idle.values():
            for connection in idle:
                if connection.idle_since <= oldest:
                    connection.abort()  # it is taken out when it has ended
                else:
                    kept = True
        if kept:
            self._sweep = self._loop.call_later(self._keep_alive_s, self._swept)

    async def _connected(self, target: Target, due_at: float | None) -> Connection:
        """A new connection, by the first of the host's addresses that accepts.

        Each address gets an equal part of the time that is left, so that one that swallows
        everything does not hide the others.
        """
        until = monotonic() + self._connect_s
        if due_at is not None and due_at < until:
            until = due_at
        try:
            async with asyncio.timeout(until - monotonic()):
                addresses = await self._names.addresses(target.host, target.port)
            for left in range(len(addresses), 0, -1):
                connection = await self._tried(target, addresses[-left], until, left)
                if connection is not None:
                    return connection
        except (OSError, UnicodeError):  # the name has no address, or is none
            pass
        self._names.forget(target.host, target.port)
        if due_at is not None and due_at - monotonic() <= TICK_S:
            raise too_late(target)
        raise unreachable(target.name)

    async def _tried(
        self, target: Target, address: str, until: float, left: int
    ) -> Connection | None:
        connection = Connection(target, self)
        try:
            async with asyncio.timeout((until - monotonic()) / left):
                await self._loop.create_connection(lambda: connection, address, target.port)
        except OSError:  # TimeoutError is one of them
            return None
        if self._closed is not None:
            connection.abort()
        if not connection.is_open:  # accepted, and closed in the same breath
            return None
        self._open.add(connection)
        return connection
