"""The hub: the only door of the fleet."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

import structlog
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from flotilla import CommonSettings, __version__
from flotilla.fleet import HUB, FleetConfig
from flotilla.identity import Signer, Verifier, open_signing_key
from flotilla.metrics import Metrics
from flotilla.redaction import Redactor
from flotilla.serving.app import service_app
from flotilla.serving.draining import Drain
from flotilla.serving.service import Service
from flotilla.toolbox import Toolbox
from master.catalogue import Catalogue, Origin
from master.documents.opened import open_documents
from master.documents.seam import Documents
from master.external.api import PATH as SERVERS_PATH
from master.external.api import ServersApi
from master.external.config import DEFAULT_FILE, load_config
from master.external.den import Den
from master.external.guard import Guard
from master.external.runner.client import RunnerElsewhere
from master.external.runner.messages import AUDIENCE as RUNNER
from master.external.servers import ExternalServers
from master.external.store import ServerStore
from master.north.arriving import arriving
from master.north.door import Door
from master.north.methods import Methods
from master.north.sessions import new_session_id
from master.north.subscriptions import Subscriptions
from master.offer import Offer
from master.pipeline import pipeline
from master.principals import clients_only, open_token_book
from master.profiles import DEFAULT_FILE as PROFILES_FILE
from master.profiles import Profiles
from master.search.tools import ToolSearch, own_listing
from master.services import Services
from master.settings import Settings
from master.state.seam import News
from master.steadiness.parts import Steadiness
from master.upstream.authority import Signed
from master.upstream.http import Http
from master.upstream.links import Links
from master.upstream.modern import Modern
from master.upstream.pool import ConnectionPool
from master.views import with_view
from master.workers.borrowed import BorrowedServers
from master.workers.colleagues import AUDIENCE, Colleagues
from master.workers.lent import Both, Lent, lent_way
from master.workers.place import ALONE, Place
from master.workers.questions import answered_where_asked
from master.workers.relay import Relay

log = structlog.get_logger(__name__)

INSTRUCTIONS = (
    "Flotilla operates infrastructure through many services behind this one endpoint. Tool names "
    "are category_subcategory_action. Errors carry a stable code, a hint and a correlationId."
)


def build(
    settings: Settings,
    common: CommonSettings | None = None,
    fleet: FleetConfig | None = None,
    place: Place = ALONE,
) -> Service:
    """Wire the hub by hand; Misconfigured when its keys, tokens or services.yaml are wrong."""
    common = common or CommonSettings.from_env()
    fleet = fleet or FleetConfig.load(common.config_dir / "services.yaml")
    if settings.approvals == "off":
        log.warning("APPROVALS_ARE_OFF", meaning="every destructive call runs unasked")
    metrics, drain = Metrics(), Drain(HUB)
    steadiness = Steadiness.of(fleet, settings.redis_url, metrics)
    spokes = [name for name in fleet.chosen(settings.services) if name != HUB]
    profiles = Profiles.load(settings.profiles_config or common.config_dir / PROFILES_FILE)
    catalogue = Catalogue(
        {name: Origin(frozenset(fleet.service(name).namespaces)) for name in (HUB, *spokes)},
        profiles,
    )
    pool = ConnectionPool()
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
    documents = open_documents(settings.database_url, common.data_dir / "hub")
    news = steadiness.state.news
    verifier = Verifier(common.hub_public_key_path, AUDIENCE)
    colleagues = Colleagues(place, steadiness.state.hubs, signer, verifier, pool)
    external = (
        _external(settings, common, fleet, catalogue, links, pool, signer, documents, news)
        if place.is_lead
        else BorrowedServers(colleagues, catalogue, links)
    )
    redactor = Redactor((*common.secret_values(), *documents.secrets, *steadiness.state.secrets))
    door, lent = _doors(
        settings,
        fleet,
        external,
        catalogue,
        links,
        metrics,
        drain,
        steadiness,
        redactor,
        colleagues,
    )

    async def ready() -> str | None:
        waiting = [name for name in spokes if not links.by_service[name].answered_once]
        if drain.closed:
            return "stopping"
        return f"waiting for {', '.join(waiting)}" if waiting else None

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        async with (
            steadiness.running(),
            documents.running(),
            pool.running(),
            external.running(),
            links.running(Both(door, lent) if lent else door),
            colleagues.running(),
        ):
            yield

    def stop_streams() -> None:
        door.stop_streams()
        if lent is not None:
            lent.stop()

    app = service_app(
        name=HUB,
        version=__version__,
        settings=common,
        routes=[*_managing(external), *door.routes(), *(lent.routes() if lent else ())],
        ready=ready,
        metrics=metrics,
        authenticate=colleagues.authenticating(
            clients_only(open_token_book(common.data_dir), owners=SERVERS_PATH)
        ),
        lifespan=lifespan,
        own_hosts=("master", *place.names),
        exact=door.exact(catalogue),
        gate=lambda app: arriving(
            Relay(colleagues).around(with_view(app, catalogue, profiles)),
            steadiness.load,
            steadiness.meters,
        ),
    )
    return Service(
        name=HUB,
        app=app,
        drain=drain,
        stop_streams=stop_streams,
        bind=common.bind,
        port=fleet.port(HUB),
        grace_s=common.shutdown_grace_s,
        private=None if place.private is None else place.private.dup(),
    )


def _external(
    settings: Settings,
    common: CommonSettings,
    fleet: FleetConfig,
    catalogue: Catalogue,
    links: Links,
    pool: ConnectionPool,
    signer: Signer,
    documents: Documents,
    news: News,
) -> ExternalServers:
    """Other people's servers, from `mcp.json` and from what was changed since."""
    file = settings.mcp_config or common.config_dir / DEFAULT_FILE
    services = tuple(fleet.services)
    runner, house = settings.external_runner, common.config_dir.resolve().parent
    return ExternalServers(
        store=ServerStore(documents, load_config(file, services), services, news),
        guard=Guard(documents, news),
        den=Den(
            common.data_dir / "external",
            hidden=(common.data_dir, common.config_dir, house / "secrets", house / ".env"),
            closed=(common.data_dir,),
            env=os.environ,
            secrets=(*common.secret_values(), *documents.secrets),
        ),
        catalogue=catalogue,
        links=links,
        pool=pool,
        news=news,
        starter=RunnerElsewhere(runner, Signed(RUNNER, signer)) if runner else None,
    )


def _managing(external: ExternalServers | BorrowedServers) -> list[BaseRoute]:
    """The owner manages them where they run; other workers pass such requests on."""
    return ServersApi(external).routes() if isinstance(external, ExternalServers) else []


def _doors(
    settings: Settings,
    fleet: FleetConfig,
    external: ExternalServers | BorrowedServers,
    catalogue: Catalogue,
    links: Links,
    metrics: Metrics,
    drain: Drain,
    steadiness: Steadiness,
    redactor: Redactor,
    colleagues: Colleagues,
) -> tuple[Door, Lent | None]:
    """The way in, and behind it the way of a call; and that of the hub's other processes."""
    overview = Services(
        fleet=fleet,
        links=links.by_service,
        catalogue=catalogue,
        metrics=metrics,
        steadiness=steadiness,
    )
    own = Toolbox((*overview.tools(), *ToolSearch(catalogue).tools()), redactor)
    catalogue.offer(HUB, Offer({"tools": tuple(own_listing(own))}, {"tools": {}}))
    subscriptions = Subscriptions(links.watch, links.watched)

    def limits(service: str) -> tuple[float, float]:
        if (known := external.limits(service)) is not None:
            return known
        entry = fleet.service(service)
        return entry.timeout_s, entry.long_timeout_s

    here = external.linked if isinstance(external, ExternalServers) else ()
    answered = partial(answered_where_asked, colleagues=colleagues, here=here)
    answer = pipeline(
        catalogue=catalogue,
        limits=limits,
        links=links.by_service,
        own=own,
        steadiness=steadiness,
        metrics=metrics,
        redactor=redactor,
        approvals_off=settings.approvals == "off",
        answered=answered,
    )
    methods = partial(
        Methods,
        catalogue=catalogue,
        subscriptions=subscriptions,
        log_level=links.log_level,
        drain=drain,
        redactor=redactor,
        instructions=INSTRUCTIONS,
    )
    door = Door(methods(answer=answer), catalogue, lambda: colleagues.named(new_session_id()))
    lent = None
    if isinstance(external, ExternalServers) and not colleagues.place.alone:
        by_service = links.by_service
        brought = methods(answer=lent_way(by_service, catalogue, limits, answered))
        lent = Lent(colleagues.tag, external, brought, catalogue, by_service)
    metrics.watch(HUB, running=lambda: drain.running, sessions=lambda: door.open_sessions)
    return door, lent
