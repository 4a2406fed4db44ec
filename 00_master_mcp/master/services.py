"""The hub's own tools about the fleet's services: are they healthy, and what do they offer."""

import asyncio
from collections.abc import Mapping
from time import perf_counter
from typing import Literal

from pydantic import Field, RootModel

from flotilla import FlotillaError, Model, Tool, __version__, reads
from flotilla.fleet import HUB, FleetConfig
from flotilla.metrics import Metrics
from master import rpc
from master.catalogue import Catalogue
from master.upstream.link import Link

PROBE_S = 2.0

Status = Literal["healthy", "unhealthy", "unreachable", "not_configured"]


class ServiceHealth(Model):
    """One service, asked just now."""

    status: Status
    latency_ms: float | None = Field(default=None, alias="latency_ms")
    reason: str | None = None


class FleetHealth(RootModel[dict[str, ServiceHealth]]):
    """Every service's health by its name."""


class ListedService(Model):
    """One service of the fleet."""

    name: str
    number: int
    namespaces: list[str]
    url: str
    tool_count: int
    version: str | None = None
    connected: bool


class ListedServices(Model):
    items: list[ListedService]
    returned: int
    truncated: bool = False


class Services:
    """Looks at the links; probes them when health is asked for."""

    def __init__(
        self,
        *,
        fleet: FleetConfig,
        links: Mapping[str, Link],
        catalogue: Catalogue,
        metrics: Metrics,
    ) -> None:
        self._fleet = fleet
        self._links = links
        self._catalogue = catalogue
        self._metrics = metrics

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("master.getServiceHealth", self.get_service_health, title="Service health"),
            reads("master.listServices", self.list_services, title="Services"),
        )

    async def get_service_health(self) -> FleetHealth:
        """Ask every service of the fleet now whether it can serve, by a real MCP request.

        Returns an object with one member per service: `status` is healthy, unhealthy (it answers
        but cannot serve; `reason` says why), unreachable, or not_configured (`reason` says what to
        set); `latency_ms` is the time of the request in milliseconds. Waits at most 2 seconds.
        """
        links = dict(self._links)
        probed = await asyncio.gather(*(self._probe(link) for link in links.values()))
        return FleetHealth(dict(zip(links, probed, strict=True)))

    async def list_services(self) -> ListedServices:
        """List the services of the fleet: their namespaces, URL, number of tools and version.

        `connected` tells whether the hub holds a connection just now; tools of a service that is
        away stay listed and answer `unavailable`.
        """
        known = [name for name in self._links if name in self._fleet.services]
        items = [self._listed(name) for name in (HUB, *known)]
        return ListedServices(items=items, returned=len(items))

    def _listed(self, name: str) -> ListedService:
        link = self._links.get(name)
        entry = self._fleet.service(name)
        return ListedService(
            name=name,
            number=entry.number,
            namespaces=list(entry.namespaces),
            url=self._fleet.url(name),
            tool_count=self._catalogue.count(name),
            version=__version__ if link is None else link.version,
            connected=link is None or link.connected,
        )

    async def _probe(self, link: Link) -> ServiceHealth:
        started = perf_counter()
        try:
            reason = await link.speaker.probe(PROBE_S)
            latency_ms = round((perf_counter() - started) * 1000, 2)
        except FlotillaError as error:
            health = ServiceHealth(status="unreachable", reason=error.message)
        except rpc.RpcError as error:
            health = ServiceHealth(status="unhealthy", reason=error.message)
        else:
            missing = self._catalogue.not_configured(link.service)
            status: Status = "unhealthy" if reason else "not_configured" if missing else "healthy"
            health = ServiceHealth(status=status, latency_ms=latency_ms, reason=reason or missing)
        self._metrics.health(link.service, health.status == "healthy")
        return health
