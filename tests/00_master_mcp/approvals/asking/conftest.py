"""A hub with a shop behind it, whose clients are people and robots, and who may decide."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from flotilla import Context, Model, NotFound, Preview, Spoke, destroys, meta, reads
from tests.conftest import InProcessFleet, until
from tests.everything import Era, serving

WAYS = ("modern", "handshake", "sse")
MODES = {"modern": "2026-07-28", "handshake": "legacy", "sse": "legacy"}
# To read the authorities of TLS takes 20 ms, and there is none on loopback.
_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def http(headers: Mapping[str, str] | None = None, **more: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(headers=headers, verify=_TLS, **{"timeout": 60, **more})


class Sold(Model):
    text: str


class Shop:
    """Something to lose: each disk that was wiped, in order, and what was asked beforehand."""

    def __init__(self) -> None:
        self.wiped: list[str] = []
        self.looked: list[str] = []
        self.begun = asyncio.Event()
        self.hold: asyncio.Event | None = None
        self.cancelled = False

    async def wipe(self, disk: str, passes: int = 1, *, context: Context) -> Sold:
        """Wipe a disk. Nothing of it can be read afterwards."""
        assert context.approved
        self.begun.set()
        if self.hold is not None:
            try:
                await self.hold.wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        if disk == "none":
            raise NotFound("there is no such disk")
        self.wiped.append(disk)
        return Sold(text=f"{disk} is blank")

    async def look(self, name: str, deep: bool = False) -> Sold:
        """Say what is on a disk."""
        self.looked.append(f"{name} {deep}")
        if name == "none":
            raise NotFound("there is no such disk")
        return Sold(text=f"{name} has 3 files\nMay anything run?")

    def spoke(self) -> Spoke:
        return Spoke(
            name="shop",
            version="1",
            instructions="Wipes.",
            namespaces=("test.shop",),
            tools=(
                destroys(
                    "test.shop.wipe",
                    self.wipe,
                    title="Wipe a disk",
                    preview=Preview(
                        tool="test.shop.look", taken={"name": "disk"}, fixed={"deep": True}
                    ),
                ),
                reads("test.shop.look", self.look),
            ),
        )


@dataclass
class Person:
    """Answers what is asked in a client; `decision` None: with that action alone."""

    decision: str | None = "allow_once"
    action: str = "accept"
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])
    asked: list[Any] = field(default_factory=list[Any])
    others: list[Any] = field(default_factory=list[Any])

    async def __call__(self, context: Any, params: Any) -> types.ElicitResult:
        if "decision" not in params.requested_schema["properties"]:
            self.others.append(params)
            content = {"answer": f"to {params.message}"}
            return types.ElicitResult(action="accept", content=content)
        self.asked.append(params)
        if self.decision is None:
            return types.ElicitResult(action=self.action)  # pyright: ignore[reportArgumentType]
        return types.ElicitResult(action="accept", content={"decision": self.decision, **self.more})


@dataclass
class House:
    """The hub, and whoever may come to it."""

    fleet: InProcessFleet
    shop: Shop
    _names: Any = field(default_factory=count)

    @property
    def owner(self) -> dict[str, str]:
        token = (self.fleet.common.data_dir / "owner_token").read_text().strip()
        return {"Authorization": f"Bearer {token}"}

    async def token(self, *roles: str, robot: bool = False) -> dict[str, str]:
        """The headers of a new principal."""
        made = {"name": f"person-{next(self._names)}", "roles": list(roles), "robot": robot}
        told = await self.api("POST", "/tokens", made)
        return {"Authorization": f"Bearer {told['secret']}"}

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        async with http(self.owner) as client:
            answer = await client.request(method, f"{self.fleet.url}/api{path}", json=body)
            assert answer.status_code == 200, answer.text
            return answer.json()

    async def approval(self, approval_id: str) -> Any:
        return await self.api("GET", f"/approvals/{approval_id}")

    async def ended(self, approval_id: str, state: str = "done") -> Any:
        """The approval once it is in that state."""

        async def is_so() -> bool:
            return (await self.approval(approval_id))["state"] == state

        await until(is_so)
        return await self.approval(approval_id)

    @asynccontextmanager
    async def client(
        self,
        way: str = "modern",
        headers: Mapping[str, str] | None = None,
        path: str = "",
        **more: Any,
    ) -> AsyncGenerator[Client]:
        sent = dict(headers or self.fleet.headers)
        if way == "sse":
            opened = sse_client(f"{self.fleet.url}{path}/sse", headers=sent)
            async with Client(opened, mode="legacy", **more) as client:
                yield client
            return
        async with (
            http(sent) as carrying,
            Client(
                streamable_http_client(f"{self.fleet.url}{path}/mcp", http_client=carrying),
                mode=MODES[way],
                **more,
            ) as client,
        ):
            yield client


def error_of(result: Any) -> dict[str, Any]:
    assert result.is_error, result
    return result.meta[meta.ERROR]


OpenHouse = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture(scope="session")
def open_house(start_fleet_in: Any) -> OpenHouse:
    """`open_house(folder, strangers=..., **env)`: a hub of its own."""

    @asynccontextmanager
    async def opened(
        folder: Path, *, strangers: bool = False, timeout_s: float = 30, **env: Any
    ) -> AsyncGenerator[House]:
        shop = Shop()
        settings = {"max_asked_per_minute": 10_000, **env}
        async with AsyncExitStack() as open_:
            patched = open_.enter_context(pytest.MonkeyPatch.context())
            for name, value in settings.items():
                patched.setenv(f"FLOTILLA_APPROVALS_{name.upper()}", str(value))
            external: dict[str, Any] = {}
            for era in (Era.MODERN, Era.HANDSHAKE) if strangers else ():
                served = await open_.enter_async_context(serving("streamable-http", era))
                external[era.value] = {"type": "http", "url": served.url, "approval": "always"}
            fleet = await open_.enter_async_context(
                start_fleet_in(folder, [shop.spoke()], external=external, timeout_s=timeout_s)
            )
            house = House(fleet, shop)
            await until(lambda: _all_there(house, external))
            yield house

    return opened


async def _all_there(house: House, external: Mapping[str, Any]) -> bool:
    async with http() as client:
        told = (await client.get(f"{house.fleet.url}/metrics")).text.splitlines()
    return all(f'mcp_service_health{{service="{name}"}} 1.0' in told for name in external)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
async def house(
    anyio_backend: Any, open_house: OpenHouse, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[House]:
    async with open_house(tmp_path_factory.mktemp("house"), strangers=True) as house:
        yield house


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> None:
    """A shop in which nothing has happened yet."""
    if "house" in request.fixturenames:
        house: House = request.getfixturevalue("house")
        house.shop.__init__()


def texts_of(name: str, arguments: Mapping[str, Any]) -> dict[str, str]:
    return {"name": json.dumps(name), "arguments": json.dumps(arguments)}
