"""A fleet with the Google Cloud spoke before a Google of ours, and a client of the hub."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from mcp import Client

from flotilla import CommonSettings, Spoke, meta
from google_cloud import build
from google_cloud.settings import Settings
from tests.backends.google import GoogleServer
from tests.conftest import InProcessFleet

PROD, TEST = "acme-prod", "acme-test"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Estate:
    """The hub, the spoke behind it, and the Google that the spoke sees."""

    google: GoogleServer
    fleet: InProcessFleet
    spoke: Spoke
    client: Client

    @property
    def world(self) -> Any:
        return self.google.world

    async def call(self, action: str, /, **arguments: Any) -> Any:
        """A call through the hub; its content, which fits into 48 KB."""
        result = await self.client.call_tool(f"cloud.gcp.{action}", arguments)
        assert not result.is_error, result.content
        text = result.content[0].text  # pyright: ignore[reportAttributeAccessIssue]
        assert len(text.encode()) <= 48 * 1024
        return json.loads(text)

    async def fails(self, action: str, /, **arguments: Any) -> dict[str, Any]:
        """The error object of a call through the hub that fails."""
        result = await self.client.call_tool(f"cloud.gcp.{action}", arguments)
        assert result.is_error, result.content
        assert result.meta is not None
        error: dict[str, Any] = result.meta[meta.ERROR]
        assert error["code"] != "internal", error
        return error

    async def foreseen(self, action: str, **asked: Any) -> Any:
        """What the hub is told of a call before it asks a person."""
        (tool,) = [each for each in self.spoke.tools if each.name == f"cloud.gcp.{action}"]
        assert tool.preview is not None
        (operation,) = [
            each for each in self.spoke.operations if each.name == tool.preview.operation
        ]
        taken = {
            parameter: asked[argument]
            for parameter, argument in tool.preview.taken.items()
            if argument in asked
        }
        found = await operation.run(operation.takes.model_validate(taken))
        return found.model_dump(mode="json")


def write_accounts(file: Path, accounts: Mapping[str, Mapping[str, Any]]) -> Path:
    file.write_text(yaml.safe_dump({"accounts": dict(accounts)}))
    return file


OpenEstate = Callable[..., Awaitable[Estate]]


@pytest.fixture(scope="session")
async def open_estate(anyio_backend: str, start_fleet_in: Any) -> AsyncGenerator[OpenEstate]:
    """`open_estate(folder, approvals="off", **members of the account)`: one of its own."""
    async with AsyncExitStack() as held:

        async def opened(
            folder: Path,
            *,
            approvals: str = "off",
            timeout_s: float = 20,
            settings: Mapping[str, Any] | None = None,
            client: Mapping[str, Any] | None = None,
            **more: Any,
        ) -> Estate:
            google = GoogleServer(folder)
            await held.enter_async_context(google.running())
            keys = {
                "default": google.world.service_account("robot", [PROD, TEST]),
                "other": google.world.service_account("second", ["other-lab"]),
            }
            accounts: dict[str, Any] = {}
            for alias, key in keys.items():
                place = folder / f"{alias}.json"
                place.write_text(key)
                accounts[alias] = google.account(str(place), **(more if alias == "default" else {}))
            file = write_accounts(folder / "google_cloud.yaml", accounts)
            common = CommonSettings(data_dir=folder / "data", config_dir=folder)
            spoke = build(Settings(config=file, **(settings or {})), common)
            fleet = await held.enter_async_context(
                start_fleet_in(folder, [spoke], approvals=approvals, timeout_s=timeout_s)
            )
            made = await held.enter_async_context(fleet.client(**(client or {})))
            return Estate(google, fleet, spoke, made)

        yield opened


@pytest.fixture(scope="session")
async def shared_estate(
    open_estate: OpenEstate, tmp_path_factory: pytest.TempPathFactory
) -> Estate:
    return await open_estate(tmp_path_factory.mktemp("google"))


@pytest.fixture
def estate(shared_estate: Estate) -> Estate:
    """The shared one, in which nothing has happened yet."""
    shared_estate.world.forget()
    shared_estate.google.faults.clear()
    shared_estate.google.tls.asked.clear()
    return shared_estate


async def followed(estate: Estate, begun: Mapping[str, Any], wait_s: int = 10) -> Any:
    """The operation at its end."""
    assert begun["outcome"] == "running", begun
    return await estate.call("getOperation", operationId=begun["operationId"], waitS=wait_s)
