"""The sessions of handshake clients: opened by `initialize`, ended by them, by time, by number."""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import structlog

from flotilla import Principal, RateLimited

log = structlog.get_logger(__name__)

MAX_SESSIONS = 2000
IDLE_S = 30 * 60.0
MAX_WAITING = 256
"""Messages kept for a client that reads its stream slowly; beyond it the stream is ended."""


class Outbox:
    """What the hub says to a client by itself, in order, until the client's stream takes it."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_WAITING)
        self.overflowed = False

    async def tell(self, message: bytes) -> None:
        self.put(message)

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


@dataclass(slots=True, eq=False)
class Session:
    """One handshake client. `running` holds what a `notifications/cancelled` may end."""

    id: str
    principal: Principal
    version: str
    capabilities: Mapping[str, Any]
    used_at: float
    outbox: Outbox = field(default_factory=Outbox, repr=False)
    has_stream: bool = False
    running: dict[str | int, asyncio.Task[Any]] = field(default_factory=dict, repr=False)

    def end(self) -> None:
        for task in list(self.running.values()):
            task.cancel()
        self.outbox.close()


class Sessions:
    """All sessions by ID, the one used longest ago first."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def open(self, principal: Principal, version: str, capabilities: Mapping[str, Any]) -> Session:
        """A new session; RateLimited when there are too many that are all in use."""
        self._expire()
        if len(self._sessions) >= MAX_SESSIONS:
            raise RateLimited(
                f"{MAX_SESSIONS} sessions are open", retry_after_ms=60_000, hint="End some."
            )
        session = Session(
            secrets.token_urlsafe(24), principal, version, capabilities, self._clock()
        )
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
