"""One side of a conversation in HTTP/1.1: events for a pipe, bytes for h11, bounds and times.

What one side says reaches the other only as what it was understood to be, written anew: two ways
of reading the same bytes (request smuggling) have nothing to differ about. Source: RFC 9112 §11.2.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import h11

from web_browsing.gate.wire import Pipe

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_METHOD_CHARS: Final = 32
"""All that are registered are shorter (RFC 9110 §16.1.1); a page's own would fill what people and
models are shown of a request."""
CRUMBS_AT_ONCE: Final = 32
MAX_CRUMBS: Final = 20_000
MIN_CRUMB_BYTES: Final = 32
"""Beyond MAX_CRUMBS pieces of a body they must have so many bytes on average."""
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_HOP_BY_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"transfer-encoding"}
)
"""RFC 9110 §7.6.1; what begins with `proxy-` is, too."""

Headers = list[tuple[bytes, bytes]]
Heads = h11.Request | h11.Response | h11.InformationalResponse


class Talk:
    """`count` is told of every byte read, and raises where it is one too many."""

    def __init__(
        self, pipe: Pipe, role: type[h11.CLIENT] | type[h11.SERVER], count: Callable[[int], None]
    ) -> None:
        self.pipe = pipe
        self.http = h11.Connection(role, max_incomplete_event_size=MAX_HEAD_BYTES)
        self.asked_for_head = False
        self._pieces = self._pieces_bytes = 0
        self._count = count

    async def next(self) -> h11.Event | type[h11.PAUSED]:
        """What the other side says next; raises h11.RemoteProtocolError, OSError."""
        while True:
            event = self.http.next_event()
            if event is not h11.NEED_DATA:
                if isinstance(event, Heads):
                    _bound(event)
                    self._pieces = self._pieces_bytes = 0
                elif isinstance(event, h11.Data):
                    await self._bound_crumbs(len(event.data))
                return event  # pyright: ignore[reportReturnType]
            if self.http.they_are_waiting_for_100_continue:
                await self.say(h11.InformationalResponse(status_code=100, headers=[]))
            data = await self.pipe.read()
            self._count(len(data))
            self.http.receive_data(data)

    async def _bound_crumbs(self, size: int) -> None:
        """A body in pieces of a byte each costs a thousand times what one in large ones does: it
        waits for others in between, and has a bound."""
        self._pieces += 1
        self._pieces_bytes += size
        if self._pieces % CRUMBS_AT_ONCE == 0:
            await asyncio.sleep(0)
        if self._pieces > MAX_CRUMBS and self._pieces_bytes < MIN_CRUMB_BYTES * self._pieces:
            raise h11.RemoteProtocolError("the body comes in crumbs")

    async def say(self, *events: h11.Event) -> None:
        """Say that to the other side; returns when there is room for more."""
        said = b"".join(self.http.send(each) or b"" for each in events)
        if said:
            await self.pipe.write(said)

    async def next_request(self, within_s: float) -> h11.Request | None:
        """The next one's head; None where there is none any more, or none in time."""
        try:
            async with asyncio.timeout(within_s):
                event = await self.next()
        except (OSError, TimeoutError):
            return None
        if not isinstance(event, h11.Request):
            return None
        self.asked_for_head = event.method == b"HEAD"
        return event

    async def body(self, idle_s: float, take: Callable[[int], None]) -> bytes:
        """The whole body of what is coming in; `take` is told of every piece's size first, and
        raises where it is too much."""
        pieces = list[bytes]()
        while True:
            async with asyncio.timeout(idle_s):
                event = await self.next()
            if isinstance(event, h11.Data):
                take(len(event.data))
                pieces.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return b"".join(pieces)
            else:
                raise h11.RemoteProtocolError("the body broke off")

    async def answer(self, head: h11.Response, body: bytes) -> None:
        """Answer what was asked, or would have been, with that."""
        await self.say(head, *([] if self.asked_for_head else [h11.Data(body)]), h11.EndOfMessage())

    def next_cycle(self) -> bool:
        """Go on with the next message, where the connection can take one."""
        if self.http.our_state is h11.DONE and self.http.their_state is h11.DONE:
            self.http.start_next_cycle()
            return True
        return False


def _bound(head: Heads) -> None:
    size = sum(len(name) + len(value) + 4 for name, value in head.headers)
    if isinstance(head, h11.Request):
        size += len(head.target)
        if head.http_version not in (b"1.0", b"1.1"):
            raise h11.RemoteProtocolError("another version", error_status_hint=505)
        if len(head.method) > MAX_METHOD_CHARS:
            raise h11.RemoteProtocolError("no method", error_status_hint=501)
        if {name for name, _ in head.headers} >= _FRAMING:
            raise h11.RemoteProtocolError("two framings", error_status_hint=400)
    if size > MAX_HEAD_BYTES:
        raise h11.RemoteProtocolError("the head is too large", error_status_hint=431)


def passed_on(head: Heads, *but: bytes) -> Headers:
    """The headers that go on from one hop to the next, in their order and spelling."""
    raw = head.headers.raw_items()
    named = {
        each.strip().lower()
        for name, value in head.headers
        if name == b"connection"
        for each in value.split(b",")
    }
    dropped = _HOP_BY_HOP | named | set(but)
    return [
        (name, value)
        for name, value in raw
        if (lower := name.lower()) not in dropped and not lower.startswith(b"proxy-")
    ]
