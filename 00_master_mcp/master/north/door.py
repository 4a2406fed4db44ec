"""The hub's routes for clients: /mcp, /sse and /messages/ below each prefix of a view."""

from collections.abc import Awaitable, Callable

from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from master.catalogue import Catalogue
from master.north.exchange import VERSION, Exchange
from master.north.handshake import Handshake
from master.north.methods import HANDSHAKE_VERSIONS, Methods
from master.north.modern import Modern
from master.north.sessions import Sessions
from master.views import PREFIXES


class Door:
    """Every way in; the era is what a client's protocol header says."""

    def __init__(self, methods: Methods, catalogue: Catalogue) -> None:
        self._sessions = Sessions()
        self._modern = Modern(methods, catalogue)
        self._handshake = Handshake(methods, self._sessions)

    @property
    def open_sessions(self) -> int:
        return len(self._sessions)

    def routes(self) -> list[BaseRoute]:
        return [
            Route(f"{prefix}{path}", endpoint=_Asgi(serve), methods=methods)
            for prefix in PREFIXES
            for path, serve, methods in (
                ("/mcp", self._mcp, ["GET", "POST", "DELETE"]),
                ("/sse", self._handshake.sse, ["GET"]),
                ("/messages/", self._handshake.messages, ["POST"]),
            )
        ]

    async def tools_changed(self) -> None:
        """Tell every listening client, of either era, that the list of tools is another one."""
        await self._modern.tools_changed()
        self._handshake.tools_changed()

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
