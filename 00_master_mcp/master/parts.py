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
from flotilla.metrics import Metrics
from flotilla.redaction import Redactor
from flotilla.serving.draining import Drain
from flotilla.tls import client_context
from master.audit.seam import AuditBook, Unwritten
from master.catalogue import Catalogue, Origin
from master.database.opened import open_database, place_of
from master.documents.opened import open_documents
from master.documents.seam import Documents
from master.policy.seam import Open, Policy
from master.principals import Principals, TokenBook, open_token_book
from master.principals.tokens import Tokens
from master.profiles import DEFAULT_FILE, Profiles
from master.settings import Settings
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
    policy: Policy
    audit: AuditBook
    colleagues: Colleagues

    @classmethod
    def of(
        cls,
        settings: Settings,
        common: CommonSettings,
        fleet: FleetConfig,
        place: Place,
        book: TokenBook | None = None,
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
            principals=Principals(
                book or open_token_book(common.data_dir),
                Tokens(database),
                news=steadiness.state.news,
                shared=database.is_postgresql or not place.alone,
            ),
            policy=Open(),
            audit=Unwritten(),
            colleagues=Colleagues(place, steadiness.state.hubs, signer, verifier, pool),
        )

    @cached_property
    def operations(self) -> Operations:
        return Operations(self.fleet, self.pool, self.signer)

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """What must never be read outside."""
        shared = self.steadiness.state.secrets
        return (*self.common.secret_values(), *self.documents.secrets, *shared)

    @cached_property
    def redactor(self) -> Redactor:
        return Redactor(self.secrets)


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
