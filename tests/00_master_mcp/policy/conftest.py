"""A hub with the shipped roles before a spoke of ours and a stranger, and tokens for each role."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from flotilla import Model, Spoke, destroys, reads, writes
from tests.conftest import InProcessFleet, plain_http, until
from tests.everything import Era, serving

from .told import ROOT

EXTRA = """
@id("nobody-on-13") @role("dayshift")
forbid (principal in Role::"dayshift", action == Action::"call", resource)
when { context.target has host && context.target.host like "*-13" };

@id("dayshift-web") permit (principal in Role::"dayshift", action == Action::"call", resource)
when { context.target has host && context.target.host like "web-*" };

@id("dayshift-asks") @consent("always")
permit (principal in Role::"dayshift", action == Action::"call",
    resource == Tool::"test.store.putBox");
"""


class Boxes(Model):
    names: list[str]


@dataclass
class Store:
    """A spoke that reads, writes and destroys, and knows what was done to it."""

    done: list[str] = field(default_factory=list[str])

    async def list_boxes(self, host: str = "local") -> Boxes:
        """List the boxes in the store."""
        return Boxes(names=[f"box on {host}"])

    async def put_box(self, name: str) -> Boxes:
        """Put a box into the store."""
        self.done.append(name)
        return Boxes(names=[name])

    async def wipe(self) -> Boxes:
        """Throw every box in the store away."""
        self.done.append("wiped")
        return Boxes(names=[])

    def spoke(self) -> Spoke:
        return Spoke(
            name="store",
            version="1",
            instructions="Boxes.",
            namespaces=("test.store",),
            tools=(
                reads("test.store.listBoxes", self.list_boxes),
                writes("test.store.putBox", self.put_box),
                destroys("test.store.wipe", self.wipe),
            ),
        )


@dataclass
class House:
    """`fleet` is the hub's; `tokens` are one for each role."""

    fleet: InProcessFleet
    store: Store
    http: httpx2.AsyncClient
    tokens: dict[str, str] = field(default_factory=dict[str, str])

    @asynccontextmanager
    async def client(
        self, role: str, path: str = "/mcp", mode: str = "2026-07-28"
    ) -> AsyncGenerator[Client]:
        headers = {"Authorization": f"Bearer {self.tokens[role]}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30, verify=plain_http()) as http,
            Client(
                streamable_http_client(f"{self.fleet.url}{path}", http_client=http), mode=mode
            ) as client,
        ):
            yield client

    async def api(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        token = (self.fleet.common.data_dir / "owner_token").read_text().strip()
        response = await self.http.request(
            method,
            f"{self.fleet.url}/api{path}",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
        )
        return response.json()


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    # The event loop of the hub's own process.
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="module")
async def house(
    anyio_backend: Any, start_fleet_in: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[House]:
    folder = tmp_path_factory.mktemp("house")
    config = with_rules(folder, EXTRA)
    store = Store()
    async with (
        serving("streamable-http", Era.BOTH) as stranger,
        start_fleet_in(
            folder,
            [store.spoke()],
            external={"stranger": {"type": "http", "url": stranger.url}},
            config_dir=config,
        ) as fleet,
        httpx2.AsyncClient(timeout=30, verify=plain_http()) as http,
    ):
        house = House(fleet, store, http)
        for role in ("viewer", "operator", "approver", "dayshift", "nothing"):
            made = await house.api("POST", "/tokens", {"name": f"a-{role}", "roles": [role]})
            house.tokens[role] = made["secret"]
        house.tokens["admin"] = fleet.token_file.read_text().strip()

        async def connected() -> bool:
            async with house.client("admin") as client:
                names = [tool.name for tool in (await client.list_tools()).tools]
            return any(name.startswith("ext_stranger_") for name in names)

        await until(connected)
        yield house


def with_rules(folder: Path, text: str) -> Path:
    """A configuration folder with the shipped rules and some more."""
    config = folder / "config"
    (config / "policy").mkdir(parents=True)
    shipped = ROOT / "config" / "policy" / "roles.cedar"
    (config / "policy" / "roles.cedar").write_bytes(shipped.read_bytes())
    (config / "policy" / "ours.cedar").write_text(text)
    return config


def error_of(result: Any) -> dict[str, Any]:
    """The error that a tool's result says."""
    assert result.is_error, result
    return json.loads(result.content[0].text)["error"]
