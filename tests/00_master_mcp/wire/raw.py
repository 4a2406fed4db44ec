"""Clients that write and read the very bytes of the protocol, which the SDK's models hide."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import Any, Protocol
from urllib.parse import urljoin

import httpx2

from .ways import HANDSHAKE, MODERN

TAKES = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


class Raw(Protocol):
    """One client of either era. `texts` are JSON texts of further members of params."""

    def open(self) -> Any: ...

    def send(
        self, method: str, marks: Mapping[str, Any] | None = None, **texts: str
    ) -> AsyncGenerator[bytes]:
        """Every message that answers a request, its response last."""
        ...


async def answer_of(messages: AsyncIterator[bytes]) -> bytes:
    """The last message: the response."""
    last = b""
    async for each in messages:
        last = each
    return last


async def result_of(messages: AsyncIterator[bytes]) -> dict[str, Any]:
    found = json.loads(await answer_of(messages))
    assert "result" in found, found
    return found["result"]


def call(name: str, arguments: str = "{}") -> dict[str, str]:
    """The texts of the params of a tool call."""
    return {"name": json.dumps(name), "arguments": arguments}


def _request(number: int, method: str, texts: Mapping[str, str]) -> bytes:
    params = ",".join(f'"{name}":{text}' for name, text in texts.items())
    return f'{{"jsonrpc":"2.0","id":{number},"method":"{method}","params":{{{params}}}}}'.encode()


async def _messages(response: httpx2.Response) -> AsyncGenerator[bytes]:
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        async for _, data in _events(response):
            yield data
    else:
        yield await response.aread()


async def _events(response: httpx2.Response) -> AsyncGenerator[tuple[str, bytes]]:
    """Event and data; a large event is looked at once, when its end has come."""
    held = bytearray()
    async for chunk in response.aiter_raw():
        seen = max(0, len(held) - 4)
        held += chunk
        while (end := held.find(b"\r\n\r\n", seen)) >= 0:
            fields = dict(_fields(bytes(held[:end])))
            del held[: end + 4]
            seen = 0
            if fields.get(b"data"):
                yield fields.get(b"event", b"message").decode(), fields[b"data"]
    assert not held, "the stream broke off inside an event"


def _fields(event: bytes) -> list[tuple[bytes, bytes]]:
    split = [line.partition(b":") for line in event.split(b"\r\n")]
    return [(name, value.removeprefix(b" ")) for name, _, value in split if name]


class Modern:
    """2026-07-28: every POST stands alone."""

    def __init__(self, http: httpx2.AsyncClient, url: str, capabilities: Mapping[str, Any]) -> None:
        self._http, self.url, self._capabilities = http, url, capabilities
        self._numbers = count(1)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        yield

    async def send(
        self, method: str, marks: Mapping[str, Any] | None = None, **texts: str
    ) -> AsyncGenerator[bytes]:
        async with self._sent(method, marks, texts) as response:
            async for each in _messages(response):
                yield each

    async def pieces(
        self, method: str, marks: Mapping[str, Any] | None = None, **texts: str
    ) -> AsyncGenerator[bytes]:
        """The bytes of the response as they come."""
        async with self._sent(method, marks, texts) as response:
            async for each in response.aiter_raw():
                yield each

    def _sent(
        self, method: str, marks: Mapping[str, Any] | None, texts: dict[str, str]
    ) -> AbstractAsyncContextManager[httpx2.Response]:
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": self._capabilities,
            **(marks or {}),
        }
        headers = {**TAKES, "mcp-protocol-version": MODERN, "mcp-method": method}
        if method in NAMED:
            headers["mcp-name"] = json.loads(texts[NAMED[method]])
        texts["_meta"] = json.dumps(meta)
        body = _request(next(self._numbers), method, texts)
        return self._http.stream("POST", self.url, content=body, headers=headers)


class Handshake:
    """2025-11-25: a session, and a POST a request."""

    def __init__(self, http: httpx2.AsyncClient, url: str, capabilities: Mapping[str, Any]) -> None:
        self._http, self.url, self._capabilities = http, url, capabilities
        self._numbers = count(1)
        self.session: dict[str, str] = {}

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        response = await self._http.post(
            self.url, content=_opening(self._capabilities), headers=TAKES
        )
        assert response.status_code == 200, response.text
        self.session = {
            "mcp-session-id": response.headers["mcp-session-id"],
            "mcp-protocol-version": HANDSHAKE,
        }
        await self.post(INITIALIZED)
        yield
        await self._http.delete(self.url, headers=self.session)

    async def post(self, body: bytes) -> None:
        """Send what has no answer: a notification, or the answer to a question."""
        sent = {**TAKES, **self.session}
        response = await self._http.post(self.url, content=body, headers=sent)
        assert response.status_code == 202, response.text

    async def send(
        self, method: str, marks: Mapping[str, Any] | None = None, **texts: str
    ) -> AsyncGenerator[bytes]:
        async with self._sent(method, marks, texts) as response:
            async for each in _messages(response):
                yield each

    async def pieces(
        self, method: str, marks: Mapping[str, Any] | None = None, **texts: str
    ) -> AsyncGenerator[bytes]:
        """The bytes of the response as they come."""
        async with self._sent(method, marks, texts) as response:
            async for each in response.aiter_raw():
                yield each

    def _sent(
        self, method: str, marks: Mapping[str, Any] | None, texts: dict[str, str]
    ) -> AbstractAsyncContextManager[httpx2.Response]:
        if marks:
            texts["_meta"] = json.dumps(marks)
        body, sent = _request(next(self._numbers), method, texts), {**TAKES, **self.session}
        return self._http.stream("POST", self.url, content=body, headers=sent)


class Sse:
    """2024-11-05: POSTs, and one stream for all that answers them."""

    def __init__(self, http: httpx2.AsyncClient, url: str, capabilities: Mapping[str, Any]) -> None:
        self._http, self.url, self._capabilities = http, url, capabilities
        self._numbers = count(1)
        self._post_to = ""
        self._waiting: dict[int, asyncio.Queue[bytes | None]] = {}

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        async with self._http.stream("GET", self.url, headers=TAKES) as response:
            events = _events(response)
            _, where = await anext(events)
            self._post_to = urljoin(self.url, where.decode())
            reading = asyncio.create_task(self._read(events))
            try:
                opened = self._waiting[0] = asyncio.Queue()
                await self.post(_opening(self._capabilities))
                await opened.get()
                await self.post(INITIALIZED)
                yield
            finally:
                reading.cancel()
                await asyncio.wait({reading})

    async def post(self, body: bytes) -> None:
        response = await self._http.post(self._post_to, content=body, headers=TAKES)
        assert response.status_code == 202, response.text

    async def send(
        self, method: str, marks: Mapping[str, Any] | None = None, **texts: str
    ) -> AsyncGenerator[bytes]:
        if marks:
            texts["_meta"] = json.dumps(marks)
        number = next(self._numbers)
        heard = self._waiting[number] = asyncio.Queue()
        try:
            await self.post(_request(number, method, texts))
            while (message := await heard.get()) is not None:
                yield message
                if json.loads(message).get("id") == number:
                    return
        finally:
            del self._waiting[number]

    async def _read(self, events: AsyncIterator[tuple[str, bytes]]) -> None:
        """A response goes to who waits for it; whose anything else is, the stream does not say."""
        async for _, data in events:
            known = self._waiting.get(json.loads(data).get("id"))
            for heard in [known] if known else list(self._waiting.values()):
                heard.put_nowait(data)
        for heard in list(self._waiting.values()):
            heard.put_nowait(None)


INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'


def _opening(capabilities: Mapping[str, Any]) -> bytes:
    params = {
        "protocolVersion": HANDSHAKE,
        "capabilities": capabilities,
        "clientInfo": {"name": "raw", "version": "1"},
    }
    return _request(0, "initialize", {name: json.dumps(value) for name, value in params.items()})
