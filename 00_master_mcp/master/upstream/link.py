"""One server as the hub sees it: kept connected, its lists kept fresh, its calls sent on."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from math import inf
from time import monotonic
from typing import Any, Literal, Protocol, runtime_checkable

import structlog

from flotilla import FlotillaError, TimedOut, Unavailable
from flotilla.backoff import delay_s
from master import rpc
from master.call import Call
from master.offer import Offer
from master.result import Result
from master.upstream.failure import Failure, judged
from master.upstream.health import Health
from master.upstream.holding import held
from master.upstream.transport.client import Unreachable

log = structlog.get_logger(__name__)

RECONNECT_CAP_S = 0.45
"""A server that is back is found within this, even if nobody calls it."""
REFUSED_CAP_S = 5.0
"""The same of one that answers, but not with what lets the hub connect."""
MAX_LEFT_ALONE_S = 60.0
"""The longest that a server is left alone because it asks for it."""
MOMENT_S = 0.05
"""How long a call waits for a server that is away."""
HASTE_S = 0.1
"""Calls that find a server away do not make the hub look more often than this."""
STOOD_S = 1.0
"""A connection that stood for so long is taken up again without a pause when it ends."""
REOPEN_S = 2.0
"""How long that may take before the server counts as away."""


class Told(Protocol):
    """What a connection tells while it is held."""

    def offered(self, offer: Offer) -> None:
        """What the server offers now; the first time it also means that the server is there."""
        ...

    def updated(self, uri: str, params: rpc.Texts) -> None:
        """A resource that is watched has changed."""
        ...

    def said(self, method: str, params: rpc.Texts) -> None:
        """A notification that belongs to no request, such as a log message."""
        ...


class Speaker(Protocol):
    """Speaks one era over one transport with one server."""

    async def hold(self, told: Told) -> None:
        """Connect, list what it offers, listen; returns or raises FlotillaError at the end."""
        ...

    async def send(self, call: Call) -> Result:
        """Send one request and relay what comes before its answer.

        Raises rpc.RpcError where the server refused, Unavailable, TimedOut or UpstreamError where
        it did not answer; a tool's own error is a result.
        """
        ...

    async def probe(self, timeout_s: float) -> str | None:
        """Ask whether it can serve: None, or the reason why not; Unavailable when it is away."""
        ...

    def watch(self, uris: frozenset[str]) -> None:
        """The resources whose changes are to be told, from now on."""
        ...

    async def watched(self) -> None:
        """Return once the server was asked for what was watched last, or has had its time."""
        ...

    async def log_level(self, level: str) -> None:
        """The least severe log messages that any client wants."""
        ...


Standing = Literal["whole", "deaf", "dead"]
"""
whole   what is held stands
deaf    calls are answered, but what the server tells by itself may not be heard any more
dead    the server answers, but not by what is held
"""


@runtime_checkable
class Remote(Protocol):
    """A speaker whose server is reached over the network, by connections that may be dead."""

    async def knock(self, timeout_s: float) -> None:
        """Return when anybody answers at its address, on a new connection; raises as `send`."""
        ...

    async def look(self, timeout_s: float) -> Standing:
        """Ask as `probe` does, on a new connection, how what is held stands; raises as `send`."""
        ...


@runtime_checkable
class OneAtATime(Protocol):
    """A speaker whose server may do one thing at a time: while it works, it is left in peace."""

    def working(self) -> bool: ...


class Listener(Protocol):
    """Who hears of a link: the catalogue and the clients."""

    def offered(self, service: str, offer: Offer) -> None: ...

    def away(self, service: str) -> None: ...

    def updated(self, service: str, uri: str, params: rpc.Texts) -> None: ...

    def said(self, service: str, method: str, params: rpc.Texts) -> None: ...


class Comings(Protocol):
    """Who hears how a server is, beside the link's listener."""

    def went(self, service: str, reason: str) -> None:
        """It is away, and was not before."""
        ...

    def came_back(self, service: str) -> None:
        """It has answered again; not told of the first time."""
        ...

    def checked(self, service: str, health: Health) -> None:
        """It was asked, and has answered."""
        ...


class Link:
    """Keeps one server connected in `run`, and sends calls to it at any time."""

    def __init__(self, service: str, speaker: Speaker, listener: Listener) -> None:
        self.service = service
        self.speaker = speaker
        self.comings: Comings | None = None
        self._listener = listener
        self.connected = False
        """Whether it is there, as far as is known: its connection stands, and it answers."""
        self.answered_once = False
        self.answered_at = -inf
        """When a call was answered last, on the monotonic clock."""
        self.version: str | None = None
        self.reason: str | None = "not connected yet"
        self.health = Health("unreachable", self.reason, away_since=datetime.now(UTC))
        self._offer: Offer | None = None
        self._away_at: float | None = None
        self._reached, self._offering = asyncio.Event(), asyncio.Event()
        self._hung, self._settled = False, asyncio.Event()
        self._wake, self._doubt, self._renewing = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Connect, listen, reconnect with backoff, for ever; cancel to end."""
        attempt = given_up = 0
        while True:
            began_at = monotonic()
            ended = await self._held(given_up)
            took_s = monotonic() - began_at
            given_up = given_up + 1 if ended is None else 0
            if self._offering.is_set():
                attempt = given_up = 0
                if self.connected and (ended is None or took_s >= STOOD_S):
                    # Streams are cut now and then: most are taken up again before anybody notices.
                    continue
            if ended is None:
                continue
            self.lost(ended.reason)
            attempt += 1
            await self._paused(ended, attempt, took_s)

    async def send(self, call: Call) -> Result:
        """As `Speaker.send`; a call to a server that is away makes the hub look at once.

        Unreachable, after 50 ms at most, while the server is away.
        """
        if not self.connected:
            await self._back_for(call)
        try:
            result = await self.speaker.send(call)
        except (Unavailable, TimedOut):
            self._doubt.set()
            raise
        self.answered_at = monotonic()
        return result

    def offered(self, offer: Offer) -> None:
        self.version = offer.version
        self.answered_once = True
        self._offer = offer
        self._offering.set()
        if not self.connected:
            counted: Mapping[str, Any] = {kind: len(each) for kind, each in offer.lists.items()}
            log.info("service_connected", upstream=self.service, **counted)
        self._is_there(offer)

    def updated(self, uri: str, params: rpc.Texts) -> None:
        self._listener.updated(self.service, uri, params)

    def said(self, method: str, params: rpc.Texts) -> None:
        self._listener.said(self.service, method, params)

    def lost(self, problem: str) -> None:
        """The connection has ended; the next `offered` says that there is another."""
        self._settle()
        self._is_away(problem)

    async def up(self) -> None:
        """Return once it is connected."""
        await self._reached.wait()

    async def doubted(self, within_s: float) -> bool:
        """Whether a call failed in a way that asks for a check, waited for so long."""
        try:
            async with asyncio.timeout(within_s):
                await self._doubt.wait()
        except TimeoutError:
            return False
        finally:
            self._doubt.clear()
        return True

    def checked(self, health: Health) -> None:
        """It was asked, and has answered this."""
        before, self.health = self.health, health
        if health.reason is not None and health.reason != before.reason:
            log.warning("service_unhealthy", upstream=self.service, reason=health.reason)
        elif before.status == "unhealthy" and health.status == "healthy":
            log.info("service_healthy", upstream=self.service)
        if self.comings is not None:
            self.comings.checked(self.service, health)

    def hung(self, reason: str) -> None:
        """It counts as away, though its connection stands."""
        self._hung = True
        self._settled.clear()
        self._is_away(reason)

    async def hung_no_more(self) -> None:
        """Return when it answers again, or its connection has ended after all."""
        await self._settled.wait()

    def returned(self) -> None:
        """It answers again, by the connection that stood all the time."""
        if self._hung and self._offer is not None:
            self._is_there(self._offer)

    def renew(self) -> None:
        """Connect anew, now: what stands is not to be trusted."""
        self._renewing.set()

    async def _held(self, given_up: int) -> Failure | None:
        """Hold the server until that ends: why; None where it is to be held anew at once."""
        self._renewing.clear()
        self._offering.clear()
        late = self._give_up_after(REOPEN_S) if self.connected else None
        knock = self.speaker.knock if isinstance(self.speaker, Remote) else None
        try:
            return await held(self._hold(), self._offering, self._renewing, knock, given_up)
        except Exception as error:  # the top-level handler: nothing ends a link for good
            log.exception("link_broke", upstream=self.service)
            return judged(error)
        finally:
            if late is not None:
                late.cancel()
            self._settle()

    async def _hold(self) -> Failure:
        try:
            await self.speaker.hold(self)
        except rpc.RpcError as error:
            return Failure("answered", f"it refused the connection: {error.message} ({error.code})")
        except FlotillaError as error:
            return judged(error)
        return Failure("unknown", "the server ended the connection")

    def _give_up_after(self, seconds: float) -> asyncio.TimerHandle:
        """Count the server as away where its connection is not taken up again within that."""

        def late() -> None:
            if not self._offering.is_set():
                self._is_away("its connection ended, and it did not take up another")

        return asyncio.get_running_loop().call_later(seconds, late)

    async def _back_for(self, call: Call) -> None:
        """Return if it is there within a moment; else Unreachable."""
        self._wake.set()
        try:
            async with asyncio.timeout(min(MOMENT_S, call.due().remaining_s())):
                await self._reached.wait()
        except TimeoutError:
            raise Unreachable(
                f"{self.service} is away: {self.reason}",
                hint="It is being reconnected; call again soon.",
            ) from None

    async def _paused(self, ended: Failure, attempt: int, took_s: float) -> None:
        """Wait until the next attempt, which a call hastens if the server does not mind."""
        wait_s = pause_s(ended, attempt, took_s, isinstance(self.speaker, Remote))
        at_least_s = min(wait_s, HASTE_S) if ended.retry_after_s is None else wait_s
        self._wake.clear()
        await asyncio.sleep(at_least_s)
        try:
            async with asyncio.timeout(wait_s - at_least_s):
                await self._wake.wait()
        except TimeoutError:
            return

    def _is_there(self, offer: Offer) -> None:
        self.reason = None
        self.connected = True
        self._reached.set()
        self._settle()
        if self.health.status == "unreachable":
            self.health = Health("healthy", checked_at=datetime.now(UTC))
        self._listener.offered(self.service, offer)
        if self._away_at is not None:
            away_s, self._away_at = monotonic() - self._away_at, None
            log.info("service_back", upstream=self.service, away_s=round(away_s, 2))
            if self.comings is not None:
                self.comings.came_back(self.service)

    def _is_away(self, problem: str) -> None:
        self.reason = problem
        since = self.health.away_since or datetime.now(UTC)
        self.health = Health("unreachable", problem, away_since=since)
        if not self.connected:
            return
        self.connected = False
        self._reached.clear()
        self._away_at = monotonic()
        log.warning("service_away", upstream=self.service, reason=problem)
        self._listener.away(self.service)
        if self.comings is not None:
            self.comings.went(self.service, problem)

    def _settle(self) -> None:
        self._hung = False
        self._settled.set()


def pause_s(ended: Failure, attempt: int, took_s: float, remote: bool) -> float:
    """How long to leave a server alone whose connection ended so, or did not come about. Pure.

    One that does not answer is looked at often, since that is cheap; one that says no, or that
    takes long to answer with what is none, seldom.
    """
    if ended.retry_after_s is not None:
        return min(max(ended.retry_after_s, RECONNECT_CAP_S), MAX_LEFT_ALONE_S)
    if ended.kind in ("answered", "own") or not remote:
        return delay_s(attempt, cap_s=REFUSED_CAP_S)
    if ended.kind == "broken":
        return max(delay_s(attempt, cap_s=RECONNECT_CAP_S), min(took_s, REFUSED_CAP_S))
    return delay_s(attempt, cap_s=RECONNECT_CAP_S)
