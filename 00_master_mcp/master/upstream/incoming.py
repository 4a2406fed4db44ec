"""What a server answers with, message by message; a large one comes in pieces."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable

import structlog

from flotilla import TooLarge, UpstreamError
from master.result import INPUT_REQUIRED
from master.streaming.events import Closing, Data, Event, Opening, Part, StreamingEvents
from master.streaming.scrub import Scrubber, fed
from master.streaming.splitter import Member, Piece, Splitter, split
from master.upstream import wire
from master.upstream.transport.client import Response

log = structlog.get_logger(__name__)

HOLD_BYTES = 256 * 1024
"""A message up to this size is read whole: that is the faster way."""
PART_BYTES = 64 * 1024
MAX_WHOLE_BYTES = 16 * 1024 * 1024
"""The most of a message that has to be read whole: a list, a notification, a question."""

_ASKS = frozenset({"method", "params"})
_QUESTIONS = Member("result", "resultType", INPUT_REQUIRED.encode())


class Large:
    """A message over `HOLD_BYTES`, of which the beginning has come."""

    def __init__(
        self, begin: bytes, more: AsyncIterator[bytes], scrub: "Scrub | None" = None
    ) -> None:
        self._begin = begin
        self._more = more
        self._scrub = scrub
        first = Splitter().feed(begin)
        names = {getattr(piece, "name", "") for piece in first}
        ids = [each.text for each in first if isinstance(each, Member) and each.name == "id"]
        self.id = ids[0].decode() if ids else None
        """The JSON text of its ID, where that stands at its beginning."""
        self.is_answer = not names & _ASKS and _QUESTIONS not in first
        """Whether it is an answer that a client can be given; else it asks or tells something."""

    def pieces(self) -> AsyncIterator[Piece]:
        """The message in pieces; UpstreamError where it is none or breaks off."""
        return split(self._chunks())

    async def whole(self) -> wire.Received:
        """All of it at once; TooLarge beyond 16 MiB."""
        raw = bytearray()
        async for chunk in self._chunks():
            raw += chunk
            if len(raw) > MAX_WHOLE_BYTES:
                raise TooLarge("the server sent a message of over 16 MiB that must be read whole")
        return wire.received(raw)

    async def _chunks(self) -> AsyncGenerator[bytes]:
        scrubber = None if self._scrub is None else self._scrub()
        begin, self._begin = memoryview(self._begin), b""
        if scrubber is None:
            # In parts: whoever reads makes copies of what it is given.
            for at in range(0, len(begin), PART_BYTES):
                yield bytes(begin[at : at + PART_BYTES])
            del begin
            async for chunk in self._more:
                yield chunk
            return
        for at in range(0, len(begin), PART_BYTES):
            yield await fed(scrubber, bytes(begin[at : at + PART_BYTES]))
        del begin
        async for chunk in self._more:
            yield await fed(scrubber, chunk)
        yield scrubber.finish()


Incoming = wire.Received | Large


async def whole(message: Incoming) -> wire.Received:
    return await message.whole() if isinstance(message, Large) else message


Scrub = Callable[[], Scrubber]
"""Makes what takes the secrets out of one message of a server to which they were given."""


async def read(raw: bytes | bytearray, scrub: Scrub | None) -> wire.Received:
    """A whole message."""
    if scrub is not None:
        scrubber = scrub()
        raw = await fed(scrubber, bytes(raw)) + scrubber.finish()
    return wire.received(raw)


EVENT_STREAM = "text/event-stream"


async def message_of(response: Response, scrub: Scrub | None = None) -> Incoming | None:
    """The one message of a response that is no event stream; None where it was only taken note of.

    Up to `HOLD_BYTES` it is waited for once and read whole.
    """
    begin = await response.begin(HOLD_BYTES)
    if len(begin) > HOLD_BYTES:
        large = Large(begin, response.chunks(), scrub)
        return large if large.is_answer else await large.whole()
    if begin or response.status != 202:
        return await read(begin, scrub)
    return None


async def messages_of(response: Response, scrub: Scrub | None = None) -> AsyncGenerator[Incoming]:
    """The messages of a response to a POST: one of JSON, or those of an event stream."""
    if response.content_type == EVENT_STREAM:
        async for _, message in events_of(response, StreamingEvents(HOLD_BYTES), scrub):
            if message is not None:
                yield message
    elif (message := await message_of(response, scrub)) is not None:
        yield message


async def events_of(
    response: Response,
    reader: StreamingEvents,
    scrub: Scrub | None = None,
    *,
    shared: bool = False,
) -> AsyncGenerator[tuple[Event, Incoming | None]]:
    """The events of a stream, each with the message that it brings, if it brings one.

    `reader` knows how far the stream was read, whatever ends it. On a stream that many requests
    share, what is no message counts for nothing; on another, UpstreamError ends it.
    """
    parts = _parts(response, reader)
    async for part in parts:
        if isinstance(part, Event):
            is_message = part.data and part.event == "message"
            try:
                message = await read(part.data, scrub) if is_message else None
            except UpstreamError:
                if not shared:
                    raise
                log.info("not_a_message", said=part.data[:200].decode(errors="replace"))
                message = None
            yield part, message
        elif isinstance(part, Opening):
            data = _rest_of_event(parts)
            large = Large(await anext(data), data, scrub)
            try:
                yield Event(b""), (large if large.is_answer else await large.whole())
            except (TooLarge, UpstreamError) as error:
                if not shared:
                    raise
                log.info("not_a_message", said=error.message)
            async for _ in data:  # what nobody has read
                pass


async def _parts(response: Response, reader: StreamingEvents) -> AsyncGenerator[Part]:
    while chunk := await response.chunk():
        for part in reader.feed(chunk):
            yield part
    reader.finish()


async def _rest_of_event(parts: AsyncIterator[Part]) -> AsyncGenerator[bytes]:
    """The data of the event that has just begun, up to its end."""
    async for part in parts:
        if isinstance(part, Data):
            yield part.data
        elif isinstance(part, Closing):
            return
