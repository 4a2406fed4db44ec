"""The one answer to a POST: plain JSON, unless something must be told before; then a stream."""

import asyncio
from collections.abc import AsyncIterator

from starlette.types import Send

KEEP_ALIVE_S = 15.0
"""A proxy closes a response that says nothing for longer; a comment keeps it open."""

_JSON = [(b"content-type", b"application/json")]
STREAM = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


def event(message: bytes) -> bytes:
    """A message as a server-sent event."""
    return b"event: message\r\ndata: " + _one_line(message) + b"\r\n\r\n"


def _one_line(message: bytes) -> bytes:
    """A message without line breaks: in JSON they stand between values alone, as blanks do."""
    return message.replace(b"\r", b" ").replace(b"\n", b" ")


class Reply:
    """Commits late: JSON when the answer is the first thing said, else server-sent events.

    Use as a context manager, so that keep-alives end with it.
    """

    def __init__(self, send: Send, headers: list[tuple[bytes, bytes]] | None = None) -> None:
        self._send = send
        self._headers = headers or []
        self._streaming = False
        self._ended = False
        self.pouring = False
        """An answer was begun and is not at its end."""
        self._writing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._ping: asyncio.Task[None] | None = None

    def __enter__(self) -> "Reply":
        self._wind_up()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._ping is not None:
            self._ping.cancel()

    async def tell(self, message: bytes) -> None:
        """Send a notification, or a request to the client, before the answer."""
        await self._stream(event(message))

    async def end(self, message: bytes, status: int = 200) -> None:
        """Send the answer, the last thing said."""
        async with self._writing:
            if self._ended:
                return
            self._ended = True
            if self._streaming:
                await self._body(event(message), more=False)
                return
            await self._start(status, [*_JSON, (b"content-length", b"%d" % len(message))])
            await self._body(message, more=False)

    async def finish(self, message: bytes | None, status: int = 200) -> None:
        """Send the answer, if it is not sent yet (None) and was not begun."""
        if message is not None and not self.pouring:
            await self.end(message, status)

    async def pour(self, chunks: AsyncIterator[bytes]) -> None:
        """Send the answer in pieces; when they fail, what was sent stays visibly unfinished."""
        chunk = await anext(chunks)  # before anything is sent: it may be an error after all
        async with self._writing:
            self._ended = True
            if self._streaming:
                await self._body(b"event: message\r\ndata: ", more=True)
            else:
                await self._start(200, _JSON)
            self.pouring = True
            await self._piece(chunk)
            async for chunk in chunks:
                await self._piece(chunk)
            self.pouring = False
            await self._body(b"\r\n\r\n" if self._streaming else b"", more=False)

    async def _piece(self, chunk: bytes) -> None:
        # The line breaks of an indented answer would end an event; between values they are blanks.
        await self._body(_one_line(chunk) if self._streaming else chunk, more=True)

    async def _stream(self, chunk: bytes) -> None:
        async with self._writing:
            if self._ended:
                return
            if not self._streaming:
                self._streaming = True
                await self._start(200, STREAM)
            await self._body(chunk, more=True)

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*headers, *self._headers],
            }
        )

    async def _body(self, chunk: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": chunk, "more_body": more})

    def _wind_up(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._keep_alive)

    def _keep_alive(self) -> None:
        self._ping = asyncio.create_task(self._stream(b": keep-alive\r\n\r\n"))
        self._wind_up()
