"""The one answer to a POST: plain JSON, unless something must be told before; then a stream."""

import asyncio
from collections.abc import AsyncIterator

from starlette.types import Send

from master.north.tracks import RETRY_MS, Track, Tracks

KEEP_ALIVE_S = 15.0
"""A proxy closes a response that says nothing for longer; a comment keeps it open."""

_JSON = [(b"content-type", b"application/json")]
STREAM = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


def event(message: bytes, event_id: str | None = None) -> bytes:
    """A message as a server-sent event."""
    head = b"" if event_id is None else f"id: {event_id}\r\n".encode()
    return head + b"event: message\r\ndata: " + _one_line(message) + b"\r\n\r\n"


def _one_line(message: bytes) -> bytes:
    """A message without line breaks: in JSON they stand between values alone, as blanks do."""
    return message.replace(b"\r", b" ").replace(b"\n", b" ")


class Reply:
    """Commits late: JSON when the answer is the first thing said, else server-sent events.

    With `tracks` its stream can be taken up again; `stream` makes it one whatever is said. Use as a
    context manager, so that keep-alives end with it.
    """

    def __init__(self, send: Send, tracks: Tracks | None = None, *, stream: bool = False) -> None:
        self._send = send
        self._tracks = tracks
        self._prefers_stream = stream
        self.track: Track | None = None
        """What was said as a stream, where that is kept."""
        self._streaming = False
        self._closed = False
        """The client must come back for what follows."""
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
        if self.track is not None and self.track.ended_at is None:
            self.track.end()

    async def tell(self, message: bytes) -> None:
        """Send a notification, or a request to the client, before the answer."""
        async with self._writing:
            if not self._ended:
                await self._open()
                await self._say(message, more=True)

    async def end(self, message: bytes, status: int = 200) -> None:
        """Send the answer, the last thing said."""
        async with self._writing:
            if self._ended:
                return
            self._ended = True
            if self._prefers_stream and status == 200:
                await self._open()
            if self._streaming:
                await self._say(message, more=False)
                return
            await self._start(status, [*_JSON, (b"content-length", b"%d" % len(message))])
            await self._body(message, more=False)

    async def finish(self, message: bytes | None, status: int = 200) -> None:
        """Send the answer, if it is not sent yet (None) and was not begun."""
        if message is not None and not self.pouring:
            await self.end(message, status)

    async def pause(self) -> None:
        """Close the stream before the answer, for a client that can come back for it."""
        async with self._writing:
            if self._tracks is not None and not self._ended and not self._closed:
                await self._open()
                await self._body(b"", more=False)
                self._closed = True

    async def pour(self, chunks: AsyncIterator[bytes]) -> None:
        """Send the answer in pieces; when they fail, what was sent stays visibly unfinished.

        It is not kept for a client that comes back.
        """
        chunk = await anext(chunks)  # before anything is sent: it may be an error after all
        async with self._writing:
            self._ended = True
            if self._prefers_stream:
                await self._open()
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

    async def _open(self) -> None:
        """Begin the stream; one that can be taken up again with an event that only has an ID."""
        if self._streaming:
            return
        self._streaming = True
        await self._start(200, STREAM)
        if self._tracks is not None:
            self.track = self._tracks.new()
            first = self.track.add(b"")
            await self._body(f"id: {first}\r\nretry: {RETRY_MS}\r\ndata: \r\n\r\n".encode())

    async def _say(self, message: bytes, *, more: bool) -> None:
        event_id = None if self.track is None else self.track.add(message)
        if self.track is not None and not more:
            self.track.end()
        await self._body(event(message, event_id), more=more)

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self, chunk: bytes, *, more: bool = True) -> None:
        if not self._closed:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def _comment(self) -> None:
        async with self._writing:
            if not self._ended:
                await self._open()
                await self._body(b": keep-alive\r\n\r\n")

    def _wind_up(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(KEEP_ALIVE_S, self._keep_alive)

    def _keep_alive(self) -> None:
        self._ping = asyncio.create_task(self._comment())
        self._wind_up()
