"""Two hubs with one database: what the owner does at one counts at the other."""

import secrets
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import asyncpg
import httpx2
import pytest

from flotilla import CommonSettings
from flotilla.fleet import HUB, FleetConfig, ServiceEntry
from master import build
from master.settings import Settings
from tests.backends.postgres_server import Postgres
from tests.backends.redis_server import RedisServer
from tests.conftest import InProcessFleet, find_free_port, until

from .conftest import Hub, bearing

pytestmark = [pytest.mark.anyio, pytest.mark.real]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    # The event loop of the hub's own process.
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def running(postgres: Postgres) -> Iterator[Postgres]:
    """A database server that a test may stop."""
    yield postgres
    postgres.start(again=True)


@asynccontextmanager
async def hub_at(folder: Path, database_url: str, redis_url: str | None) -> AsyncGenerator[Hub]:
    folder.mkdir()
    (folder / "mcp.json").write_text('{"mcpServers": {}}')
    entry = ServiceEntry(number=0, port=find_free_port(), namespaces=("master",))
    common = CommonSettings(data_dir=folder / "data", shutdown_grace_s=1)
    fleet = InProcessFleet(FleetConfig({HUB: entry}, {}), common)
    settings = Settings(
        mcp_config=folder / "mcp.json", database_url=database_url, redis_url=redis_url
    )
    await fleet.start(HUB, lambda: build(settings, common, fleet.fleet))
    try:
        async with httpx2.AsyncClient(timeout=30) as http:
            yield Hub(fleet, http)
    finally:
        await fleet.stop(HUB)


@pytest.fixture
async def pair(
    running: Postgres, redis_server: RedisServer, tmp_path: Path
) -> AsyncGenerator[tuple[Hub, Hub]]:
    name = f"hub_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(running.url)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    finally:
        await connection.close()
    url = running.url.removesuffix("/postgres") + f"/{name}"
    async with AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(hub_at(tmp_path / each, url, redis_server.url))
            for each in ("one", "other")
        ]
        yield one, other


async def status(hub: Hub, token: str) -> int:
    """What a list of the hub's tools is answered with."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    marks = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/list",
        **bearing(token),
    }
    return (await hub.http.post(hub.audience, json=body, headers=marks)).status_code


async def test_what_is_made_or_revoked_at_one_hub_counts_at_the_other(
    pair: tuple[Hub, Hub],
) -> None:
    one, other = pair
    made = await one.make("ada", "viewer")
    token = made["secret"]

    async def answers(wanted: int) -> bool:
        return await status(other, token) == wanted

    await until(lambda: answers(200), within_s=1)
    async with other.http.stream("GET", f"{other.url}/sse", headers=bearing(token)) as response:
        lines = response.aiter_lines()
        assert await anext(lines)
        await one.revoke("ada")
        assert await status(one, token) == 401
        with anyio.fail_after(1):
            async for _ in lines:
                continue
    await until(lambda: answers(401), within_s=1)


async def test_without_the_database_what_is_known_goes_on_and_nothing_is_made(
    pair: tuple[Hub, Hub], running: Postgres
) -> None:
    one, other = pair
    token = (await one.make("ada", "viewer"))["secret"]

    async def known() -> bool:
        return await status(other, token) == 200

    await until(known, within_s=1)
    running.stop()

    async def unsure() -> bool:
        return await status(other, "flt_of-whom-nobody-here-knows") == 503

    await until(unsure, within_s=10)
    for hub in pair:
        assert await status(hub, token) == 200
        assert await status(hub, hub.admin) == 200
        response = await hub.http.get(f"{hub.url}/api/tokens", headers=bearing(hub.owner))
        assert response.status_code == 503
        asked = {"name": "eve", "roles": ["admin"]}
        response = await hub.http.post(
            f"{hub.url}/api/tokens", json=asked, headers=bearing(hub.owner)
        )
        assert response.status_code == 503
    running.start()

    async def back() -> bool:
        return await status(other, "flt_of-whom-nobody-here-knows") == 401

    await until(back, within_s=20)
    names = [each["principal"] for each in (await other.api("GET", "/tokens"))["tokens"]]
    assert names == ["ada"]
