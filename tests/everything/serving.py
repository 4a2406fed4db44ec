"""The server over each transport: an ASGI application, a pair of streams, a port of loopback."""

import contextlib
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import anyio
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.runner import serve_loop
from mcp.server.sse import SseServerTransport
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from .eras import Era, HandshakeOnly, ModernOnly, modern_only_stream
from .events import Events
from .headers import Trimmed
from .world import World, build

Transport = Literal["streamable-http", "sse", "stdio"]
RETRY_MS = 100
"""How long a client is told to wait before it takes up a closed stream again."""
KEEP_ALIVE_S = 75
LOOPBACK = TransportSecuritySettings(
    enable_dns_rebinding_protection=True,
    allowed_hosts=["127.0.0.1:*", "localhost:*", "[::1]:*"],
    allowed_origins=["http://127.0.0.1:*", "http://localhost:*", "http://[::1]:*"],
)


def application(
    world: World | None = None,
    transport: Transport = "streamable-http",
    era: Era = Era.BOTH,
    *,
    json_response: bool = False,
    resumable: bool = True,
) -> ASGIApp:
    """The server as an ASGI application: `/mcp`, or `/sse` with `/messages/`.

    `json_response` answers with JSON alone; without `resumable` the streams carry no event IDs.
    """
    server = build(world)
    if transport == "sse":
        if era is Era.MODERN:
            raise ValueError("HTTP+SSE belongs to the handshake era")
        return _sse(server)
    app = server.streamable_http_app(
        json_response=json_response,
        event_store=Events() if resumable else None,
        retry_interval=RETRY_MS if resumable else None,
        transport_security=LOOPBACK,
    )
    match era:
        case Era.BOTH:
            return Trimmed(app)
        case Era.HANDSHAKE:
            return Trimmed(HandshakeOnly(app))
        case Era.MODERN:
            return Trimmed(ModernOnly(app))


def _sse(server: Server[dict[str, Any]]) -> ASGIApp:
    transport = SseServerTransport("/messages/", security_settings=LOOPBACK)

    async def connect(request: Request) -> Response:
        send = request._send  # pyright: ignore[reportPrivateUsage]
        async with transport.connect_sse(request.scope, request.receive, send) as (reads, writes):
            await serve_loop(server, reads, writes, lifespan_state={})
        return Response()

    return Starlette(
        routes=[
            Route("/sse", connect, methods=["GET"]),
            Mount("/messages/", transport.handle_post_message),
        ]
    )


async def serve_stdio(world: World | None = None, era: Era = Era.BOTH) -> None:
    """Serve the one client at standard input and output until it goes."""
    server = build(world)
    options = server.create_initialization_options()
    async with stdio_server() as (reads, writes):
        match era:
            case Era.BOTH:
                await server.run(reads, writes, options)
            case Era.HANDSHAKE:
                await serve_loop(server, reads, writes, lifespan_state={})
            case Era.MODERN:
                async with modern_only_stream(reads, writes) as modern:
                    await server.run(modern, writes, options)


@dataclass(frozen=True)
class Serving:
    """Where a server is, and the world that a test may look into."""

    url: str
    port: int
    world: World


def _config(app: ASGIApp, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        lifespan="on",
        ws="none",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
    )


def run(app: ASGIApp, port: int) -> None:
    """Serve on a port of loopback until a signal comes."""
    uvicorn.Server(_config(app, port)).run()


@asynccontextmanager
async def serving(
    transport: Transport = "streamable-http",
    era: Era = Era.BOTH,
    port: int = 0,
    **more: Any,
) -> AsyncGenerator[Serving]:
    """Serve in this very process, on a free port unless one is given; `more` as `application`."""
    world = World()
    app = application(world, transport, era, **more)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        found: int = listening.getsockname()[1]
        server = uvicorn.Server(_config(app, found))
        # uvicorn would take the signals of the test's own process.
        server.capture_signals = contextlib.nullcontext  # pyright: ignore[reportAttributeAccessIssue]
        path = "/sse" if transport == "sse" else "/mcp"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listening])
            with anyio.fail_after(20):
                while not server.started:
                    await anyio.sleep(0.005)
            try:
                yield Serving(f"http://127.0.0.1:{found}{path}", found, world)
            finally:
                server.should_exit = True
