"""The external servers: added, started, stopped and removed while the hub runs, and how each is."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from operator import ne
from typing import Any

import structlog
from anyio import to_thread

from flotilla import Misconfigured, Model, NotConfigured, Unavailable
from flotilla.logs import process_redactor
from master import rpc
from master.catalogue import Catalogue, Origin
from master.documents.upkeep import Upkeep
from master.external.config import ServerEntry
from master.external.den import Den
from master.external.guard import TOPIC as GUARD
from master.external.guard import Guard
from master.external.handles import resolve
from master.external.here import Here
from master.external.judging import Held
from master.external.process import Starter
from master.external.program import ProgramLink
from master.external.remote import remote
from master.external.sandbox import Protection
from master.external.store import TOPIC as SERVERS
from master.external.store import Known, ServerStore
from master.external.store import Origin as EntryOrigin
from master.external.supervise import Standing, State
from master.offer import Offer
from master.outbound.outbound import Outbound
from master.state.seam import News
from master.upstream.link import Link
from master.upstream.links import Links
from master.upstream.pool import ConnectionPool

log = structlog.get_logger(__name__)


class ServerState(Model):
    """One external server, for a person to read."""

    name: str
    state: State
    reason: str | None = None
    """Why it does not run, or ended last, or why its new tools are not offered yet."""
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

    `starter` starts the programs among them, on this machine unless it is given; `news` tells that
    another hub has changed something.
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
        outbound: Outbound | None = None,
        starter: Starter | None = None,
        news: News | None = None,
    ) -> None:
        self._store = store
        self._guard = guard
        self._den = den
        self._catalogue = catalogue
        self._links = links
        self._pool = pool
        self._outbound = outbound
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
        self._opened: dict[str, ServerEntry] = {}
        """Those that were linked up with, or could not be, by the entries that said how."""
        self._upkeep = Upkeep(self._catch_up, news, (SERVERS, GUARD))
        self.linked: dict[str, ServerEntry] = {}
        """The entries of those that are linked up with."""
        self.version = 0
        """Counts the changes of `linked`."""
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Linked up within with what is enabled here and by other hubs; at the end no list is read
        any more."""
        try:
            async with self._upkeep.running():
                async with self._changing:
                    await self._settle()
                yield
        finally:
            for task in self._reviewing:
                task.cancel()
            if self._reviewing:
                await asyncio.wait(self._reviewing)

    @property
    def apart(self) -> str | None:
        """Why what other hubs change is not known here now, and no change can be kept."""
        return self._upkeep.away

    async def changed(self) -> None:
        """Return when `linked` has changed, or `wake` was called."""
        await self._changed.wait()

    def wake(self) -> None:
        """Let everybody look who waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

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

        Conflict when the name is taken, InvalidArgument when the entry is wrong; Unavailable, as
        from every other change, when it cannot be kept.
        """
        async with self._changing:
            await self._store.add(name, raw)
            await self._settle()
        log.info("external_added", server=name)
        return self.state(name)

    async def remove(self, name: str) -> None:
        """Stop a server and forget it, and what was accepted of it."""
        async with self._changing:
            await self._store.remove(name)
            await self._settle()
            async with self._guarding:
                try:
                    await self._guard.forget(name)
                except Unavailable as error:
                    # It is gone all the same; added again, it is judged by what it was.
                    log.warning("external_not_forgotten", server=name, reason=error.message)
        log.info("external_removed", server=name)

    async def start(self, name: str) -> ServerState:
        """Enable and start a server, now if it waits for its next try; one that runs is kept."""
        async with self._changing:
            await self._store.set_disabled(name, False)
            link = self._links.by_service.get(name)
            if isinstance(link, ProgramLink):
                link.start()
            elif link is None:
                # What it lacked may be there now.
                self._opened.pop(name, None)
            await self._settle()
        return self.state(name)

    async def stop(self, name: str) -> ServerState:
        """Stop a server and keep it stopped."""
        async with self._changing:
            await self._store.set_disabled(name, True)
            await self._settle()
        return self.state(name)

    async def accept(self, name: str, tool: str, digest: str) -> ServerState:
        """Offer a tool that was held back, as it was shown; Conflict when it has changed since."""
        async with self._changing:
            self._store.get(name)
            async with self._guarding:
                await self._guard.accept(name, tool, digest)
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

    async def _catch_up(self) -> str | None:
        """Do as other hubs have decided; tells why that is not known."""
        unknown: str | None = None
        try:
            await self._store.refresh()
            await self._guard.refresh()
        except (Unavailable, Misconfigured) as error:
            unknown = str(error)
        async with self._changing:
            before = dict(self._opened)
            await self._settle()
            names = sorted({*before, *self._opened})
            other = [name for name in names if before.get(name) != self._opened.get(name)]
        if before and other:
            log.info("external_changed_elsewhere", servers=other)
        for service, offer in list(self._offers.items()):
            if self._guard.outdated(service):
                await self._review(service, offer)
        return unknown or self._guard.away

    async def _settle(self) -> None:
        """Open and close what the store says by now; the caller holds `_changing`."""
        servers = self._store.servers()
        wanted = {name: each.entry for name, each in servers.items() if not each.entry.disabled}
        for name, entry in list(self._opened.items()):
            if wanted.get(name) != entry:
                await self._close(name)
        self._guard.keep_only(servers)
        for name, entry in wanted.items():
            if name not in self._opened:
                self._open(name, entry)

    async def _review(self, service: str, offer: Offer) -> None:
        """Pass on what may be offered; strangers' texts are read beside the loop, list by list."""
        async with self._guarding:
            if self._offers.get(service) is not offer:
                return
            reviewed = await self._reviewed(service, offer)
        link = self._links.by_service.get(service)
        if self._offers.get(service) is offer and link is not None and link.connected:
            self._links.offered(service, reviewed)

    async def _reviewed(self, service: str, offer: Offer) -> Offer:
        """The offer without the tools that wait for somebody to look at them."""
        before, offered = self._reviewed_last.get(service, ((), ()))
        told = offer.of("tools")
        if (
            not before
            or self._guard.outdated(service)
            or await to_thread.run_sync(ne, before, told)
        ):
            offered = await self._tools_offered(service, offer)
            self._reviewed_last[service] = told, offered
        return Offer(
            {**offer.lists, "tools": offered},
            offer.capabilities,
            offer.instructions,
            offer.version,
            offer.ttl_ms,
        )

    async def _tools_offered(self, service: str, offer: Offer) -> Listing:
        foreign = self._catalogue.tools_but_of(service)
        reviewed = await self._guard.review(service, offer.of("tools"), foreign)
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
        self._opened[name] = entry
        self._not_configured.pop(name, None)
        if entry.type == "stdio":
            link: Link = ProgramLink(name, entry, self._starter, self)
        else:
            try:
                resolved = resolve(name, entry, self._den.env, self._den.closed)
                speaker = remote(name, resolved, self._pool, self._outbound)
            except (NotConfigured, Misconfigured) as error:
                self._not_configured[name] = str(error)
                log.warning("external_not_configured", server=name, reason=str(error))
                return
            # What it says is searched for them on its way; what is said of it is, in the log.
            process_redactor().learn(resolved.secrets)
            link = Link(name, speaker, self)
        self._limits[name] = (entry.timeout_s, entry.long_timeout_s)
        self.linked[name] = entry
        self.version += 1
        self.wake()
        self._catalogue.add(name, Origin(external=True, approval=entry.approval))
        self._links.join(link)

    async def _close(self, name: str) -> None:
        self._opened.pop(name, None)
        if self._outbound is not None:
            self._outbound.remove(name)
        self._offers.pop(name, None)
        self._reviewed_last.pop(name, None)
        self._not_configured.pop(name, None)
        if self.linked.pop(name, None) is not None:
            self.version += 1
            self.wake()
        await self._links.remove(name)
        if name in self._catalogue:
            self._links.gone(name, self._catalogue.remove(name))

    def _state(self, name: str, known: Known) -> ServerState:
        link = self._links.by_service.get(name)
        standing = self._standing(name, link)
        if standing.state == "running" and name not in self._reviewed_last:
            # Its tools are still being read.
            standing = standing.model_copy(update={"state": "starting"})
        return ServerState(
            name=name,
            state=standing.state,
            reason=standing.reason or self._guard.unsaved(name),
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
