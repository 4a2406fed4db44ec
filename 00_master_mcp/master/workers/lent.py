"""The external servers of this host for other processes of the hub.

Programs run once a host, whatever the number of workers: the first worker, the lead, runs them. To
the others they are servers of 2026-07-28 behind this door. All that is decided of a call (policy,
limits, circuit, cache, counts) the process decides that the client talks to: here it is only
brought to its server.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from flotilla import FlotillaError, Unavailable
from flotilla.serving.headers import headers_of
from master import rpc
from master.call import Call, Stage
from master.catalogue import Catalogue, View
from master.external.servers import ExternalServers
from master.north.exchange import Exchange
from master.north.methods import Methods
from master.north.modern import Modern
from master.offer import Kind
from master.result import Result
from master.stages.resolve import Limits, resolved
from master.stages.sign_in import Credentials, signed_in
from master.upstream.link import Link
from master.upstream.links import Clients
from master.views import VIEW
from master.workers.colleagues import LENT
from master.workers.loans import as_refusal

HOLD_S = 20.0
"""How long a question for the list is held while there is nothing new."""


def lent_way(
    links: Mapping[str, Link],
    catalogue: Catalogue,
    limits: Limits,
    answered: Callable[[Stage], Stage],
    credentials: Credentials,
) -> Stage:
    """The way of a lent call: to its server, and nothing else. What fails is told as it is."""

    async def straight(call: Call) -> Result:
        service = call.resolved().service
        if (link := links.get(service)) is None:
            raise Unavailable(f"{service} has just been taken out of the fleet")
        return await link.send(call)

    # Whose credentials a server wants is known where its entry is.
    inner = resolved(signed_in(answered(straight), credentials), catalogue, limits)

    async def stage(call: Call) -> Result:
        try:
            return await inner(call)
        except FlotillaError as error:
            raise as_refusal(error, call.correlation_id) from None

    return stage


class Lent:
    """The list of what is lent, and each server's door. `tag` is this process's."""

    def __init__(
        self,
        tag: str,
        servers: ExternalServers,
        methods: Methods,
        catalogue: Catalogue,
        links: Mapping[str, Link],
    ) -> None:
        self._tag = tag
        self._servers = servers
        self._door = Modern(methods, catalogue)
        self._links = links
        self._stopping = False

    def routes(self) -> list[BaseRoute]:
        """Of them only hubs are answered, for which `Colleagues.authenticating` sees."""
        return [
            Route(f"{LENT}/list", self._list, methods=["GET"]),
            Route(f"{LENT}/{{name}}/mcp", _Asgi(self), methods=["POST"]),
        ]

    def changed(self, service: str, kinds: Collection[Kind]) -> None:
        self._door.changed(service, kinds)

    def updated(self, service: str, uri: str, params: rpc.Texts) -> None:
        """The listeners of every door hear of it by their subscriptions."""

    def said(self, service: str, method: str, params: rpc.Texts) -> None:
        """What a server says to nobody in particular stays with the clients of this process."""

    def stop(self) -> None:
        """End what would keep a stopping server waiting."""
        self._stopping = True
        self._servers.wake()
        self._door.stop()

    async def serve(self, exchange: Exchange) -> None:
        name: str = exchange.scope["path_params"]["name"]
        link = self._links.get(name)
        if link is None or name not in self._servers.linked:
            gone = rpc.RpcError(rpc.INVALID_REQUEST, "there is no such server here", status=404)
            await exchange.refuse(gone)
            return
        is_first = headers_of(exchange.scope).get("mcp-method") == "server/discover"
        if is_first and not link.connected:
            # Whoever borrows it shall know that it is away, and why.
            away = rpc.RpcError(rpc.INTERNAL_ERROR, link.reason or "it is away", status=503)
            await exchange.refuse(away)
            return
        exchange.scope[VIEW] = View("dotted", name)
        await self._door.post(exchange)

    async def _list(self, request: Request) -> Response:
        """The servers, once they are others than the caller knows; bounded."""
        known = request.query_params.get("known")
        try:
            async with asyncio.timeout(HOLD_S):
                while known == self._version() and not self._stopping:
                    await self._servers.changed()
        except TimeoutError:
            pass  # nothing is new, which is an answer
        loans = [
            {
                "name": name,
                "approval": entry.approval,
                "timeout_s": entry.timeout_s,
                "long_timeout_s": entry.long_timeout_s,
            }
            for name, entry in self._servers.linked.items()
        ]
        return JSONResponse({"known": self._version(), "servers": loans})

    def _version(self) -> str:
        return f"{self._tag}.{self._servers.version}"


class _Asgi:
    """An ASGI endpoint: Starlette would take a bare coroutine function for a request handler."""

    def __init__(self, lent: Lent) -> None:
        self._lent = lent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._lent.serve(Exchange(scope, receive, send))


class Both:
    """Tells two doors what the links hear."""

    def __init__(self, first: Clients, second: Clients) -> None:
        self._all = (first, second)

    def changed(self, service: str, kinds: Collection[Kind]) -> None:
        for each in self._all:
            each.changed(service, kinds)

    def updated(self, service: str, uri: str, params: rpc.Texts) -> None:
        for each in self._all:
            each.updated(service, uri, params)

    def said(self, service: str, method: str, params: rpc.Texts) -> None:
        for each in self._all:
            each.said(service, method, params)
