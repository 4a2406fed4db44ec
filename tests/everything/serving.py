"""The server over each transport: an ASGI application, a pair of streams, a port of loopback."""

import contextlib
import socket
from collections.abc import AsyncGenerator, Generator
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
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from .eras import Era, HandshakeOnly, ModernOnly, modern_only_stream
from .events import Events
from .hanging_up import HangingUp
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


class _SseStream:
    """The GET of HTTP+SSE: one connection of the handshake era for as long as it is open."""

    def __init__(self, server: Server[dict[str, Any]], transport: SseServerTransport) -> None:
        self._server = server
        self._transport = transport

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._transport.connect_sse(scope, receive, send) as (reads, writes):
            await serve_loop(self._server, reads, writes, lifespan_state={})


def _sse(server: Server[dict[str, Any]]) -> ASGIApp:
    transport = SseServerTransport("/messages/", security_settings=LOOPBACK)
    return Starlette(
        routes=[
            Route("/sse", _SseStream(server, transport), methods=["GET"]),
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


class _Listening(uvicorn.Server):
    """uvicorn, which tells the streams that it stops before it waits for them."""

    def __init__(self, app: ASGIApp, port: int, *, signals: bool) -> None:
        self._app = HangingUp(app)
        self._signals = signals
        super().__init__(
            uvicorn.Config(
                self._app,
                host="127.0.0.1",
                port=port,
                log_config=None,
                access_log=False,
                lifespan="on",
                ws="none",
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=2,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        # In a test's process the signals are the test's own.
        with super().capture_signals() if self._signals else contextlib.nullcontext():
            yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.close()
        await super().shutdown(sockets)


def run(app: ASGIApp, port: int) -> None:
    """Serve on a port of loopback until a signal comes."""
    _Listening(app, port, signals=True).run()


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
        server = _Listening(app, found, signals=False)
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
