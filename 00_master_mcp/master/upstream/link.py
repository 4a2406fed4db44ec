"""One server as the hub sees it: kept connected, its lists kept fresh, its calls sent on."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Protocol

import structlog

from flotilla import FlotillaError
from flotilla.backoff import delay_s
from master import rpc
from master.call import Call
from master.offer import Offer
from master.result import Result
from master.upstream.health import Health

log = structlog.get_logger(__name__)

RECONNECT_CAP_S = 5.0
"""A server that is back is found within this, even if nobody calls it."""


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


class Listener(Protocol):
    """Who hears of a link: the catalogue and the clients."""

    def offered(self, service: str, offer: Offer) -> None: ...

    def away(self, service: str) -> None: ...

    def updated(self, service: str, uri: str, params: rpc.Texts) -> None: ...

    def said(self, service: str, method: str, params: rpc.Texts) -> None: ...


class Comings(Protocol):
    """Who hears when a server is away and when it is back, beside the link's listener."""

    def went(self, service: str, reason: str) -> None: ...

    def came_back(self, service: str) -> None:
        """It has answered again; not told of the first time."""
        ...


class Link:
    """Keeps one server connected in `run`, and sends calls to it at any time."""

    def __init__(self, service: str, speaker: Speaker, listener: Listener) -> None:
        self.service = service
        self.speaker = speaker
        self._listener = listener
        self._wake = asyncio.Event()
        self.connected = False
        self.answered_once = False
        self.version: str | None = None
        self.reason: str | None = "not connected yet"
        self.health = Health("unreachable", self.reason, away_since=datetime.now(UTC))
        self.comings: Comings | None = None
        self._away_at: float | None = None

    async def run(self) -> None:
        """Connect, listen, reconnect with backoff, for ever; cancel to end."""
        attempt = 0
        while True:
            try:
                await self.speaker.hold(self)
                problem = "the server ended the connection"
            except FlotillaError as error:
                problem = error.message
            except rpc.RpcError as error:
                problem = f"it refused the connection: {error.message} ({error.code})"
            if self.connected:
                attempt = 0
            self.lost(problem)
            attempt += 1
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), delay_s(attempt, cap_s=RECONNECT_CAP_S))
            except TimeoutError:
                continue

    async def send(self, call: Call) -> Result:
        """As `Speaker.send`; a call to a server that is away makes the hub look at once."""
        try:
            return await self.speaker.send(call)
        finally:
            if not self.connected:
                self._wake.set()

    def offered(self, offer: Offer) -> None:
        self.version = offer.version
        self.reason = None
        self.answered_once = True
        if not self.connected:
            self.connected = True
            self.health = Health("healthy", checked_at=datetime.now(UTC))
            counted: Mapping[str, Any] = {kind: len(each) for kind, each in offer.lists.items()}
            log.info("service_connected", upstream=self.service, **counted)
        self._listener.offered(self.service, offer)
        self._tell_back()

    def updated(self, uri: str, params: rpc.Texts) -> None:
        self._listener.updated(self.service, uri, params)

    def said(self, method: str, params: rpc.Texts) -> None:
        self._listener.said(self.service, method, params)

    def lost(self, problem: str) -> None:
        """The connection has ended; the next `offered` says that there is another."""
        self.reason = problem
        if self.connected:
            self.connected = False
            self._away_at = monotonic()
            self.health = Health("unreachable", problem, away_since=datetime.now(UTC))
            log.warning("service_away", upstream=self.service, reason=problem)
            self._listener.away(self.service)
            if self.comings is not None:
                self.comings.went(self.service, problem)

    def _tell_back(self) -> None:
        if self._away_at is None:
            return
        away_s, self._away_at = monotonic() - self._away_at, None
        log.info("service_back", upstream=self.service, away_s=round(away_s, 2))
        if self.comings is not None:
            self.comings.came_back(self.service)
