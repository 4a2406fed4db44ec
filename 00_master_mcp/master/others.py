"""Other people's servers: run by one process of the hub, lent to its others."""

import os

from starlette.routing import BaseRoute

from master.external.api import ServersApi
from master.external.config import DEFAULT_FILE, load_config
from master.external.den import Den
from master.external.guard import Guard
from master.external.runner.client import RunnerElsewhere
from master.external.runner.messages import AUDIENCE as RUNNER
from master.external.servers import ExternalServers
from master.external.store import ServerStore
from master.parts import Parts
from master.upstream.authority import Signed
from master.workers.borrowed import BorrowedServers

Others = ExternalServers | BorrowedServers


def others(parts: Parts) -> Others:
    """Those of `mcp.json` and what was changed since, or another process's."""
    if not parts.colleagues.place.is_lead:
        return BorrowedServers(parts.colleagues, parts.catalogue, parts.links)
    settings, common = parts.settings, parts.common
    file = settings.mcp_config or common.config_dir / DEFAULT_FILE
    services, house = tuple(parts.fleet.services), common.config_dir.resolve().parent
    news, runner = parts.steadiness.state.news, settings.external_runner
    return ExternalServers(
        store=ServerStore(parts.documents, load_config(file, services), services, news),
        guard=Guard(parts.documents, news),
        den=Den(
            common.data_dir / "external",
            hidden=(common.data_dir, common.config_dir, house / "secrets", house / ".env"),
            closed=(common.data_dir,),
            env=os.environ,
            secrets=parts.secrets,
        ),
        catalogue=parts.catalogue,
        links=parts.links,
        pool=parts.pool,
        news=news,
        outbound=parts.outbound,
        starter=RunnerElsewhere(runner, Signed(RUNNER, parts.signer)) if runner else None,
    )


def managing(external: Others) -> list[BaseRoute]:
    """The owner manages them where they run; other processes pass such requests on."""
    return ServersApi(external).routes() if isinstance(external, ExternalServers) else []
