"""Sessions of the handshake revisions, one for each principal: no two ever share one.

Such a server may bind its session to whoever opened it, and what it asks or tells on a session may
be for that person alone. A session is opened by the first call, kept while it is used, and opened
anew where it was lost.
"""

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic

import structlog

from flotilla import FlotillaError, RateLimited, TimedOut
from master import rpc
from master.call import Call
from master.offer import Offer
from master.outbound.shown import Shown
from master.result import Result
from master.upstream.authority import Authority
from master.upstream.handshake.speaker import Handshake
from master.upstream.handshake.transport import SessionLost
from master.upstream.transport.client import unreachable

log = structlog.get_logger(__name__)

IDLE_S = 300.0
"""A session that nobody uses for so long is closed."""
MOST = 200
"""Sessions with one server; where all are in use, nobody gets another."""
LAST_S = 2.0


class Showing:
    """The headers of one principal, the newest that a call has brought."""

    def __init__(self, fixed: Mapping[str, str]) -> None:
        self._fixed = dict(fixed)
        self.shown: Shown | None = None

    def of_hub(self) -> Mapping[str, str]:
        return self._fixed if self.shown is None else {**self._fixed, **self.shown.headers}

    def of_call(self, call: Call, body: bytes) -> Mapping[str, str]:
        del call, body
        return self.of_hub()


class _Session:
    """Hears what a session tells; what it lists is what the hub's own lists already."""

    def __init__(self, speaker: Handshake, showing: Showing) -> None:
        self.speaker = speaker
        self.showing = showing
        self.opened = asyncio.Event()
        self.calls = 0
        self.used_at = monotonic()
        self.task = asyncio.create_task(self._kept())
        self.task.add_done_callback(_heard)

    def offered(self, offer: Offer) -> None:
        del offer
        self.opened.set()

    def updated(self, uri: str, params: rpc.Texts) -> None:
        """Watched is on the hub's own session alone."""

    def said(self, method: str, params: rpc.Texts) -> None:
        """What belongs to no request of the principal goes nowhere: others must not read it."""

    async def _kept(self) -> None:
        while True:
            self.opened.clear()
            try:
                await self.speaker.hold(self)
            except SessionLost:
                if not self.opened.is_set():
                    raise
                # Its server has forgotten it, say by a restart: who calls waits for another.
                continue
            return


class Sessions:
    """`make` makes what speaks on one session, by whose headers to show."""

    def __init__(
        self,
        server: str,
        fixed: Mapping[str, str],
        make: Callable[[Authority], Handshake],
        *,
        idle_s: float = IDLE_S,
        most: int = MOST,
    ) -> None:
        self._server = server
        self._fixed = fixed
        self._make = make
        self._idle_s = idle_s
        self._most = most
        self._open: dict[str, _Session] = {}
        self._sweeping: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._open)

    async def send(self, call: Call, shown: Shown) -> Result:
        """Send a call on its principal's session; raises as a speaker does, and RateLimited."""
        session = self._of(call.principal.name, shown)
        session.calls += 1
        try:
            await self._opened(session, call)
            return await session.speaker.send(call)
        finally:
            session.calls -= 1
            session.used_at = monotonic()

    def close(self) -> None:
        """End all sessions; `closed` waits for it."""
        for name in list(self._open):
            self._end(name)
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    async def closed(self) -> None:
        self.close()
        if self._ending:
            await asyncio.wait(self._ending, timeout=LAST_S)

    def _of(self, principal: str, shown: Shown) -> _Session:
        session = self._open.get(principal)
        if session is None or session.task.done():
            self._make_room()
            showing = Showing(self._fixed)
            showing.shown = shown
            session = self._open[principal] = _Session(self._make(showing), showing)
            self._sweep_later()
        session.showing.shown = shown
        return session

    async def _opened(self, session: _Session, call: Call) -> None:
        """Return once the session is open; raises what kept it from that."""
        if session.opened.is_set() and not session.task.done():
            return
        opening = asyncio.ensure_future(session.opened.wait())
        try:
            await asyncio.wait(
                {opening, session.task},
                timeout=call.due().remaining_s(),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            opening.cancel()
        if session.task.done():
            error = None if session.task.cancelled() else session.task.exception()
            if isinstance(error, (FlotillaError, rpc.RpcError)):
                raise error
            raise unreachable(self._server)
        if not session.opened.is_set():
            raise TimedOut(f"{self._server} did not open a session before the deadline")

    def _make_room(self) -> None:
        for name in [name for name, each in self._open.items() if each.task.done()]:
            del self._open[name]
        if len(self._open) < self._most:
            return
        idle = [name for name, each in self._open.items() if not each.calls]
        if not idle:
            raise RateLimited(
                f"{self._most} principals are calling {self._server} already", retry_after_ms=1000
            )
        self._end(min(idle, key=lambda name: self._open[name].used_at))

    def _sweep_later(self) -> None:
        if self._sweeping is None:
            loop = asyncio.get_running_loop()
            self._sweeping = loop.call_later(self._idle_s / 2, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        now = monotonic()
        for name, each in list(self._open.items()):
            if each.task.done() or (not each.calls and now - each.used_at >= self._idle_s):
                self._end(name)
        if self._open:
            self._sweep_later()

    def _end(self, name: str) -> None:
        task = self._open.pop(name).task
        if not task.done():
            task.cancel()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


def _heard(task: asyncio.Task[None]) -> None:
    """Whoever waited was told; where nobody did, the log says it."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.info("session_ended", reason=str(error))
