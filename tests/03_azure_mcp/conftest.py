"""The Azure spoke behind a hub, against a pretended Azure over TLS."""

import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
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


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Of the module, so that one fleet can serve all its tests."""
    return "asyncio"


@asynccontextmanager
async def house_in(
    folder: Path,
    start_fleet_in: StartFleet,
    *,
    timeout_s: float = 30,
    account: dict[str, Any] | None = None,
    others: Sequence[Spoke] = (),
    **more: Any,
) -> AsyncGenerator[House]:
    """A hub with the spoke; `account` are further members of its one account, `more` settings."""
    estate = Estate()
    server = TlsServer(application_of(estate), folder / "azure")
    server.faults.body_of_status = arm_error
    async with server.running():
        secret = folder / "client_secret"
        secret.write_text(estate.client_secret)
        own = {
            "tenant": TENANT,
            "client_id": CLIENT,
            "client_secret": str(secret),
            "authority": server.url,
            "resource_manager": server.url,
            "ca_file": str(server.trusted),
            "subscription": SUBSCRIPTION,
            **(account or {}),
        }
        config = folder / "azure.yaml"
        config.write_text(yaml.safe_dump({"accounts": {"main": own}}))
        settings = Settings(
            config=config,
            **{
                "retail_prices_url": f"{server.url}/api/retail/prices",
                "retail_prices_trusted": server.trusted,
                **more,
            },
        )
        spoke = build(settings, CommonSettings(data_dir=folder / "data"))
        async with start_fleet_in(folder, [spoke, *others], timeout_s=timeout_s) as fleet:
            yield House(estate, server, fleet, spoke)


def arm_error(status: int) -> bytes:
    code = {429: "TooManyRequests", 503: "ServerBusy"}.get(status, "Broken")
    return json.dumps({"error": {"code": code, "message": f"pretended {status}"}}).encode()


@pytest.fixture
def open_house(tmp_path: Path, start_fleet_in: StartFleet) -> OpenHouse:
    """`async with open_house(...) as house`: one of its own."""
    return partial(house_in, tmp_path, start_fleet_in)


@pytest.fixture(scope="module")
async def one_house(
    start_fleet_in: StartFleet, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[House]:
    async with house_in(tmp_path_factory.mktemp("azure"), start_fleet_in) as opened:
        yield opened


@pytest.fixture
async def house(one_house: House) -> House:
    """The one that the tests of a module share; each works in a group of its own."""
    one_house.server.faults.clear()
    one_house.server.asked.clear()
    one_house.estate.looks = 1
    return one_house


def furnished(estate: Estate, group: str, machines: Mapping[str, str] | None = None) -> str:
    """A group with a network and machines in these states; returns the ID of the group."""
    made = estate.group(group, team="shop")
    vnet = "Microsoft.Network/virtualNetworks"
    subnet = {
        "name": "default",
        "id": f"{made['id']}/providers/{vnet}/main/subnets/default",
        "properties": {"addressPrefix": "10.0.0.0/24"},
    }
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": [subnet]}
    estate.resource(group, vnet, "main", space)
    for name, power in (machines or {}).items():
        estate.machine(group, name, power, tags={"owner": "ada"})
    return made["id"]
