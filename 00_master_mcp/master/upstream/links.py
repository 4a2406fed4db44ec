"""All the hub's links: what they hear goes into the catalogue, what changed is told on."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import structlog

from flotilla.identity import Signer
from flotilla.metrics import Metrics
from master.catalogue import Catalogue
from master.upstream.client import ConnectionPool, ServiceClient
from master.upstream.link import Link

log = structlog.get_logger(__name__)

Tell = Callable[[], Coroutine[Any, Any, None]]


class Links:
    """One link to each service in `urls`, all over one pool of connections."""

    def __init__(
        self, urls: Mapping[str, str], *, signer: Signer, catalogue: Catalogue, metrics: Metrics
    ) -> None:
        self._catalogue = catalogue
        self._metrics = metrics
        self._pool = ConnectionPool()
        self._changed = asyncio.Event()
        self.by_service = {
            service: self._link(ServiceClient(service, url, signer, self._pool))
            for service, url in urls.items()
        }

    def waiting(self) -> list[str]:
        """The services that have not answered once yet."""
        return [name for name, link in self.by_service.items() if not link.answered_once]

    @asynccontextmanager
    async def running(self, tell: Tell) -> AsyncGenerator[None]:
        """Keep the links up within, and `tell` clients whenever the list of tools has changed."""
        async with self._pool.running(), anyio.create_task_group() as group:
            group.start_soon(self._spread, tell)
            for link in self.by_service.values():
                group.start_soon(link.run)
            yield
            group.cancel_scope.cancel()

    async def _spread(self, tell: Tell) -> None:
        """Once for many changes that come together."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await tell()

    def _link(self, client: ServiceClient) -> Link:
        service = client.service
        self._metrics.health(service, healthy=False)

        def on_tools(tools: list[Mapping[str, Any]]) -> None:
            changed, dropped = self._catalogue.offer(service, tools)
            self._metrics.health(service, healthy=True)
            for each in dropped:
                log.warning("tool_dropped", upstream=service, tool=each.name, reason=each.reason)
            if changed:
                self._changed.set()

        def on_away() -> None:
            self._metrics.health(service, healthy=False)
            if self._catalogue.mark_stale(service):
                self._changed.set()

        return Link(client, on_tools=on_tools, on_away=on_away)
