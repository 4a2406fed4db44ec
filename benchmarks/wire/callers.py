"""Clients of each era that make a `tools/call` as bytes, with next to no work for each one."""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast
from urllib.parse import urljoin

import orjson

from wire.connection import Answer, Connection, Target, ask, request
from wire.echo import MARK

BASE = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
HANDSHAKE = "2025-06-18"
"""The revision that every gateway of today speaks."""
_CLIENT = {"name": "benchmark", "version": "1"}
_ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": _CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}

Headers = Callable[[], Mapping[str, str]]
"""The credentials of a call, asked for each one: a token may run out during a run."""


class CallFailed(Exception):
    """A call was not answered with what the echo says."""


@dataclass(frozen=True)
class Job:
    """What is called: a tool of the echo, its arguments as JSON, and how the answer must look."""

    label: str
    tool: str
    arguments: bytes
    answer_bytes: int
    """An answer with less is not the echo's."""
    streamed: bool = False
    """Progress is asked for, so that the answer comes as server-sent events."""

    def check(self, body: bytes, status: int, content_type: str) -> None:
        """CallFailed unless this is the echo's whole answer."""
        if status != 200 or len(body) < self.answer_bytes or MARK not in body:
            raise CallFailed(f"{self.label}: HTTP {status}, {len(body)} bytes: {body[:300]!r}")
        if self.streamed and (
            "event-stream" not in content_type or b"notifications/progress" not in body
        ):
            raise CallFailed(f"{self.label}: no progress came: {body[:300]!r}")


class Caller(Protocol):
    """One client; a lane is what one of its calls in flight uses alone."""

    async def open(self) -> None: ...

    def lane(self) -> Connection: ...

    async def call(self, lane: Connection, job: Job) -> None: ...

    async def close(self) -> None: ...


def job_body(request_id: int, tool: str, job: Job, meta: Mapping[str, Any]) -> bytes:
    marks = {**meta, "progressToken": request_id} if job.streamed else meta
    return (
        b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"%b","arguments":%b,'
        b'"_meta":%b}}' % (request_id, tool.encode(), job.arguments, orjson.dumps(marks))
    )


class ModernCaller:
    """2026-07-28: each call stands alone. `tool_of` gives the name of an echo tool there."""

    def __init__(self, url: str, headers: Headers, tool_of: Callable[[str], str]) -> None:
        self._target = Target.of(url)
        self._headers = headers
        self._tool_of = tool_of
        self._ids = itertools.count(1)

    async def open(self) -> None:
        return None

    def lane(self) -> Connection:
        return Connection(self._target)

    async def call(self, lane: Connection, job: Job) -> None:
        tool = self._tool_of(job.tool)
        headers = {
            **BASE,
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": tool,
            **self._headers(),
        }
        body = job_body(next(self._ids), tool, job, _ENVELOPE)
        answer = await lane.send(request(self._target.head(headers), body))
        job.check(answer.body, answer.status, answer.headers.get("content-type", ""))

    async def close(self) -> None:
        return None


class HandshakeCaller:
    """A handshake revision over Streamable HTTP: `open` shakes hands, calls share the session."""

    def __init__(self, url: str, headers: Headers, tool_of: Callable[[str], str]) -> None:
        self._url = url
        self._target = Target.of(url)
        self._headers = headers
        self._tool_of = tool_of
        self._ids = itertools.count(1)
        self._session: dict[str, str] = {}

    async def open(self) -> None:
        answer = await self._post(hello(0))
        if answer.status != 200:
            raise CallFailed(f"initialize: HTTP {answer.status}: {answer.body[:300]!r}")
        self._session = {"mcp-protocol-version": HANDSHAKE}
        if "mcp-session-id" in answer.headers:  # without one, the server is stateless
            self._session["mcp-session-id"] = answer.headers["mcp-session-id"]
        await self._post(INITIALIZED)

    def lane(self) -> Connection:
        return Connection(self._target)

    async def call(self, lane: Connection, job: Job) -> None:
        headers = {**BASE, **self._session, **self._headers()}
        body = job_body(next(self._ids), self._tool_of(job.tool), job, {})
        answer = await lane.send(request(self._target.head(headers), body))
        job.check(answer.body, answer.status, answer.headers.get("content-type", ""))

    async def close(self) -> None:
        if "mcp-session-id" in self._session:
            headers = {**BASE, **self._session, **self._headers()}
            await ask(self._url, headers=headers, method="DELETE")

    async def tools(self) -> list[str]:
        answer = await self._post(LIST % next(self._ids))
        if answer.status != 200:
            raise CallFailed(f"tools/list: HTTP {answer.status}: {answer.body[:300]!r}")
        data = answer.body
        if "event-stream" in answer.headers.get("content-type", ""):
            data = next(iter(_data_of(answer.body)), b"{}")
        return _names(data)

    async def _post(self, body: bytes) -> Answer:
        return await ask(self._url, body, {**BASE, **self._session, **self._headers()})


class OldSseCaller:
    """HTTP+SSE of 2024-11-05: calls are posted, answers come on the one stream."""

    def __init__(self, url: str, headers: Headers, tool_of: Callable[[str], str]) -> None:
        self._url = url
        self._headers = headers
        self._tool_of = tool_of
        self._ids = itertools.count(1)
        self._rest = b""
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._endpoint: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._stream = Connection(Target.of(url), self._heard)
        self._reading: asyncio.Task[Answer] | None = None
        self._target = Target.of(url)

    async def open(self) -> None:
        head = Target.of(self._url).head({"accept": "text/event-stream", **self._headers()}, "GET")
        self._reading = asyncio.create_task(self._stream.send(request(head)))
        told: set[asyncio.Future[Any]] = {self._reading, self._endpoint}
        await asyncio.wait(told, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        if not self._endpoint.done():
            raise CallFailed("the stream names no endpoint")
        self._target = Target.of(urljoin(self._url, self._endpoint.result()))
        lane = self.lane()
        await asyncio.wait_for(self._answered(lane, 0, hello(0)), 20)
        await lane.send(request(self._target.head({**BASE, **self._headers()}), INITIALIZED))
        lane.close()

    def lane(self) -> Connection:
        return Connection(self._target)

    async def tools(self) -> list[str]:
        lane, number = self.lane(), next(self._ids)
        try:
            return _names(await asyncio.wait_for(self._answered(lane, number, LIST % number), 20))
        finally:
            lane.close()

    async def call(self, lane: Connection, job: Job) -> None:
        number = next(self._ids)
        body = job_body(number, self._tool_of(job.tool), job, {})
        heard = await self._answered(lane, number, body)
        if len(heard) < job.answer_bytes or MARK not in heard:
            raise CallFailed(f"{job.label}: {heard[:300]!r}")

    async def close(self) -> None:
        self._stream.close()
        if self._reading is not None:
            await asyncio.wait({self._reading})
            self._reading.exception()

    async def _answered(self, lane: Connection, number: int, body: bytes) -> bytes:
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        headers = {**BASE, **self._headers()}
        posted = await lane.send(request(self._target.head(headers), body))
        if posted.status not in (200, 202, 204):
            raise CallFailed(f"HTTP {posted.status}: {posted.body[:300]!r}")
        return await waiting

    def _heard(self, chunk: bytes) -> None:
        *events, self._rest = (self._rest + chunk.replace(b"\r\n", b"\n")).split(b"\n\n")
        for event in events:
            lines = event.split(b"\n")
            data = b"\n".join(line[5:].lstrip() for line in lines if line.startswith(b"data:"))
            if b"event: endpoint" in lines and not self._endpoint.done():
                self._endpoint.set_result(data.decode())
            elif data.startswith(b"{"):
                message = orjson.loads(data)
                waiting = self._waiting.pop(message.get("id"), None)
                if waiting is not None and "method" not in message and not waiting.done():
                    waiting.set_result(data)


def hello(request_id: int) -> bytes:
    """An `initialize`."""
    params = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": _CLIENT}
    return orjson.dumps(
        {"jsonrpc": "2.0", "id": request_id, "method": "initialize", "params": params}
    )


def _data_of(stream: bytes) -> list[bytes]:
    """The data of the events that are responses."""
    events = stream.replace(b"\r\n", b"\n").split(b"\n\n")
    lines = [line for event in events for line in event.split(b"\n")]
    return [line[5:].lstrip() for line in lines if line.startswith(b"data:") and b'"id"' in line]


def _names(data: bytes) -> list[str]:
    """The names in the answer to a `tools/list`; CallFailed when it is none."""
    listed = orjson.loads(data).get("result", {}).get("tools")
    if not isinstance(listed, list):
        raise CallFailed(f"tools/list: {data[:300]!r}")
    return [str(tool["name"]) for tool in cast("list[dict[str, Any]]", listed)]


LIST = b'{"jsonrpc":"2.0","id":%d,"method":"tools/list","params":{}}'
INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
