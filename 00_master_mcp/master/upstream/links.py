"""All the hub's links: what they hear goes into the catalogue, what changed is told on."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Protocol

import structlog

from flotilla.metrics import Metrics
from flotilla.resilience import HealthCheck
from master import rpc
from master.catalogue import Catalogue
from master.offer import Kind, Offer
from master.upstream.carrying import ended
from master.upstream.checks import Checks
from master.upstream.health import Health
from master.upstream.link import Link, Speaker

log = structlog.get_logger(__name__)


class Clients(Protocol):
    """Who is told what the links hear."""

    def changed(self, service: str, kinds: Collection[Kind]) -> None: ...

    def updated(self, service: str, uri: str, params: rpc.Texts) -> None: ...

    def said(self, service: str, method: str, params: rpc.Texts) -> None: ...


def _as_usual(_service: str) -> HealthCheck:
    return HealthCheck()


def _nobody(*_told: str) -> None:
    """Hears nothing."""


class Links:
    """The links by their services. What a service away offered is listed for `stale_s` more."""

    def __init__(
        self,
        catalogue: Catalogue,
        metrics: Metrics,
        stale_s: float,
        checks: Callable[[str], HealthCheck] = _as_usual,
    ) -> None:
        """`checks` tells how often a service is asked whether it answers."""
        self.on_away: Callable[[str, str], None] = _nobody
        """Called with a service that was there and is away, and why."""
        self.on_back: Callable[[str], None] = _nobody
        """Called with a service that was away and has answered again."""
        self.on_offered: Callable[[str], None] = _nobody
        """Called with a service that has connected, and whenever it offers something else."""
        self.cleaned: Callable[[rpc.Texts], rpc.Texts] = lambda texts: texts
        """Takes out of what a service tells by itself what no client may have."""
        self.on_removed: Callable[[str], None] = _nobody
        """Called with a service that is no longer of the fleet, or will be another one."""
        self._checks = checks
        self._catalogue = catalogue
        self._metrics = metrics
        self._stale_s = stale_s
        self.by_service: dict[str, Link] = {}
        self._checking: dict[str, asyncio.Task[None]] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._forgetting: dict[str, asyncio.TimerHandle] = {}
        self._changes: dict[str, set[Kind]] = {}
        self._changed = asyncio.Event()
        self._clients: Clients | None = None

    def add(self, service: str, speaker: Speaker) -> None:
        """A link to a service that the catalogue knows; started at once inside `running`."""
        self.join(Link(service, speaker, self))

    def join(self, link: Link) -> None:
        """A link that was made elsewhere, with this or something around it for its listener."""
        self._metrics.health(link.service, healthy=False)
        link.comings = self
        self.by_service[link.service] = link
        if self._clients is not None:
            self._start(link)

    async def remove(self, service: str) -> None:
        """End the link; what its service offered is the caller's business."""
        if self.by_service.pop(service, None) is None:
            return
        self.on_removed(service)
        tasks = [of.pop(service) for of in (self._checking, self._running) if service in of]
        if tasks:
            await ended(*tasks)
        self._metrics.health(service, healthy=False)
        if (timer := self._forgetting.pop(service, None)) is not None:
            timer.cancel()

    def gone(self, service: str, kinds: Collection[Kind]) -> None:
        """These lists have lost what the service had in them."""
        self._tell_later(service, kinds)

    def watch(self, service: str, uris: frozenset[str]) -> None:
        """The resources of a service whose changes clients want to hear of."""
        link = self.by_service.get(service)
        if link is not None:
            link.speaker.watch(uris)

    async def watched(self, service: str) -> None:
        """Return once a change of what was watched last is told; bounded."""
        link = self.by_service.get(service)
        if link is not None:
            await link.speaker.watched()

    async def log_level(self, level: str) -> None:
        """The least severe log messages that any client wants, told to all servers at once."""
        links = list(self.by_service.values())
        await asyncio.gather(*(link.speaker.log_level(level) for link in links))

    @asynccontextmanager
    async def running(self, clients: Clients) -> AsyncGenerator[None]:
        """Keep the links up within, and tell `clients` what changes."""
        self._clients = clients
        spreading = asyncio.create_task(self._spread(clients))
        for link in self.by_service.values():
            self._start(link)
        try:
            yield
        finally:
            self._clients = None
            await ended(spreading, *self._checking.values(), *self._running.values())
            self._checking.clear()
            self._running.clear()
            for timer in self._forgetting.values():
                timer.cancel()

    def offered(self, service: str, offer: Offer) -> None:
        if (timer := self._forgetting.pop(service, None)) is not None:
            timer.cancel()
        changed, dropped = self._catalogue.offer(service, offer)
        link = self.by_service.get(service)
        healthy = link is None or link.health.status == "healthy"
        self._metrics.health(service, healthy=healthy)
        for each in dropped:
            log.warning(
                "offer_dropped",
                upstream=service,
                kind=each.kind,
                name=each.name,
                reason=each.reason,
            )
        self._tell_later(service, changed)
        self.on_offered(service)

    def away(self, service: str) -> None:
        self._metrics.health(service, healthy=False)
        self._tell_later(service, self._catalogue.mark_stale(service))
        loop = asyncio.get_running_loop()
        self._forgetting[service] = loop.call_later(self._stale_s, self._forget, service)

    def went(self, service: str, reason: str) -> None:
        self.on_away(service, reason)

    def came_back(self, service: str) -> None:
        self.on_back(service)

    def checked(self, service: str, health: Health) -> None:
        self._metrics.health(service, healthy=health.status == "healthy")

    def updated(self, service: str, uri: str, params: rpc.Texts) -> None:
        if self._clients is not None:
            self._clients.updated(service, uri, self.cleaned(params))

    def said(self, service: str, method: str, params: rpc.Texts) -> None:
        if self._clients is not None:
            self._clients.said(service, method, self.cleaned(params))

    def _start(self, link: Link) -> None:
        self._running[link.service] = asyncio.create_task(link.run())
        checks = Checks(link, self._checks(link.service))
        self._checking[link.service] = asyncio.create_task(checks.run())

    def _forget(self, service: str) -> None:
        self._forgetting.pop(service, None)
        kinds = self._catalogue.forget(service)
        if kinds:
            log.warning("offers_forgotten", upstream=service, away_s=self._stale_s)
            self._tell_later(service, kinds)

    def _tell_later(self, service: str, kinds: Collection[Kind]) -> None:
        if kinds:
            self._changes.setdefault(service, set()).update(kinds)
            self._changed.set()

    async def _spread(self, clients: Clients) -> None:
        """Once for many changes that come together."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            changes, self._changes = self._changes, {}
            for service, kinds in changes.items():
                clients.changed(service, kinds)
