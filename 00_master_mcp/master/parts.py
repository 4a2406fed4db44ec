"""What one hub process is made of, before the parts are put together."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self
from urllib.parse import urlsplit

from flotilla import CommonSettings
from flotilla.database.database import Database
from flotilla.fleet import HUB, FleetConfig
from flotilla.identity import Signer, Verifier
from flotilla.keyring import KeyRing
from flotilla.logs import process_redactor
from flotilla.metrics import Metrics
from flotilla.redaction import Redactor
from flotilla.serving.draining import Drain
from flotilla.tls import client_context
from master.approvals.asking.fitting import Fits
from master.approvals.asking.preview import Previews
from master.approvals.asking.tickets import Tickets
from master.approvals.asking.used import UsedTickets
from master.approvals.runs import Runs
from master.approvals.sealing import Sealing, open_sealing
from master.approvals.service import ApprovalService
from master.approvals.settings import ApprovalSettings
from master.approvals.store import Store
from master.audit.book import Book
from master.audit.opened import open_book, show
from master.audit.settings import AuditSettings
from master.catalogue import Catalogue, Origin
from master.database.opened import open_database, place_of
from master.documents.opened import open_documents
from master.documents.seam import Documents
from master.handles.courier import Courier
from master.handles.released import Released
from master.handles.resolving import SECRETS, Handles
from master.outbound.outbound import Outbound
from master.outbound.sealing import open_sealing as open_grants
from master.policy.book import Rulebook
from master.policy.opened import open_policy
from master.principals import Principals, TokenBook, open_token_book
from master.principals.opened import open_principals
from master.principals.resource import Resource
from master.principals.settings import OpenIdSettings
from master.profiles import DEFAULT_FILE, Profiles
from master.settings import Settings
from master.stages.approve import Asking
from master.steadiness.parts import Steadiness
from master.upstream.authority import Signed
from master.upstream.http import Http
from master.upstream.links import Links
from master.upstream.modern import Modern
from master.upstream.operations import Operations
from master.upstream.pool import ConnectionPool
from master.workers.colleagues import AUDIENCE, Colleagues
from master.workers.place import Place


@dataclass(frozen=True, kw_only=True)
class Parts:
    settings: Settings
    common: CommonSettings
    fleet: FleetConfig
    spokes: tuple[str, ...]
    profiles: Profiles
    metrics: Metrics
    drain: Drain
    ring: KeyRing
    signer: Signer
    pool: ConnectionPool
    steadiness: Steadiness
    catalogue: Catalogue
    links: Links
    documents: Documents
    database: Database
    principals: Principals
    resource: Resource
    policy: Rulebook
    audit_settings: AuditSettings
    sealing: Sealing
    approval_settings: ApprovalSettings
    colleagues: Colleagues

    @classmethod
    def of(
        cls,
        settings: Settings,
        common: CommonSettings,
        fleet: FleetConfig,
        place: Place,
        book: TokenBook | None = None,
        openid: OpenIdSettings | None = None,
    ) -> Self:
        """Misconfigured when keys, profiles or addresses are wrong."""
        metrics, pool = Metrics(), ConnectionPool(tls=_shown(common, fleet))
        steadiness = Steadiness.of(fleet, settings.redis_url, metrics)
        spokes = tuple(name for name in fleet.chosen(settings.services) if name != HUB)
        profiles = Profiles.load(settings.profiles_config or common.config_dir / DEFAULT_FILE)
        owners = {name: frozenset(fleet.service(name).namespaces) for name in (HUB, *spokes)}
        catalogue = Catalogue({name: Origin(own) for name, own in owners.items()}, profiles)
        links = Links(
            catalogue,
            metrics,
            settings.stale_tools_s,
            checks=lambda name: fleet.resilience(name).health_check,
        )
        links.on_back, links.on_removed = steadiness.back, steadiness.removed
        ring = KeyRing(common.data_dir / "hub", common.hub_public_key_path, every_s=settings.key_s)
        signer = Signer(ring.key)
        for name in spokes:
            http = Http(name, f"{fleet.url(name)}/mcp", pool)
            links.add(name, Modern(http, Signed(name, signer), ready=True))
        verifier = Verifier(common.hub_public_key_path, AUDIENCE)
        database = open_database(place_of(settings.database_url, common.data_dir / "hub"))
        principals, resource = open_principals(
            book or open_token_book(common.data_dir, process_redactor().learn),
            database,
            openid or OpenIdSettings.from_env(),
            profiles=profiles,
            public_url=settings.public_url,
            port=fleet.port(HUB),
            news=steadiness.state.news,
            shared=database.is_postgresql or not place.alone,
        )
        return cls(
            settings=settings,
            common=common,
            fleet=fleet,
            spokes=spokes,
            profiles=profiles,
            metrics=metrics,
            drain=Drain(HUB),
            ring=ring,
            signer=signer,
            pool=pool,
            steadiness=steadiness,
            catalogue=catalogue,
            links=links,
            documents=open_documents(settings.database_url, common.data_dir / "hub"),
            database=database,
            principals=principals,
            resource=resource,
            policy=open_policy(common.config_dir, fleet, settings.timezone),
            audit_settings=AuditSettings.from_env(),
            sealing=open_sealing(common.data_dir / "hub"),
            approval_settings=ApprovalSettings.from_env(),
            colleagues=Colleagues(place, steadiness.state.hubs, signer, verifier, pool),
        )

    @cached_property
    def operations(self) -> Operations:
        return Operations(self.fleet, self.pool, self.signer)

    @cached_property
    def audit(self) -> Book:
        folder = self.common.data_dir / "hub"
        book = open_book(
            place_of(self.settings.database_url, folder),
            self.database,
            folder,
            self.redactor,
            self.audit_settings,
        )
        show(book, self.metrics.registry)
        return book

    @cached_property
    def approvals(self) -> ApprovalService:
        hub = self.steadiness.state.hubs.own_id
        return ApprovalService(
            Store(self.database, hub),
            self.sealing,
            self.approval_settings,
            self.audit,
            self.redactor,
            hub=hub,
        )

    @cached_property
    def asking(self) -> Asking:
        """How people are asked whether a call may run."""
        return Asking(
            approvals=self.approvals,
            tickets=Tickets(self.sealing),
            used=UsedTickets(self.database),
            previews=Previews(self.catalogue, self.operations),
            fits=Fits(),
            audit=self.audit,
            redactor=self.redactor,
            most_minutes=self.approval_settings.max_standing_minutes,
        )

    @cached_property
    def runs(self) -> Runs:
        """The calls that a person allows when their client has gone."""
        still = self.principals.still
        return Runs(self.approvals, still, self.drain, self.redactor)

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """What must never be read outside."""
        shared = self.steadiness.state.secrets
        return (*self.common.secret_values(), *self.documents.secrets, *shared)

    @cached_property
    def redactor(self) -> Redactor:
        """The one of this process, whose log must hide the same."""
        redactor = process_redactor()
        redactor.learn(self.secrets)
        return redactor

    @cached_property
    def released(self) -> Released:
        """The values of stored secrets that are out."""
        released = Released(self.redactor)
        self.links.cleaned = released.hidden
        return released

    @cached_property
    def courier(self) -> Courier:
        courier = Courier(
            self.operations, self.released, self.audit, self.steadiness.state.news, self.spokes
        )
        self.links.on_offered = courier.connected
        return courier

    @cached_property
    def outbound(self) -> Outbound:
        """Credentials for servers of others, by principal."""
        return Outbound(
            database=self.database,
            sealing=open_grants(self.common.data_dir / "hub"),
            operations=self.operations if SECRETS in self.spokes else None,
            audit=self.audit,
            redactor=self.redactor,
            news=self.steadiness.state.news,
            base_url=self.settings.public_url or f"http://localhost:{self.fleet.port(HUB)}",
        )

    @cached_property
    def handles(self) -> Handles:
        return Handles(
            self.operations if SECRETS in self.spokes else None,
            self.released,
            self.audit,
            telling=self.courier.released,
            changed=self.courier.changed,
        )


def _shown(common: CommonSettings, fleet: FleetConfig) -> Mapping[str, ssl.SSLContext]:
    """How the hub shows services of the fleet who it is, by their `host:port`; Misconfigured."""
    if common.tls_dir is None:
        return {}
    addresses = [urlsplit(fleet.url(name)) for name in fleet.services if name != HUB]
    context = client_context(common.tls_dir)
    return {
        f"{address.hostname}:{address.port or 443}": context
        for address in addresses
        if address.scheme == "https"
    }
