"""A hub before a server that wants tokens, and the provider that gives them."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx2
import pytest
from anyio import to_thread
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from typer.testing import CliRunner

from flotilla.cli.app import app
from tests.backends.openid_provider import OpenIdProvider
from tests.conftest import InProcessFleet, plain_http, until

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
        self.since = 0
        """The audit's rows up to this number are of tests before."""
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

    async def forget(self) -> None:
        """Be as if nobody had granted anything."""
        for each in await self.grants():
            of = {"server": each["server"], "principal": each["principal"]}
            await self.api("POST", "/grants/revoke", of)
        newest = (await self.api("GET", "/audit?limit=1"))["items"]
        self.since = newest[0]["number"] if newest else 0
        if self.server.provider is not None:
            self.server.provider.asked.clear()
            self.server.provider.revoked.clear()
            self.server.heard.clear()

    async def grants(self) -> list[dict[str, Any]]:
        return (await self.api("GET", "/grants"))["grants"]

    async def rows(self, *tools: str) -> list[dict[str, Any]]:
        """The audit's rows about grants, the newest first."""
        told = await self.api("GET", "/audit?kind=grant&limit=200")
        rows = [item["row"] for item in told["items"] if item["number"] > self.since]
        return [row for row in rows if not tools or row.get("tool") in tools]

    @asynccontextmanager
    async def client(self, token: str, mode: str = "auto", **more: Any) -> AsyncGenerator[Client]:
        headers = {"authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60, verify=plain_http()) as http,
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


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    # The event loop of the hub's own process.
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="module")
async def provider(anyio_backend: Any) -> AsyncGenerator[OpenIdProvider]:
    async with OpenIdProvider().running() as running:
        yield running


@pytest.fixture(scope="module")
async def server(provider: OpenIdProvider) -> AsyncGenerator[Guarded]:
    guarded = Guarded()
    guarded.provider = provider
    async with guarded.running():
        yield guarded


@pytest.fixture(autouse=True)
def anew(provider: OpenIdProvider, server: Guarded) -> None:
    """What one test did to the provider and the server is not there in the next."""
    provider.person, provider.metadata, provider.down = "ada", {}, False
    provider.asked.clear()
    provider.revoked.clear()
    server.metadata, server.open_lists, server.admits = {}, True, server.by_provider
    server.heard.clear()
    server.calls.clear()


@pytest.fixture
async def browser() -> AsyncGenerator[Browser]:
    async with Browser() as opened:
        yield opened


OpenHouse = Callable[..., Any]


@asynccontextmanager
async def house_of(
    start: Any,
    server: Any,
    credentials: dict[str, Any],
    *spokes: Any,
    entry: dict[str, Any] | None = None,
    **more: Any,
) -> AsyncGenerator[House]:
    told = {"type": "http", "url": server.url, "credentials": credentials, **(entry or {})}
    async with (
        start(list(spokes), external={NAME: told}, **more) as fleet,
        httpx2.AsyncClient(timeout=30, verify=plain_http()) as http,
    ):
        yield House(fleet, http, server)


@pytest.fixture
def open_house(start_fleet: Any) -> OpenHouse:
    """Open a hub before a server with these `credentials`; takes what `start_fleet` takes."""
    return partial(house_of, start_fleet)


@pytest.fixture(scope="module")
async def module_house(
    server: Guarded, start_fleet_in: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[House]:
    start = partial(start_fleet_in, tmp_path_factory.mktemp("house"))
    async with house_of(start, server, {"type": "oauth"}) as opened:
        await opened.listed()
        yield opened


@pytest.fixture
async def house(module_house: House, anew: None) -> House:
    """A hub whose people can grant it the use of the server; nobody has yet."""
    await module_house.forget()
    return module_house
