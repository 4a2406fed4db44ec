"""The way past the routes: the same gates and answers, and whatever it does not name as before."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from flotilla import CommonSettings, Principal
from flotilla.identity import Caller
from flotilla.metrics import Metrics
from flotilla.serving.app import service_app
from flotilla.serving.gates import CALLER, Admitted, Refused, bearer_token

pytestmark = pytest.mark.anyio

ANN = {"authorization": "Bearer anns", "x-correlation-id": "order-66"}


async def by_route(request: Request) -> Response:
    return PlainTextResponse(f"route {request.path_params}")


async def straight(scope: Scope, receive: Receive, send: Send) -> None:
    assert "router" not in scope
    await PlainTextResponse(f"straight to {scope[CALLER].principal.name}")(scope, receive, send)


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive, send
    raise ZeroDivisionError("an inner secret")


@pytest.fixture
def lives() -> list[str]:
    return []


@pytest.fixture
def app(tmp_path: Path, lives: list[str]) -> ASGIApp:
    async def authenticate(scope: Scope, receive: Receive) -> Admitted | Refused:
        if bearer_token(scope) == "anns":
            return Admitted(Caller(Principal("ann")), receive)
        return Refused(401, "not_allowed", "unknown token", "Send another.")

    async def ready() -> str | None:
        return None

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        lives.append("begun")
        yield
        lives.append("ended")

    return service_app(
        name="shop",
        version="1",
        settings=CommonSettings(data_dir=tmp_path),
        routes=[
            Route("/mcp", by_route, methods=["GET", "POST"]),
            Route("/servers/{service}/mcp", by_route, methods=["POST"]),
            Route("/broken", by_route, methods=["POST"]),
        ],
        ready=ready,
        metrics=Metrics(),
        authenticate=authenticate,
        lifespan=lifespan,
        exact={
            ("POST", "/mcp"): straight,
            ("POST", "/servers/cmdb/mcp"): straight,
            ("POST", "/broken"): broken,
        },
    )


async def ask(app: ASGIApp, method: str, path: str, headers: Any = ANN) -> httpx2.Response:
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        return await http.request(method, path, headers=headers)


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("POST", "/mcp", 200, "straight to ann"),
        ("POST", "/mcp?names=dotted", 200, "straight to ann"),
        ("POST", "/servers/cmdb/mcp", 200, "straight to ann"),
        ("POST", "/servers/other/mcp", 200, "route {'service': 'other'}"),
        ("GET", "/mcp", 200, "route {}"),
        ("HEAD", "/mcp", 200, ""),
        ("DELETE", "/mcp", 405, "Method Not Allowed"),
        ("POST", "/mcp/", 307, ""),
        ("POST", "/nothing", 404, "Not Found"),
        ("POST", "/broken", 500, "Internal Server Error"),
    ],
)
async def test_only_the_very_method_and_path_goes_straight(
    app: ASGIApp, method: str, path: str, status: int, text: str
) -> None:
    answer = await ask(app, method, path)
    assert (answer.status_code, answer.text) == (status, text)
    assert answer.headers["x-correlation-id"] == "order-66"
    if status == 405:
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


async def test_what_goes_straight_passes_the_same_gates(app: ASGIApp) -> None:
    assert (await ask(app, "POST", "/mcp", {})).status_code == 401
    assert (await ask(app, "POST", "/mcp", {**ANN, "host": "evil.example"})).status_code == 421
    assert (await ask(app, "GET", "/health", {})).status_code == 200


def test_the_lifespan_is_that_of_the_routes(app: ASGIApp, lives: list[str]) -> None:
    with TestClient(app, base_url="http://localhost") as http:
        assert lives == ["begun"]
        assert http.post("/mcp", headers=ANN).text == "straight to ann"
    assert lives == ["begun", "ended"]


async def test_what_broke_still_reaches_the_server_that_logs_it(app: ASGIApp) -> None:
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        with pytest.raises(ZeroDivisionError):
            await http.post("/broken", headers=ANN)
