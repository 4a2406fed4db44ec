"""The few pieces of ASGI that the echo servers share."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.types import Receive, Send

_STREAM = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]

Headers = list[tuple[bytes, bytes]]


async def body_of(receive: Receive) -> bytes:
    """The whole body of a request."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def gone(receive: Receive) -> None:
    """Return once the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        continue


class Reply:
    """JSON when the answer is the first thing said, else server-sent events."""

    def __init__(self, send: Send, headers: Headers | None = None) -> None:
        self._send = send
        self._headers: Headers = headers or []
        self._streaming = False

    async def tell(self, message: Mapping[str, Any]) -> None:
        """A message before the answer."""
        await self._stream(_event(message))

    async def comment(self) -> None:
        await self._stream(b": keep-alive\r\n\r\n")

    async def end(self, message: Mapping[str, Any] | None, status: int = 200) -> None:
        """The answer; None has no body."""
        if self._streaming:
            last = b"" if message is None else _event(message)
            await self._send({"type": "http.response.body", "body": last})
            return
        body = b"" if message is None else orjson.dumps(message)
        told = [(b"content-length", b"%d" % len(body)), *self._headers]
        if body:
            told.append((b"content-type", b"application/json"))
        await self._send({"type": "http.response.start", "status": status, "headers": told})
        await self._send({"type": "http.response.body", "body": body})

    async def _stream(self, chunk: bytes) -> None:
        if not self._streaming:
            self._streaming = True
            start = {"type": "http.response.start", "status": 200}
            await self._send({**start, "headers": [*_STREAM, *self._headers]})
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})


def _event(message: Mapping[str, Any]) -> bytes:
    return b"event: message\r\ndata: " + orjson.dumps(message) + b"\r\n\r\n"
