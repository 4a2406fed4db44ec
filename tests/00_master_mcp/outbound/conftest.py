"""A hub before a server that wants tokens, and the provider that gives them."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from anyio import to_thread
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from typer.testing import CliRunner

from flotilla.cli.app import app
from tests.backends.openid_provider import OpenIdProvider
from tests.conftest import InProcessFleet, until

from .guarded import Browser, Guarded

NAME = "crm"
TOOL = f"ext_{NAME}_whoami"
ECHO = f"ext_{NAME}_echoToken"


class House:
    """A running hub, its owner, and the server behind it."""

    def __init__(self, fleet: InProcessFleet, http: httpx2.AsyncClient, server: Any) -> None:
        self.fleet = fleet
        self.http = http
        self.server = server
        self.owner = (fleet.common.data_dir / "owner_token").read_text().strip()

    @property
    def url(self) -> str:
        return self.fleet.url

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        response = await self.http.request(
            method,
            f"{self.url}/api{path}",
            json=body,
            headers={"authorization": f"Bearer {self.owner}"},
        )
        return response.json()

    async def token(self, name: str, *roles: str, **more: Any) -> str:
        told = {"name": name, "roles": roles or ("operator",), **more}
        return (await self.api("POST", "/tokens", told))["secret"]

    async def link(self, principal: str) -> str:
        told = await self.api("POST", "/grants/connect", {"server": NAME, "principal": principal})
        return told["url"]

    async def grants(self) -> list[dict[str, Any]]:
        return (await self.api("GET", "/grants"))["grants"]

    async def rows(self, *tools: str) -> list[dict[str, Any]]:
        """The audit's rows about grants, the newest first."""
        told = await self.api("GET", "/audit?kind=grant&limit=200")
        rows = [item["row"] for item in told["items"]]
        return [row for row in rows if not tools or row.get("tool") in tools]

    @asynccontextmanager
    async def client(self, token: str, mode: str = "auto", **more: Any) -> AsyncGenerator[Client]:
        headers = {"authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(
                streamable_http_client(f"{self.url}/mcp", http_client=http), mode=mode, **more
            ) as client,
        ):
            yield client

    async def listed(self, name: str = TOOL) -> None:
        """Return once the server's tools are offered."""

        async def there() -> bool:
            answer = await self.http.get(
                f"{self.url}/mcp/servers/{NAME}", headers=self.fleet.headers
            )
            return answer.json().get("state") == "running"

        del name
        await until(there, 15)

    async def state(self) -> dict[str, Any]:
        answer = await self.http.get(f"{self.url}/mcp/servers/{NAME}", headers=self.fleet.headers)
        return answer.json()

    async def command(self, *words: str) -> Any:
        env = {
            "FLOTILLA_HUB_URL": self.url,
            "FLOTILLA_OWNER_TOKEN_FILE": str(self.fleet.common.data_dir / "owner_token"),
        }
        invoke = CliRunner().invoke
        return await to_thread.run_sync(lambda: invoke(app, ["grants", *words], env=env))


def said(result: Any) -> str:
    return "".join(getattr(block, "text", "") for block in result.content)


def error_of(result: Any) -> dict[str, Any]:
    assert result.is_error, result
    return json.loads(said(result))["error"]


@pytest.fixture
async def provider() -> AsyncGenerator[OpenIdProvider]:
    async with OpenIdProvider().running() as running:
        yield running


@pytest.fixture
async def server(provider: OpenIdProvider) -> AsyncGenerator[Guarded]:
    guarded = Guarded()
    guarded.provider = provider
    async with guarded.running():
        yield guarded


@pytest.fixture
async def browser() -> AsyncGenerator[Browser]:
    async with Browser() as opened:
        yield opened


OpenHouse = Callable[..., Any]


@pytest.fixture
def open_house(start_fleet: Any) -> OpenHouse:
    """Open a hub before a server with these `credentials`; takes what `start_fleet` takes."""

    @asynccontextmanager
    async def opened(
        server: Any,
        credentials: dict[str, Any],
        *spokes: Any,
        entry: dict[str, Any] | None = None,
        **more: Any,
    ) -> AsyncGenerator[House]:
        told = {"type": "http", "url": server.url, "credentials": credentials, **(entry or {})}
        async with (
            start_fleet(list(spokes), external={NAME: told}, **more) as fleet,
            httpx2.AsyncClient(timeout=30) as http,
        ):
            yield House(fleet, http, server)

    return opened


@pytest.fixture
async def house(open_house: OpenHouse, server: Guarded) -> AsyncGenerator[House]:
    """A hub whose people grant it the use of the server."""
    async with open_house(server, {"type": "oauth"}) as opened:
        await opened.listed()
        yield opened
