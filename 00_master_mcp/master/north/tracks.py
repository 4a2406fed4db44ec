"""What a stream of a session has said, so that a client that lost it can read on elsewhere.

Source: MCP 2025-11-25, Streamable HTTP, "Resumability and Redelivery".
"""

import asyncio
import secrets
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from time import monotonic

MAX_EVENTS = 1000
MAX_BYTES = 1024 * 1024
"""Of one stream; beyond either the oldest events are forgotten, which are progress."""
MAX_TRACKS = 64
MAX_SESSION_BYTES = 4 * 1024 * 1024
"""Of all streams of one session that have ended; beyond it the oldest are forgotten."""
KEPT_S = 120.0
"""How long what a stream said is kept once it has ended."""
RETRY_MS = 500
ABANDONED_S = 60.0
"""A client that does not come back within this will not come back."""


class Track:
    """One stream: its events by number, and whoever reads them."""

    def __init__(self) -> None:
        self.name = secrets.token_hex(8)
        self._events: deque[tuple[int, bytes]] = deque()
        self.held_bytes = 0
        self._next = 0
        self._changed = asyncio.Event()
        self.ended_at: float | None = None
        self._readers = 0
        self._left_at = monotonic()

    def add(self, message: bytes) -> str:
        """Keep one message; the ID of its event."""
        number = self._next
        self._next += 1
        self._events.append((number, message))
        self.held_bytes += len(message)
        while len(self._events) > MAX_EVENTS or self.held_bytes > MAX_BYTES:
            if len(self._events) == 1:
                break
            self.held_bytes -= len(self._events.popleft()[1])
        self._told()
        return f"{self.name}-{number}"

    def end(self) -> None:
        """Nothing more will be said."""
        self.ended_at = monotonic()
        self._told()

    async def after(self, number: int) -> AsyncIterator[tuple[str, bytes]]:
        """The events after that number, with their IDs, as they come, to the end of the stream."""
        self._readers += 1
        try:
            while True:
                for known, message in list(self._events):
                    if known > number:
                        number = known
                        yield f"{self.name}-{known}", message
                if self.ended_at is not None:
                    return
                changed = self._changed
                await changed.wait()
        finally:
            self._readers -= 1
            self._left_at = monotonic()

    async def abandoned(self) -> None:
        """Return once nobody has read for so long that nobody will."""
        self._left_at = monotonic()
        while True:
            left_s = ABANDONED_S - (monotonic() - self._left_at)
            if self._readers == 0 and left_s <= 0:
                return
            await asyncio.sleep(max(left_s, 1.0))

    def _told(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Tracks:
    """The streams of one session."""

    def __init__(self) -> None:
        self._tracks: OrderedDict[str, Track] = OrderedDict()

    def new(self) -> Track:
        too_old = monotonic() - KEPT_S
        held = sum(track.held_bytes for track in self._tracks.values())
        for name, track in list(self._tracks.items()):
            ended = track.ended_at is not None
            over = ended and (track.ended_at or 0) < too_old
            if over or (ended and held > MAX_SESSION_BYTES) or len(self._tracks) >= MAX_TRACKS:
                held -= track.held_bytes
                del self._tracks[name]
        made = Track()
        self._tracks[made.name] = made
        return made

    def find(self, event_id: str) -> tuple[Track, int] | None:
        """The stream and the number of an event."""
        name, _, number = event_id.rpartition("-")
        track = self._tracks.get(name)
        if track is None or not number.isascii() or not number.isdigit() or len(number) > 9:
            return None
        return track, int(number)
