"""MCP in both eras and over HTTP+SSE, for whoever lists and calls tools behind it.

The only module that knows the SDK's server. The hub has a door of its own, which is faster.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import mcp_types as types
from mcp.server.caching import CacheHint
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from flotilla import correlation
from flotilla.context import Report
from flotilla.logs import bound

MAX_SESSIONS = 2000
"""A handshake session costs about 36 KB until it ends."""
SESSION_IDLE_S = 30 * 60
LIST_TTL_MS = 30_000
"""How long a modern client may keep a list without asking; changes are told at once anyway."""

Ctx = ServerRequestContext[Any, Request]


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A `tools/call` as it came in, whatever the transport and era."""

    name: str
    arguments: Mapping[str, Any]
    meta: Mapping[str, Any]
    request: Request
    correlation_id: str
    traceparent: str | None
    report: Report


class Backend(Protocol):
    """What stands behind an endpoint. Results are MCP's JSON; failures are results too."""

    async def list_tools(self, request: Request) -> Sequence[Mapping[str, Any]]: ...

    async def call_tool(self, call: Incoming) -> dict[str, Any]: ...

    def input_schema(self, name: str) -> Mapping[str, Any] | None: ...


class Endpoint:
    """The routes `/mcp`, `/sse` and `/messages/`.

    `running` must be entered before the first request is served.
    """

    def __init__(self, *, name: str, version: str, instructions: str, backend: Backend) -> None:
        self._backend = backend
        self._listen = ListenHandler(InMemorySubscriptionBus())
        self._stopping = False
        self._sessions: set[int] = set()
        self._server: Server[Any] = Server(
            name,
            version=version,
            instructions=instructions,
            cache_hints={"tools/list": CacheHint(ttl_ms=LIST_TTL_MS, scope="private")},
            get_tool_input_schema=backend.input_schema,
            on_list_tools=self._on_list_tools,
            on_subscriptions_listen=self._on_listen,
        )
        self._server.add_request_handler(
            "tools/call", types.CallToolRequestParams, self._on_call_tool
        )
        self._server.add_notification_handler(
            "notifications/initialized", types.NotificationParams, self._on_initialized
        )
        self._sse = SseServerTransport("/messages/")
        self._http = StreamableHTTPSessionManager(
            self._server, session_idle_timeout=SESSION_IDLE_S, max_sessions=MAX_SESSIONS
        )

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with self._http.run():
            yield

    def routes(self) -> list[BaseRoute]:
        """The three routes of MCP."""

        async def connect(request: Request) -> Response:
            streams = self._sse.connect_sse(request.scope, request.receive, request._send)  # pyright: ignore[reportPrivateUsage]
            async with streams as (incoming, outgoing):
                options = self._server.create_initialization_options()
                await self._server.run(incoming, outgoing, options)
            return _Answered()

        return [
            Route("/mcp", endpoint=_Asgi(self._http.handle_request)),
            Route("/sse", endpoint=connect, methods=["GET"]),
            Mount("/messages/", app=self._sse.handle_post_message),
        ]

    @property
    def open_sessions(self) -> int:
        """How many handshake clients have a session now."""
        return len(self._sessions)

    def stop_streams(self) -> None:
        """End the listen streams, which would keep a stopping server waiting, and open no more."""
        self._stopping = True
        self._listen.close()

    async def _on_listen(
        self, ctx: Ctx, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        if self._stopping:
            raise MCPError(types.INTERNAL_ERROR, "the service is stopping")
        return await self._listen(ctx, params)

    async def _on_list_tools(
        self, ctx: Ctx, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        del params
        listed = await self._backend.list_tools(_request(ctx))
        return types.ListToolsResult.model_validate({"tools": list(listed)})

    async def _on_call_tool(self, ctx: Ctx, params: types.CallToolRequestParams) -> dict[str, Any]:
        request = _request(ctx)
        raw: Mapping[str, Any] = (ctx.params or {}).get("_meta") or {}
        assigned = str(request.scope[correlation.SCOPE])
        correlation_id, trace = correlation.of_call(assigned, request.headers, raw)

        async def report(progress: float, total: float | None, message: str | None) -> None:
            await ctx.session.report_progress(progress, total, message)

        with bound(correlation_id=correlation_id):
            result = await self._backend.call_tool(
                Incoming(
                    name=params.name,
                    arguments=params.arguments or {},
                    meta=raw,
                    request=request,
                    correlation_id=correlation_id,
                    traceparent=trace,
                    report=report,
                )
            )
        # Required since 2026-07-28; towards a handshake client the SDK takes it out again.
        return {"resultType": "complete", **result}

    async def _on_initialized(self, ctx: Ctx, params: types.NotificationParams) -> None:
        del params
        # The SDK offers no list of its open sessions; the connection is what lives as long as one.
        connection = ctx.session._connection  # pyright: ignore[reportPrivateUsage]
        self._sessions.add(id(connection))
        connection.exit_stack.callback(self._sessions.discard, id(connection))


class _Asgi:
    """An ASGI callable as a route's endpoint: Starlette would take a bound method for a handler."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Any]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class _Answered(Response):
    """Stands for a response that the SSE transport has already sent."""

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        return None


def _request(ctx: Ctx) -> Request:
    assert ctx.request is not None, "every transport of this endpoint is HTTP"
    return ctx.request
