"""The hub: the only door of the fleet."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import structlog
from starlette.applications import Starlette

from flotilla import CommonSettings, __version__
from flotilla.fleet import HUB, FleetConfig
from flotilla.identity import Signer, open_signing_key
from flotilla.metrics import Metrics
from flotilla.redaction import Redactor
from flotilla.serving.app import service_app
from flotilla.serving.draining import Drain
from flotilla.serving.service import Service
from flotilla.toolbox import Toolbox
from master.catalogue import Catalogue
from master.north.door import Door
from master.north.methods import Methods
from master.pipeline import pipeline
from master.principals import clients_only, open_token_book
from master.services import Services
from master.settings import Settings
from master.upstream.client import ConnectionPool, ServiceClient
from master.upstream.link import Link
from master.views import with_view

log = structlog.get_logger(__name__)

INSTRUCTIONS = (
    "Flotilla operates infrastructure through many services behind this one endpoint. Tool names "
    "are category_subcategory_action. Errors carry a stable code, a hint and a correlationId."
)


Task = Callable[[], Coroutine[Any, Any, None]]


class News:
    """Tells clients of a changed list once for many changes that come together."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def spread(self) -> None:
        self._changed.set()

    async def tell(self, everybody: Task) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await everybody()


def build(
    settings: Settings, common: CommonSettings | None = None, fleet: FleetConfig | None = None
) -> Service:
    """Wire the hub by hand; Misconfigured when its keys, tokens or services.yaml are wrong."""
    common = common or CommonSettings.from_env()
    fleet = fleet or FleetConfig.load(common.config_dir / "services.yaml")
    if settings.approvals == "off":
        log.warning("APPROVALS_ARE_OFF", meaning="every destructive call runs unasked")
    signer = Signer(open_signing_key(common.data_dir / "hub", common.hub_public_key_path))
    book = open_token_book(common.data_dir)
    redactor, metrics, drain = Redactor(common.secret_values()), Metrics(), Drain(HUB)
    services = {name: fleet.service(name) for name in (HUB, *_spokes(fleet, settings))}
    catalogue = Catalogue({name: entry.namespaces for name, entry in services.items()})
    news, pool = News(), ConnectionPool()
    links = {
        name: _link(ServiceClient(name, fleet.url(name), signer, pool), catalogue, metrics, news)
        for name in services
        if name != HUB
    }
    overview = Services(fleet=fleet, links=links, catalogue=catalogue, metrics=metrics)
    own = Toolbox(overview.tools(), redactor)
    catalogue.offer(HUB, own.listing())
    answer = pipeline(
        catalogue=catalogue,
        services=services,
        links=links,
        own=own,
        metrics=metrics,
        redactor=redactor,
        approvals_off=settings.approvals == "off",
    )
    methods = Methods(
        catalogue=catalogue,
        answer=answer,
        drain=drain,
        redactor=redactor,
        instructions=INSTRUCTIONS,
    )
    door = Door(methods, catalogue)
    metrics.watch(HUB, running=lambda: drain.running, sessions=lambda: door.open_sessions)

    async def ready() -> str | None:
        waiting = [name for name, link in links.items() if not link.answered_once]
        if drain.closed:
            return "stopping"
        return f"waiting for {', '.join(waiting)}" if waiting else None

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        tell = partial(news.tell, door.tools_changed)
        tasks = [tell, *(link.run for link in links.values())]
        async with pool.running(), in_background(tasks):
            yield

    app = service_app(
        name=HUB,
        version=__version__,
        settings=common,
        routes=door.routes(),
        ready=ready,
        metrics=metrics,
        authenticate=clients_only(book),
        lifespan=lifespan,
        own_hosts=("master",),
        gate=partial(with_view, services=services),
    )
    return Service(
        name=HUB,
        app=app,
        drain=drain,
        stop_streams=door.stop_streams,
        bind=common.bind,
        port=fleet.port(HUB),
        grace_s=common.shutdown_grace_s,
    )


def _spokes(fleet: FleetConfig, settings: Settings) -> list[str]:
    return [name for name in fleet.chosen(settings.services) if name != HUB]


def _link(client: ServiceClient, catalogue: Catalogue, metrics: Metrics, news: News) -> Link:
    service = client.service
    metrics.health(service, healthy=False)

    def on_tools(tools: list[Mapping[str, Any]]) -> None:
        changed, dropped = catalogue.offer(service, tools)
        metrics.health(service, healthy=True)
        for each in dropped:
            log.warning("tool_dropped", upstream=service, tool=each.name, reason=each.reason)
        if changed:
            news.spread()

    def on_away() -> None:
        metrics.health(service, healthy=False)
        if catalogue.mark_stale(service):
            news.spread()

    return Link(client, on_tools=on_tools, on_away=on_away)


@asynccontextmanager
async def in_background(
    tasks: Iterable[Task],
) -> AsyncGenerator[None]:
    """Run the tasks beside what is inside, and cancel them at its end."""
    async with anyio.create_task_group() as group:
        for task in tasks:
            group.start_soon(task)
        yield
        group.cancel_scope.cancel()
