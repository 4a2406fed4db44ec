"""The hub: the only door of the fleet."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

import structlog
from starlette.applications import Starlette
from starlette.types import ASGIApp

from flotilla import CommonSettings, __version__
from flotilla.fleet import HUB, FleetConfig
from flotilla.serving.app import service_app
from flotilla.serving.service import Service
from master.desk import desk
from master.doors import doors
from master.external.api import PATH as SERVERS_PATH
from master.keys import Keys
from master.lifetime import not_ready, running
from master.north.arriving import arriving
from master.others import others
from master.outbound import pages
from master.owner import PATH as OWNER_PATH
from master.parts import Parts
from master.policy.opened import open_policy
from master.principals import TokenBook, clients_only
from master.principals.settings import OpenIdSettings
from master.settings import Settings
from master.views import with_view
from master.workers.lent import Both
from master.workers.place import ALONE, Place
from master.workers.relay import Relay

log = structlog.get_logger(__name__)


def check(
    settings: Settings, common: CommonSettings, fleet: FleetConfig, env: Mapping[str, str]
) -> None:
    """Misconfigured where a hub would not start by its policy, or by what `env` sets beside."""
    OpenIdSettings.from_env(env)
    open_policy(common.config_dir, fleet, settings.timezone)


def build(
    settings: Settings,
    common: CommonSettings | None = None,
    fleet: FleetConfig | None = None,
    place: Place = ALONE,
    book: TokenBook | None = None,
    openid: OpenIdSettings | None = None,
) -> Service:
    """Wire the hub by hand; Misconfigured when its keys, tokens or configuration are wrong.

    `book` are its first principals, by default those whose tokens are in the data folder; `openid`
    is the provider of others, by default that of the environment.
    """
    common = common or CommonSettings.from_env()
    fleet = fleet or FleetConfig.load(common.config_dir / "services.yaml")
    if settings.approvals == "off":
        log.warning("APPROVALS_ARE_OFF", meaning="every destructive call runs unasked")
    parts = Parts.of(settings, common, fleet, place, book, openid)
    external = others(parts)
    door, lent = doors(parts, external)
    keys = Keys(parts.ring, parts.audit)
    colleagues, steadiness = parts.colleagues, parts.steadiness

    async def ready() -> str | None:
        return not_ready(parts)

    def lifespan(_: Starlette) -> AbstractAsyncContextManager[None]:
        return running(parts, external, Both(door, lent) if lent else door, keys)

    def stop_streams() -> None:
        door.stop_streams()
        if lent is not None:
            lent.stop()

    def gate(app: ASGIApp) -> ASGIApp:
        viewed = with_view(app, parts.catalogue, parts.profiles)
        return arriving(Relay(colleagues).around(viewed), steadiness.load, steadiness.meters)

    clients = clients_only(parts.principals, (SERVERS_PATH, OWNER_PATH), parts.resource.challenge)
    app = service_app(
        name=HUB,
        version=__version__,
        settings=common,
        routes=[
            *desk(parts, external, keys),
            *door.routes(),
            *(lent.routes() if lent else ()),
        ],
        ready=ready,
        metrics=parts.metrics,
        authenticate=colleagues.authenticating(clients),
        lifespan=lifespan,
        own_hosts=("master", *place.names),
        exact=door.exact(parts.catalogue),
        gate=gate,
        open_paths={*parts.resource.paths, *pages.OPEN_PATHS},
    )
    return Service(
        name=HUB,
        app=app,
        drain=parts.drain,
        stop_streams=stop_streams,
        bind=common.bind,
        port=fleet.port(HUB),
        grace_s=common.shutdown_grace_s,
        private=None if place.private is None else place.private.dup(),
    )
