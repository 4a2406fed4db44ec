"""The hub's routes for clients: the paths of MCP, of HTTP+SSE and of its messages in each view."""

from collections.abc import Awaitable, Callable, Collection, Iterable

from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from master import rpc
from master.catalogue import Catalogue
from master.north.exchange import VERSION, Exchange
from master.north.handshake import Handshake
from master.north.introduction import HANDSHAKE_VERSIONS
from master.north.methods import Methods
from master.north.modern import Modern
from master.north.sessions import Sessions, new_session_id
from master.offer import Kind
from master.views import MCP_PATHS, MESSAGES_PATHS, SSE_PATHS


class Door:
    """Every way in; the era is what a client's protocol header says."""

    def __init__(
        self,
        methods: Methods,
        catalogue: Catalogue,
        new_id: Callable[[], str] = new_session_id,
    ) -> None:
        """`new_id` makes the IDs of sessions."""
        self._methods = methods
        self._catalogue = catalogue
        self._sessions = Sessions(ended=methods.subscriptions.drop, new_id=new_id)
        self._modern = Modern(methods, catalogue)
        self._handshake = Handshake(methods, self._sessions, catalogue)

    @property
    def open_sessions(self) -> int:
        return len(self._sessions)

    def routes(self) -> list[BaseRoute]:
        return [
            Route(path, endpoint=_Asgi(serve), methods=methods)
            for paths, serve, methods in (
                (MCP_PATHS, self._mcp, ["GET", "POST", "DELETE"]),
                (SSE_PATHS, self._handshake.sse, ["GET"]),
                (MESSAGES_PATHS, self._handshake.messages, ["POST"]),
            )
            for path in paths
        ]

    def exact(self, services: Iterable[str]) -> dict[tuple[str, str], ASGIApp]:
        """What is called most, by method and whole path: no router needs to look for it."""
        paths = ["/mcp", "/dotted/mcp", *(f"/servers/{service}/mcp" for service in services)]
        paths += [f"/mcp/p/{profile}" for profile in self._catalogue.profiles]
        return {("POST", path): _Asgi(self._mcp) for path in paths}

    def changed(self, service: str, kinds: Collection[Kind]) -> None:
        """Tell every listening client, of either era, that these lists of a service changed."""
        self._modern.changed(service, kinds)
        self._handshake.changed(service, kinds)

    def updated(self, service: str, uri: str, params: rpc.Texts) -> None:
        """Tell who subscribed to a resource that it has changed."""
        self._methods.subscriptions.updated(service, uri, params)

    def said(self, service: str, method: str, params: rpc.Texts) -> None:
        """Pass on a notification that belongs to no request."""
        self._handshake.said(service, method, params)

    def stop_streams(self) -> None:
        """End what would keep a stopping server waiting."""
        self._modern.stop()
        self._handshake.stop()

    async def _mcp(self, exchange: Exchange) -> None:
        method = exchange.scope["method"]
        version = exchange.headers.get(VERSION)
        if method == "POST" and version is not None and version not in HANDSHAKE_VERSIONS:
            await self._modern.post(exchange)
        elif method == "POST":
            await self._handshake.post(exchange)
        elif method == "DELETE":
            await self._handshake.delete(exchange)
        elif method == "GET":
            await self._handshake.stream(exchange)
        else:
            await exchange.answer(405, headers={"allow": "GET, POST, DELETE"})


class _Asgi:
    """An ASGI endpoint: Starlette would take a bare coroutine function for a request handler."""

    def __init__(self, serve: Callable[[Exchange], Awaitable[None]]) -> None:
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._serve(Exchange(scope, receive, send))
