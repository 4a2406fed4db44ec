"""A server of a few tools whose every byte a test decides, over each transport and in each era."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.listening import stop_listening

from .ways import HANDSHAKE, MODERN, South

OK = b"HTTP/1.1 200 OK\r\n"
SSE = OK + b"content-type: text/event-stream\r\nconnection: close\r\n\r\n"
ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
NO_STREAM = b"HTTP/1.1 405 Method Not Allowed\r\nallow: POST\r\ncontent-length: 0\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
CAN = {"tools": {"listChanged": True}}


def in_json(body: bytes, *headers: bytes) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return OK + b"content-type: application/json\r\n%scontent-length: %d\r\n\r\n%s" % (
        lines,
        len(body),
        body,
    )


@dataclass
class Asked:
    """One tool call, and the ways to answer it; each sends what it is given, whatever that is."""

    id: str
    """The JSON text of the request's ID."""
    body: bytes
    headers: Mapping[str, str]
    writer: asyncio.StreamWriter
    """Where the answer goes: the response, or the shared stream of HTTP+SSE."""
    shared: bool
    begun: bool = False

    async def event(self, message: bytes) -> None:
        """An event of the stream, which begins with the first one."""
        await self.raw(b"event: message\ndata: " + message + b"\n\n")

    async def raw(self, data: bytes) -> None:
        if not self.begun and not self.shared:
            self.writer.write(SSE)
        self.begun = True
        self.writer.write(data)
        await self.writer.drain()

    async def result(self, text: bytes) -> None:
        await self.event(b'{"jsonrpc":"2.0","id":%s,"result":%s}' % (self.id.encode(), text))

    async def http(self, response: bytes) -> None:
        """A whole HTTP response; of HTTP+SSE there is none."""
        assert not self.shared
        self.begun = True
        self.writer.write(response)
        await self.writer.drain()


Tool = Callable[[Asked], Awaitable[None]]


@dataclass
class Scripted:
    """Serves `tools`; when one returns, its response ends there, whole or not."""

    south: South
    tools: Mapping[str, Tool]
    port: int = 0
    bodies: list[bytes] = field(default_factory=list)
    """Of the tool calls, as they came."""
    _stream: asyncio.StreamWriter | None = None
    _serving: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        path = "sse" if self.south.transport == "sse" else "mcp"
        return f"http://127.0.0.1:{self.port}/{path}"

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Scripted"]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            await stop_listening(server)
            for task in list(self._serving):
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)
            await server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            while await self._served(reader, writer):
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            self._serving.discard(task)
            writer.close()

    async def _served(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection can serve another."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = first.split(" ")
        if method == "GET" and path == "/sse" and self.south.transport == "sse":
            await self._streamed(reader, writer)
            return False
        if method != "POST" or (path == "/sse"):
            writer.write(NO_STREAM)
            return True
        message = json.loads(body)
        if "id" not in message or "method" not in message:
            writer.write(ACCEPTED)
            return True
        return await self._answered(message, body, headers, writer)

    async def _streamed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._stream = writer
        writer.write(SSE + b"event: endpoint\ndata: /messages/?session_id=1\n\n")
        await reader.read()  # until the hub goes

    async def _answered(
        self,
        message: dict[str, Any],
        body: bytes,
        headers: dict[str, str],
        writer: asyncio.StreamWriter,
    ) -> bool:
        shared = self.south.transport == "sse"
        request_id = json.dumps(message["id"])
        if message["method"] == "subscriptions/listen":
            told = {
                "jsonrpc": "2.0",
                "method": "notifications/subscriptions/acknowledged",
                "params": {},
            }
            writer.write(SSE + b"data: " + json.dumps(told).encode() + b"\n\n")
            await writer.drain()
            await asyncio.Event().wait()
        if message["method"] != "tools/call":
            result = self._known(message["method"])
            said = "result" if result is not None else "error"
            value = result if result is not None else {"code": -32601, "message": "no such method"}
            answer = json.dumps({"jsonrpc": "2.0", "id": message["id"], said: value}).encode()
            if not shared:
                writer.write(in_json(answer, b"mcp-session-id: one"))
                return True
            assert self._stream is not None
            writer.write(ACCEPTED)
            self._stream.write(b"event: message\ndata: " + answer + b"\n\n")
            return True
        self.bodies.append(body)
        tool = self.tools[message["params"]["name"]]
        if not shared:
            await tool(Asked(request_id, body, headers, writer, shared))
            return False
        assert self._stream is not None
        writer.write(ACCEPTED)
        await writer.drain()
        await tool(Asked(request_id, body, headers, self._stream, shared))
        return True

    def _known(self, method: str) -> dict[str, Any] | None:
        info = {"name": "scripted", "version": "1"}
        match method:
            case "server/discover" if self.south.modern:
                return {
                    "resultType": "complete",
                    "supportedVersions": [MODERN],
                    "capabilities": CAN,
                }
            case "initialize" if not self.south.modern:
                return {"protocolVersion": HANDSHAKE, "capabilities": CAN, "serverInfo": info}
            case "tools/list":
                schema = {"type": "object"}
                return {"tools": [{"name": name, "inputSchema": schema} for name in self.tools]}
            case "ping":
                return {}
            case _:
                return None
