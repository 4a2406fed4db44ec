"""The sessions of handshake clients: opened by `initialize`, ended by them, by time, by number."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import structlog

from flotilla import Principal, RateLimited, TooLarge, meta
from master.catalogue import View
from master.north.tracks import Tracks
from master.north.work import Work
from master.rpc import Message

log = structlog.get_logger(__name__)

MAX_SESSIONS = 2000
IDLE_S = 30 * 60.0
MAX_WAITING = 256
"""Messages kept for a client that reads its stream slowly; beyond it the stream is ended."""
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
"""The most of one message on a stream that many requests share."""


class Outbox:
    """What the hub says to a client by itself, in order, until the client's stream takes it."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_WAITING)
        self.overflowed = False

    async def tell(self, message: bytes) -> None:
        self.put(message)

    async def pause(self) -> None:
        """This stream stays open."""

    async def pour(self, chunks: AsyncIterator[bytes]) -> None:
        """An answer in pieces; this stream is shared, so it is put together first."""
        whole = bytearray()
        async for chunk in chunks:
            whole += chunk
            if len(whole) > MAX_MESSAGE_BYTES:
                raise TooLarge(
                    f"the answer has over {MAX_MESSAGE_BYTES >> 20} MiB",
                    hint="Clients of Streamable HTTP (/mcp) are sent results of any size.",
                )
        self.put(bytes(whole))

    def put(self, message: bytes) -> None:
        try:
            self._waiting.put_nowait(message)
        except asyncio.QueueFull:
            self.overflowed = True

    def close(self) -> None:
        while True:
            try:
                self._waiting.put_nowait(None)
            except asyncio.QueueFull:
                self._waiting.get_nowait()
            else:
                return

    async def next(self) -> bytes | None:
        """The next message; None when the stream is to end."""
        return None if self.overflowed else await self._waiting.get()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to a client, by the ID under which it answers."""

    id: str
    answer: asyncio.Future[Message] = field(repr=False)


@dataclass(slots=True, eq=False)
class Session:
    """One handshake client. `running` holds what a `notifications/cancelled` may end."""

    id: str
    principal: Principal
    view: View
    used_at: float
    version: str = ""
    capabilities: Mapping[str, Any] = field(default_factory=dict[str, Any])
    info: Mapping[str, Any] | None = None
    log_level: str | None = None
    outbox: Outbox = field(default_factory=Outbox, repr=False)
    has_stream: bool = False
    tracks: Tracks = field(default_factory=Tracks, repr=False)
    running: dict[str | int, Work] = field(default_factory=dict, repr=False)
    asked: dict[str, asyncio.Future[Message]] = field(default_factory=dict, repr=False)

    def opened(self, version: str, params: Mapping[str, Any]) -> None:
        """What the client said of itself in `initialize`."""
        self.version = version
        self.capabilities = meta.members(params.get("capabilities"))
        self.info = meta.members(params.get("clientInfo")) or None

    @property
    def resumes(self) -> bool:
        """Whether the client may close a stream and come back for the rest (2025-11-25)."""
        return self.version >= "2025-11-25"

    def ask(self) -> Asked:
        """A question under a new ID; `unask` it in the end."""
        asked = Asked(
            f"flotilla-{secrets.token_hex(8)}", asyncio.get_running_loop().create_future()
        )
        self.asked[asked.id] = asked.answer
        return asked

    def unask(self, asked: Asked) -> None:
        self.asked.pop(asked.id, None)
        asked.answer.cancel()

    def answered(self, message: Message) -> None:
        """The client's answer to a question; one to no question counts for nothing."""
        future = self.asked.get(message.id) if isinstance(message.id, str) else None
        if future is not None and not future.done():
            future.set_result(message)

    def end(self) -> None:
        for work in list(self.running.values()):
            work.stop()
        self.outbox.close()


def new_session_id() -> str:
    return secrets.token_urlsafe(24)


def _nothing(_: Session) -> None:
    return


class Sessions:
    """All sessions by ID, the one used longest ago first; `ended` is told of each that ends."""

    def __init__(
        self,
        clock: Callable[[], float] = monotonic,
        ended: Callable[[Session], None] = _nothing,
        new_id: Callable[[], str] = new_session_id,
    ) -> None:
        self._clock = clock
        self._ended = ended
        self._new_id = new_id
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def open(self, principal: Principal, view: View) -> Session:
        """A new session; RateLimited when there are too many that are all in use."""
        self._expire()
        if len(self._sessions) >= MAX_SESSIONS:
            raise RateLimited(
                f"{MAX_SESSIONS} sessions are open", retry_after_ms=60_000, hint="End some."
            )
        session = Session(self._new_id(), principal, view, self._clock())
        self._sessions[session.id] = session
        return session

    def find(self, session_id: str, principal: Principal) -> Session | None:
        """The session of that ID, where it is this principal's and has not expired."""
        self._expire()
        session = self._sessions.get(session_id)
        if session is None or session.principal != principal:
            return None
        session.used_at = self._clock()
        self._sessions.move_to_end(session_id)
        return session

    def end(self, session: Session) -> None:
        if self._sessions.pop(session.id, None) is not None:
            session.end()
            self._ended(session)

    def end_all(self) -> None:
        for session in self:
            self.end(session)

    def _expire(self) -> None:
        """End what was idle for too long; a running call or an open stream is no idleness."""
        oldest = self._clock() - IDLE_S
        for session in list(self._sessions.values()):
            if session.used_at > oldest:
                return
            if session.running or session.has_stream:
                session.used_at = self._clock()
                self._sessions.move_to_end(session.id)
            else:
                self.end(session)
