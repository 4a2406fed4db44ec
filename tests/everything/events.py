"""What was sent on streams of the handshake era, so that a client can take up where it lost one."""

from collections import deque

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp_types import JSONRPCMessage

KEPT = 1000
"""Events of all streams together; older ones are gone."""


class Events(EventStore):
    """In memory; the ID of an event is its number."""

    def __init__(self) -> None:
        self._kept: deque[tuple[int, str, JSONRPCMessage | None]] = deque(maxlen=KEPT)
        self._last = 0

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self._last += 1
        self._kept.append((self._last, stream_id, message))
        return str(self._last)

    async def replay_events_after(
        self, last_event_id: str, send_callback: EventCallback
    ) -> str | None:
        stream = next((s for number, s, _ in self._kept if str(number) == last_event_id), None)
        if stream is None:
            return None
        for number, each, message in list(self._kept):
            if each == stream and number > int(last_event_id) and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream
