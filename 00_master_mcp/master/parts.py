"""What one hub process is made of, before the parts are put together."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

from flotilla import CommonSettings
from flotilla.database.database import Database
from flotilla.fleet import HUB, FleetConfig
from flotilla.identity import Signer, Verifier, open_signing_key
from flotilla.metrics import Metrics
from flotilla.redaction import Redactor
from flotilla.serving.draining import Drain
from master.audit.seam import AuditBook, Unwritten
from master.catalogue import Catalogue, Origin
from master.database.opened import open_database, place_of
from master.documents.opened import open_documents
from master.documents.seam import Documents
from master.policy.seam import Open, Policy
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
    signer: Signer
    pool: ConnectionPool
    steadiness: Steadiness
    catalogue: Catalogue
    links: Links
    documents: Documents
    database: Database
    policy: Policy
    audit: AuditBook
    colleagues: Colleagues

    @classmethod
    def of(
        cls, settings: Settings, common: CommonSettings, fleet: FleetConfig, place: Place
    ) -> Self:
        """Misconfigured when keys, profiles or addresses are wrong."""
        metrics, pool = Metrics(), ConnectionPool()
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
        signer = Signer(open_signing_key(common.data_dir / "hub", common.hub_public_key_path))
        for name in spokes:
            http = Http(name, f"{fleet.url(name)}/mcp", pool)
            links.add(name, Modern(http, Signed(name, signer), ready=True))
        verifier = Verifier(common.hub_public_key_path, AUDIENCE)
        return cls(
            settings=settings,
            common=common,
            fleet=fleet,
            spokes=spokes,
            profiles=profiles,
            metrics=metrics,
            drain=Drain(HUB),
            signer=signer,
            pool=pool,
            steadiness=steadiness,
            catalogue=catalogue,
            links=links,
            documents=open_documents(settings.database_url, common.data_dir / "hub"),
            database=open_database(place_of(settings.database_url, common.data_dir / "hub")),
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
