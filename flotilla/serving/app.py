"""The application of a service: the gates, the MCP routes, and health, readiness and metrics."""

import hmac
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType

from starlette.applications import Starlette
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from flotilla.metrics import Metrics
from flotilla.serving.gates import (
    Authenticate,
    authenticated,
    bearer_token,
    correlated,
    host_checked,
    is_loopback,
)
from flotilla.settings import CommonSettings

OPEN_PATHS = frozenset({"/health", "/ready", "/metrics"})
"""Served without a principal; /metrics judges its callers itself, a scraper is none."""

Ready = Callable[[], Awaitable[str | None]]
Exact = Mapping[tuple[str, str], ASGIApp]
"""Applications by method and whole path: `{("POST", "/mcp"): app}`."""


def service_app(
    *,
    name: str,
    version: str,
    settings: CommonSettings,
    routes: Sequence[BaseRoute],
    ready: Ready,
    metrics: Metrics,
    authenticate: Authenticate,
    lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]],
    own_hosts: Collection[str] = (),
    gate: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    exact: Exact = MappingProxyType({}),
    open_paths: Collection[str] = (),
) -> ASGIApp:
    """What every service answers: `routes` for authenticated callers, and three paths beside.

    `/health` says that the process lives, `/ready` whether it can serve and why not, `/metrics`
    answers the scrape token or loopback. `gate` stands around the routes, behind authentication,
    which `open_paths` need no more than these three.

    `exact` is a way past the routes for what is asked most, behind the same gates. Name the same
    paths in `routes` too: those answer their other methods. Such an application gets the bare
    scope, without Starlette's `app` and `path_params`, and turns its errors into answers itself.
    """

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "healthy", "service": name, "version": version})

    async def readiness(_: Request) -> Response:
        reason = await ready()
        metrics.health(name, reason is None)
        if reason is None:
            return JSONResponse({"status": "ready", "service": name})
        return JSONResponse({"status": "not_ready", "service": name, "reason": reason}, 503)

    async def exposition(request: Request) -> Response:
        if not _may_scrape(request.scope, settings.metrics_token):
            return JSONResponse(
                {"error": {"code": "not_allowed", "message": "/metrics needs the scrape token"}},
                401,
                {"www-authenticate": 'Bearer realm="flotilla"'},
            )
        text, content_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type})

    router = Starlette(
        routes=[
            Route("/health", health, methods=["GET"]),
            Route("/ready", readiness, methods=["GET"]),
            Route("/metrics", exposition, methods=["GET"]),
            *routes,
        ],
        lifespan=lifespan,
    )
    is_open = OPEN_PATHS | frozenset(open_paths)
    gated = authenticated(gate(_straight(router, exact)), authenticate, is_open)
    hosts = {*settings.allowed_hosts, *own_hosts}
    return correlated(host_checked(gated, hosts, settings.allowed_origins), name)


def _straight(app: ASGIApp, exact: Exact) -> ASGIApp:
    """Serve what `exact` names without asking any route, and all else by `app`."""
    # What breaks is answered by 500 as Starlette does: a server's own 500 would pass no gate.
    served = {key: ServerErrorMiddleware(each) for key, each in exact.items()}

    async def gate(scope: Scope, receive: Receive, send: Send) -> None:
        # Only HTTP has a method.
        found = served.get((scope.get("method", ""), scope.get("path", "")), app)
        await found(scope, receive, send)

    return gate if served else app


def _may_scrape(scope: Scope, token: str | None) -> bool:
    if token is None:
        return is_loopback(scope)
    given = bearer_token(scope)
    return given is not None and hmac.compare_digest(given.encode(), token.encode())
