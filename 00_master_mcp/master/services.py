"""The hub's own tools about the fleet's services: are they healthy, and what do they offer."""

import asyncio
import math
from collections.abc import Mapping
from time import perf_counter
from typing import Literal

from pydantic import Field, RootModel

from flotilla import FlotillaError, Model, Tool, __version__, reads
from flotilla.fleet import HUB, FleetConfig
from flotilla.metrics import Metrics
from master import rpc
from master.catalogue import Catalogue
from master.meters import Turned
from master.state.seam import CircuitState
from master.steadiness.parts import Steadiness
from master.upstream.link import Link

PROBE_S = 2.0

Status = Literal["healthy", "unhealthy", "unreachable", "not_configured"]


class ServiceHealth(Model):
    """One service, asked just now."""

    status: Status
    circuit: CircuitState = "closed"
    latency_ms: float | None = Field(default=None, alias="latency_ms")
    reason: str | None = None
    retry_after_ms: int | None = None
    in_flight: int = 0
    waiting: int = 0
    turned_away: dict[Turned, int] = Field(default_factory=dict[Turned, int])


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
        steadiness: Steadiness,
    ) -> None:
        self._fleet = fleet
        self._links = links
        self._catalogue = catalogue
        self._metrics = metrics
        self._steadiness = steadiness

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("master.getServiceHealth", self.get_service_health, title="Service health"),
            reads("master.listServices", self.list_services, title="Services"),
        )

    async def get_service_health(self) -> FleetHealth:
        """Ask every service of the fleet now whether it can serve, by a real MCP request.

        Returns an object with one member per service: `status` is healthy, unhealthy (it answers
        but cannot serve; `reason` says why), unreachable, or not_configured (`reason` says what to
        set); `latency_ms` is the time of the request in milliseconds. `circuit` is closed, open
        (its calls failed, none is sent for `retryAfterMs`) or half_open (one call probes it);
        `inFlight` and `waiting` are the calls at it now; `turnedAway` counts calls since the start
        that were refused for its rate_limit, places, circuit or the hub's overload. `master` is the
        hub. Waits at most 2 seconds; for a service that is known to be away not at all.
        """
        links = dict(self._links)
        probed = await asyncio.gather(*(self._probe(link) for link in links.values()))
        told = {
            link.service: self._told(link.service, health)
            for link, health in zip(links.values(), probed, strict=True)
        }
        return FleetHealth({HUB: self._own(), **told})

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

    def _own(self) -> ServiceHealth:
        """The hub itself, which answers, however much it has to do."""
        state, load = self._steadiness.state, self._steadiness.load
        reasons: list[str] = []
        if state.away is not None:
            reasons.append(f"the state that hubs share is away: {state.away}")
        if load.why is not None:
            reasons.append(f"overloaded by {load.why}")
        return ServiceHealth(
            status="unhealthy" if load.overloaded else "healthy",
            reason="; ".join(reasons) or None,
            in_flight=load.calls,
            turned_away=self._steadiness.meters.turned_away_from(HUB),
        )

    def _told(self, service: str, health: ServiceHealth) -> ServiceHealth:
        """What a probe found, with what the hub knows of the calls."""
        keeper = self._steadiness.keepers.of(service)
        view = keeper.circuit.view
        reason = health.reason
        if view.state != "closed":
            reason = f"{reason}; " if reason else ""
            reason += f"its circuit is {view.state} after {view.failures} failures: {view.reason}"
        return health.model_copy(
            update={
                "circuit": view.state,
                "reason": reason,
                "retry_after_ms": math.ceil(view.retry_after_s * 1000) or None,
                "in_flight": keeper.places.in_flight,
                "waiting": keeper.places.waiting,
                "turned_away": self._steadiness.meters.turned_away_from(service),
            }
        )

    async def _probe(self, link: Link) -> ServiceHealth:
        if not link.connected:
            # It is looked at twice a second anyway; who asks need not wait for one look more.
            return ServiceHealth(status="unreachable", reason=link.reason)
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
