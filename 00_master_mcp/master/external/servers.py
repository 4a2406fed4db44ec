"""The external servers: added, started, stopped and removed while the hub runs, and how each is."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog
from anyio import to_thread

from flotilla import Model, NotConfigured
from master import rpc
from master.catalogue import Catalogue, Origin
from master.external.config import ServerEntry
from master.external.den import Den
from master.external.guard import Guard, Held
from master.external.handles import Resolved, resolve
from master.external.here import Here
from master.external.openapi_speaker import OpenApiSpeaker
from master.external.process import Starter
from master.external.program import ProgramLink
from master.external.sandbox import Protection
from master.external.store import Known, ServerStore
from master.external.store import Origin as EntryOrigin
from master.external.supervise import Standing, State
from master.offer import Offer
from master.streaming.scrub import Scrubber
from master.upstream.authority import Fixed
from master.upstream.handshake.http import HttpSession
from master.upstream.handshake.speaker import Handshake
from master.upstream.handshake.sse import SseSession
from master.upstream.http import Http
from master.upstream.incoming import Scrub
from master.upstream.link import Link, Speaker
from master.upstream.links import Links
from master.upstream.modern import Modern
from master.upstream.pool import ConnectionPool
from master.upstream.probing import Probing

log = structlog.get_logger(__name__)


class ServerState(Model):
    """One external server, for a person to read."""

    name: str
    state: State
    reason: str | None = None
    """Why it does not run, or ended last."""
    entry: Mapping[str, Any]
    """Its entry, without the values of secrets."""
    origin: EntryOrigin
    version: str | None = None
    tools: int = 0
    held: tuple[Held, ...] = ()
    """Its tools that wait for somebody to accept what they have become."""
    pid: int | None = None
    restarts: int = 0
    protection: Protection | None = None


Listing = tuple[Mapping[str, Any], ...]


class ExternalServers:
    """Those that are enabled are linked up with; every change is kept for the next start.

    `starter` starts the programs among them, on this machine unless it is given.
    """

    def __init__(
        self,
        *,
        store: ServerStore,
        guard: Guard,
        den: Den,
        catalogue: Catalogue,
        links: Links,
        pool: ConnectionPool,
        starter: Starter | None = None,
    ) -> None:
        self._store = store
        self._guard = guard
        self._den = den
        self._catalogue = catalogue
        self._links = links
        self._pool = pool
        self._offers: dict[str, Offer] = {}
        """What each server offers, before anything was held back."""
        self._limits: dict[str, tuple[float, float]] = {}
        self._not_configured: dict[str, str] = {}
        self._starter = starter or Here(den.launcher)
        self._changing = asyncio.Lock()
        self._guarding = asyncio.Lock()
        self._reviewed_last: dict[str, tuple[Listing, Listing]] = {}
        """Of each server the tools that were read last, and those of them that are offered."""
        self._reviewing: set[asyncio.Task[None]] = set()
        for name, known in store.servers().items():
            if not known.entry.disabled:
                self._open(name, known.entry)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """At the end no list is read any more."""
        try:
            yield
        finally:
            for task in self._reviewing:
                task.cancel()
            if self._reviewing:
                await asyncio.wait(self._reviewing)

    def limits(self, name: str) -> tuple[float, float] | None:
        """The time limits of a server's calls in seconds; None where the name is none of ours."""
        return self._limits.get(name)

    def states(self) -> list[ServerState]:
        return [self._state(name, known) for name, known in self._store.servers().items()]

    def state(self, name: str) -> ServerState:
        """NotFound when there is no such server."""
        return self._state(name, self._store.get(name))

    async def add(self, name: str, raw: Any) -> ServerState:
        """Add a server by its JSON entry and start it unless it is disabled.

        Conflict when the name is taken, InvalidArgument when the entry is wrong.
        """
        async with self._changing:
            known = await to_thread.run_sync(self._store.add, name, raw)
            if not known.entry.disabled:
                self._open(name, known.entry)
        log.info("external_added", server=name)
        return self.state(name)

    async def remove(self, name: str) -> None:
        """Stop a server and forget it, and what was accepted of it."""
        async with self._changing:
            await to_thread.run_sync(self._store.remove, name)
            await self._close(name)
            async with self._guarding:
                await to_thread.run_sync(self._guard.forget, name)
        log.info("external_removed", server=name)

    async def start(self, name: str) -> ServerState:
        """Enable and start a server, now if it waits for its next try; one that runs is kept."""
        async with self._changing:
            known = await to_thread.run_sync(self._store.set_disabled, name, False)
            link = self._links.by_service.get(name)
            if isinstance(link, ProgramLink):
                link.start()
            elif link is None:
                self._open(name, known.entry)
        return self.state(name)

    async def stop(self, name: str) -> ServerState:
        """Stop a server and keep it stopped."""
        async with self._changing:
            await to_thread.run_sync(self._store.set_disabled, name, True)
            await self._close(name)
        return self.state(name)

    async def accept(self, name: str, tool: str, digest: str) -> ServerState:
        """Offer a tool that was held back, as it was shown; Conflict when it has changed since."""
        async with self._changing:
            self._store.get(name)
            async with self._guarding:
                await to_thread.run_sync(self._guard.accept, name, tool, digest)
                self._reviewed_last.pop(name, None)
            if name in self._offers:
                await self._review(name, self._offers[name])
        log.info("external_tool_accepted", server=name, tool=tool)
        return self.state(name)

    def offered(self, service: str, offer: Offer) -> None:
        self._offers[service] = offer
        task = asyncio.create_task(self._review(service, offer))
        self._reviewing.add(task)
        task.add_done_callback(self._reviewing.discard)

    def away(self, service: str) -> None:
        self._links.away(service)

    def updated(self, service: str, uri: str, params: rpc.Texts) -> None:
        self._links.updated(service, uri, params)

    def said(self, service: str, method: str, params: rpc.Texts) -> None:
        self._links.said(service, method, params)

    async def _review(self, service: str, offer: Offer) -> None:
        """Pass on what may be offered; strangers' texts are read beside the loop, list by list."""
        async with self._guarding:
            if self._offers.get(service) is not offer:
                return
            reviewed = await to_thread.run_sync(self._reviewed, service, offer)
        link = self._links.by_service.get(service)
        if self._offers.get(service) is offer and link is not None and link.connected:
            self._links.offered(service, reviewed)

    def _reviewed(self, service: str, offer: Offer) -> Offer:
        """The offer without the tools that wait for somebody to look at them."""
        before, offered = self._reviewed_last.get(service, ((), ()))
        if not before or before != offer.of("tools"):
            offered = self._tools_offered(service, offer)
            self._reviewed_last[service] = offer.of("tools"), offered
        return Offer(
            {**offer.lists, "tools": offered},
            offer.capabilities,
            offer.instructions,
            offer.version,
            offer.ttl_ms,
        )

    def _tools_offered(self, service: str, offer: Offer) -> Listing:
        foreign = self._catalogue.tools_but_of(service)
        reviewed = self._guard.review(service, offer.of("tools"), foreign)
        for held in reviewed.held:
            log.warning(
                "external_tool_held",
                upstream=service,
                tool=held.tool,
                reason=held.reason,
                digest=held.digest,
                findings=[finding.rule for finding in held.findings],
            )
        return reviewed.offered

    def _open(self, name: str, entry: ServerEntry) -> None:
        """Link up with a server; one that lacks its settings says so in its state."""
        self._not_configured.pop(name, None)
        if entry.type == "stdio":
            link: Link = ProgramLink(name, entry, self._starter, self)
        else:
            try:
                resolved = resolve(name, entry, self._den.env, self._den.closed)
            except NotConfigured as error:
                self._not_configured[name] = error.message
                log.warning("external_not_configured", server=name, reason=error.message)
                return
            link = Link(name, remote(name, resolved, self._pool), self)
        self._limits[name] = (entry.timeout_s, entry.long_timeout_s)
        self._catalogue.add(name, Origin(external=True, approval=entry.approval))
        self._links.join(link)

    async def _close(self, name: str) -> None:
        self._offers.pop(name, None)
        self._reviewed_last.pop(name, None)
        self._not_configured.pop(name, None)
        await self._links.remove(name)
        if name in self._catalogue:
            self._links.gone(name, self._catalogue.remove(name))

    def _state(self, name: str, known: Known) -> ServerState:
        link = self._links.by_service.get(name)
        standing = self._standing(name, link)
        return ServerState(
            name=name,
            state=standing.state,
            reason=standing.reason,
            entry=known.entry.shown(),
            origin=known.origin,
            version=None if link is None else link.version,
            tools=self._catalogue.count(name) if name in self._catalogue else 0,
            held=tuple(self._guard.held(name)),
            pid=standing.pid,
            restarts=standing.restarts,
            protection=standing.protection,
        )

    def _standing(self, name: str, link: Link | None) -> Standing:
        if isinstance(link, ProgramLink):
            standing = link.standing
            # It was linked up with just now, and its supervisor has not had a turn yet.
            begun = standing.state != "stopped"
            return standing if begun else standing.model_copy(update={"state": "starting"})
        if link is None:
            reason = self._not_configured.get(name)
            return Standing(state="not_configured" if reason else "disabled", reason=reason)
        if link.connected:
            return Standing(state="running")
        return Standing(
            state="backing_off" if link.answered_once else "starting", reason=link.reason
        )


def remote(name: str, resolved: Resolved, pool: ConnectionPool) -> Speaker:
    """Speaks with a server that somebody else runs, whichever era and transport it has."""
    if resolved.entry.type == "openapi":
        return OpenApiSpeaker(name, resolved)
    scrub: Scrub | None = partial(Scrubber, resolved.secrets) if resolved.secrets else None
    http, authority = Http(name, resolved.url or "", pool, scrub), Fixed(resolved.headers)
    roots = resolved.roots
    sse = Handshake(name, lambda: SseSession(http, authority, pool), roots=roots)
    if resolved.entry.type == "sse":
        return sse
    handshake = Handshake(name, lambda: HttpSession(http, authority), roots=roots)
    return Probing(name, Modern(http, authority), handshake, sse)
