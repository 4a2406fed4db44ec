"""A hub with tokens and with an OpenID provider, and the databases that tokens are kept in."""

import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from flotilla import Context, Model, Spoke, reads
from flotilla.database.database import Database
from master.database.opened import open_database, place_of
from tests.backends.openid_provider import OpenIdProvider
from tests.conftest import InProcessFleet, plain_http

OpenDatabase = Callable[[], Database]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
async def make_database(request: pytest.FixtureRequest, tmp_path: Path) -> OpenDatabase:
    """Make the database of one more hub that shares the same tables; it is not open yet."""
    url = None
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        name = f"hub_{secrets.token_hex(6)}"
        connection = await asyncpg.connect(server.url)
        try:
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        finally:
            await connection.close()
        url = server.url.removesuffix("/postgres") + f"/{name}"
    return lambda: open_database(place_of(url, tmp_path / "hub"))


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """That of a hub alone; it is not open yet."""
    return open_database(place_of(None, tmp_path / "hub"))


@pytest.fixture
async def provider() -> AsyncGenerator[OpenIdProvider]:
    async with OpenIdProvider().running() as running:
        yield running


class Who(Model):
    name: str
    roles: tuple[str, ...]


async def tell(*, context: Context) -> Who:
    """Tell who asks."""
    return Who(name=context.principal.name, roles=context.principal.roles)


def mirror() -> Spoke:
    """A spoke that says who it is called for."""
    tools = (reads("test.mirror.tell", tell),)
    return Spoke(
        name="mirror", version="1", instructions="", namespaces=("test.mirror",), tools=tools
    )


class Hub:
    """A running hub as its owner and its clients use it over HTTP."""

    def __init__(self, fleet: InProcessFleet, http: httpx2.AsyncClient) -> None:
        self.fleet = fleet
        self.http = http
        self.owner = (fleet.common.data_dir / "owner_token").read_text().strip()
        self.admin = fleet.token_file.read_text().strip()

    @property
    def url(self) -> str:
        return self.fleet.url

    @property
    def audience(self) -> str:
        """The hub's `/mcp`, as clients of this machine call it."""
        return f"{self.url}/mcp"

    async def api(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        """What `/api` answers the owner, or another; its status is asserted to be none of 5xx."""
        response = await self.http.request(
            method, f"{self.url}/api{path}", json=body, headers=bearing(token or self.owner)
        )
        assert response.status_code < 500, response.text
        return response.json()

    async def make(self, name: str, *roles: str, **more: Any) -> dict[str, Any]:
        """A new token: `secret` and what is told of it."""
        made = await self.api("POST", "/tokens", {"name": name, "roles": roles, **more})
        assert "secret" in made, made
        return made

    async def revoke(self, which: str) -> Any:
        return await self.api("DELETE", f"/tokens/{which}")

    async def ask(
        self, token: str | None, path: str = "/mcp", headers: Any = None
    ) -> httpx2.Response:
        """One stateless call of the tool that tells who asks."""
        name = "test.mirror.tell"
        body = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {
                "name": name,
                "arguments": {},
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
                    "io.modelcontextprotocol/clientCapabilities": {},
                },
            },
        }
        marks = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": name,
            **(bearing(token) if token is not None else {}),
            **(headers or {}),
        }
        return await self.http.post(f"{self.url}{path}", json=body, headers=marks)

    async def who(self, token: str, path: str = "/mcp") -> dict[str, Any]:
        """Who the hub takes the bearer of a token for, as a spoke hears it."""
        response = await self.ask(token, path)
        assert response.status_code == 200, response.text
        return response.json()["result"]["structuredContent"]

    @asynccontextmanager
    async def client(
        self, token: str, path: str = "/mcp", mode: str = "auto"
    ) -> AsyncGenerator[Client]:
        async with (
            httpx2.AsyncClient(headers=bearing(token), timeout=60, verify=plain_http()) as http,
            Client(streamable_http_client(self.url + path, http_client=http), mode=mode) as client,
        ):
            yield client


def bearing(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


OpenHub = Callable[..., Any]


@pytest.fixture
def open_hub(start_fleet: Any) -> OpenHub:
    """Open a hub before the mirror spoke; takes what `start_fleet` takes."""

    @asynccontextmanager
    async def opened(**more: Any) -> AsyncGenerator[Hub]:
        async with (
            start_fleet([mirror()], **more) as fleet,
            httpx2.AsyncClient(timeout=30, verify=plain_http()) as http,
        ):
            yield Hub(fleet, http)

    return opened
