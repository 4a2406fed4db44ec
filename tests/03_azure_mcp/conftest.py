"""The Azure spoke behind a hub, against a pretended Azure over TLS."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
import yaml
from mcp import Client

from azure_cloud import build
from azure_cloud.settings import Settings
from flotilla import CommonSettings, Spoke
from tests.backends.azure.arm_server import application_of
from tests.backends.azure.estate import CLIENT, SUBSCRIPTION, TENANT, Estate
from tests.backends.tls_server import TlsServer
from tests.conftest import InProcessFleet, StartFleet


@dataclass
class Person:
    """Answers what is asked in the client."""

    decision: str = "allow_once"
    asked: list[str] = field(default_factory=list[str])

    async def __call__(self, context: Any, params: Any) -> types.ElicitResult:
        self.asked.append(params.message)
        return types.ElicitResult(action="accept", content={"decision": self.decision})


@dataclass
class Tools:
    """The tools of the spoke as a client of the hub calls them."""

    client: Client
    person: Person

    async def raw(self, tool: str, **arguments: Any) -> Any:
        return await self.client.call_tool(f"cloud_azure_{tool}", arguments)

    async def __call__(self, tool: str, **arguments: Any) -> Any:
        result = await self.raw(tool, **arguments)
        assert not result.is_error, result.content[0].text
        return result.structured_content

    async def refused(self, code: str, tool: str, **arguments: Any) -> dict[str, Any]:
        """The error object of a call that must fail with that code."""
        result = await self.raw(tool, **arguments)
        assert result.is_error, result.structured_content
        error = (result.meta or {})["io.flotilla/error"]
        assert error["code"] == code, error
        return error


@dataclass
class House:
    """The hub with the spoke, the pretended Azure, and what it holds."""

    estate: Estate
    server: TlsServer
    fleet: InProcessFleet
    spoke: Spoke

    @asynccontextmanager
    async def tools(self, person: Person | None = None) -> AsyncGenerator[Tools]:
        person = person or Person()
        async with self.fleet.client(elicitation_callback=person) as client:
            yield Tools(client, person)

    def asked_for(self, words: str) -> list[str]:
        """The requests to Azure that have these words in `METHOD path`."""
        told = [f"{each.method} {each.path}" for each in self.server.asked]
        return [each for each in told if words.lower() in each.lower()]


OpenHouse = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def open_house(tmp_path: Path, start_fleet: StartFleet) -> OpenHouse:
    """`async with open_house() as house`; `account` are further members of the one account."""

    @asynccontextmanager
    async def opened(
        timeout_s: float = 30, account: dict[str, Any] | None = None, **more: Any
    ) -> AsyncGenerator[House]:
        estate = Estate()
        server = TlsServer(application_of(estate), tmp_path / "azure")
        async with server.running():
            secret = tmp_path / "client_secret"
            secret.write_text(estate.client_secret)
            own = {
                "tenant": TENANT,
                "clientId": CLIENT,
                "clientSecret": str(secret),
                "authority": server.url,
                "resourceManager": server.url,
                "caFile": str(server.trusted),
                "subscription": SUBSCRIPTION,
                **(account or {}),
            }
            config = tmp_path / "azure.yaml"
            config.write_text(yaml.safe_dump({"accounts": {"main": own}}))
            settings = Settings(
                config=config,
                **{
                    "retail_prices_url": f"{server.url}/api/retail/prices",
                    "retail_prices_ca_file": server.trusted,
                    **more,
                },
            )
            spoke = build(settings, CommonSettings(data_dir=tmp_path / "data"))
            async with start_fleet([spoke], timeout_s=timeout_s) as fleet:
                yield House(estate, server, fleet, spoke)

    return opened


@pytest.fixture
async def house(open_house: OpenHouse) -> AsyncGenerator[House]:
    """One with a group, a network, two machines and a storage account."""
    async with open_house() as opened:
        estate = opened.estate
        estate.group("web", team="shop")
        estate.resource(
            "web",
            "Microsoft.Network/virtualNetworks",
            "main",
            {
                "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
                "subnets": [{"name": "default", "properties": {"addressPrefix": "10.0.0.0/24"}}],
            },
        )
        estate.machine("web", "web-1", tags={"owner": "ada"})
        estate.machine("web", "web-2", power="deallocated")
        yield opened
