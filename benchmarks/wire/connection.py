"""A small HTTP/1.1 client over one kept-alive connection, so that the load costs little itself."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import httptools


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """By lower-case name; of repeated ones the last."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go: the parts of an http:// URL."""

    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> "Target":
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        return cls(parts.hostname or "127.0.0.1", parts.port or 80, path or "/")

    def head(self, headers: Mapping[str, str], method: str = "POST") -> bytes:
        """Request line and headers up to `content-length: `, which `request` completes."""
        lines = [f"{method} {self.path} HTTP/1.1", f"host: {self.host}:{self.port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\ncontent-length: ").encode()


def request(head: bytes, body: bytes = b"") -> bytes:
    return b"%b%d\r\n\r\n%b" % (head, len(body), body)


class Connection(asyncio.Protocol):
    """One request at a time; a connection that the server closed is opened again.

    `on_chunk` gets the body as it comes, for answers that do not end.
    """

    def __init__(self, target: Target, on_chunk: Callable[[bytes], None] | None = None) -> None:
        self._target = target
        self._on_chunk = on_chunk
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Answer] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    async def send(self, raw: bytes) -> Answer:
        """The answer to a whole request; ConnectionError when the server goes before it ends."""
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            self._parser = httptools.HttpResponseParser(self)
            await loop.create_connection(lambda: self, self._target.host, self._target.port)
        assert self._transport is not None
        self._waiting = loop.create_future()
        self._transport.write(raw)
        return await self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's, they only do the same.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionError(f"not HTTP: {error}"))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionError(f"the server closed the connection: {exc}"))

    def on_message_begin(self) -> None:
        self._headers, self._body = {}, []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        if self._on_chunk is not None:
            self._on_chunk(body)
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        waiting, self._waiting = self._waiting, None
        status = self._parser.get_status_code()
        if not self._parser.should_keep_alive():
            self.close()
        if waiting is not None and not waiting.done():
            waiting.set_result(Answer(status, self._headers, b"".join(self._body)))

    def _fail(self, error: ConnectionError) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)


async def ask(
    url: str, body: bytes = b"", headers: Mapping[str, str] | None = None, method: str = "POST"
) -> Answer:
    """One request on a connection of its own; ConnectionError or OSError when it fails."""
    target = Target.of(url)
    connection = Connection(target)
    try:
        return await connection.send(request(target.head(headers or {}, method), body))
    finally:
        connection.close()
