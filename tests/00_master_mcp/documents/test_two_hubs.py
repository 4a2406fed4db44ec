"""Two hubs that share a database serve the same external servers, and trust the same tools."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from master.documents import upkeep
from tests.backends.postgres_server import Postgres
from tests.backends.redis_server import RedisServer
from tests.conftest import until
from tests.processes import alive

from ..servers.estate import Estate, below, puppet
from .conftest import OpenHub

pytestmark = [pytest.mark.anyio, pytest.mark.real]

Pair = tuple[Estate, Estate]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    # The event loop of the hub's own process.
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
async def pair(open_hub: OpenHub, redis_server: RedisServer, folder: Path) -> AsyncGenerator[Pair]:
    """Two hubs that tell each other news by Redis, with a puppet of `mcp.json`."""
    told = {"calm": puppet(folder)}
    async with AsyncExitStack() as stack:
        one, other = [
            await stack.enter_async_context(open_hub(name, redis_server.url, **told))
            for name in ("one", "other")
        ]
        for each in (one, other):
            await each.reached("calm", "running")
        yield one, other


async def shown(estate: Estate) -> dict[str, str]:
    async with estate.client() as client:
        return {tool.name: tool.description for tool in (await client.list_tools()).tools}


async def described(estate: Estate, server: str, tool: str, description: str) -> None:
    """Make this hub's own program of the server call its tool something else."""
    async with estate.client(f"/servers/{server}/mcp") as client:
        await client.call_tool("describe", {"tool": tool, "description": description})


async def known(estate: Estate, name: str) -> bool:
    return name in await estate.names()


async def test_a_server_added_at_one_hub_is_served_by_the_other(pair: Pair, folder: Path) -> None:
    one, other = pair
    await one.add("fresh", puppet(folder, env={"COLOUR": "green"}))
    await until(lambda: known(other, "fresh"))
    told = await other.reached("fresh", "running")
    assert (told["tools"], told["held"], told["origin"]) == (9, [], "runtime")
    async with other.client() as client:
        answered = await client.call_tool("ext_fresh_env", {"name": "COLOUR"})
    assert "green" in answered.content[0].text
    taken = await other.owner.post("/mcp/servers", json={"name": "fresh", "entry": puppet(folder)})
    assert taken.status_code == 409


async def test_a_server_stopped_started_and_removed_at_one_is_so_at_the_other(
    pair: Pair, folder: Path
) -> None:
    one, other = pair
    undisturbed = (await other.state("calm"))["pid"]
    await one.add("fresh", puppet(folder))
    await until(lambda: known(other, "fresh"))
    running = below((await other.reached("fresh", "running"))["pid"])
    await one.act("fresh", "stop")
    await other.reached("fresh", "disabled")
    await until(lambda: not alive(running))
    await other.act("fresh", "start")
    await one.reached("fresh", "running")
    await other.remove("fresh")

    async def gone() -> bool:
        return "ext_fresh_echo" not in await shown(one)

    await until(gone)
    assert not await known(one, "fresh")
    assert (await other.state("calm"))["pid"] == undisturbed, "others' changes restart nobody"


async def test_a_tool_accepted_at_one_hub_is_offered_by_the_other(pair: Pair) -> None:
    one, other = pair
    for each in pair:
        await described(each, "calm", "echo", "Give back the text, louder.")
        await each.held("calm", "echo")
    digest = (await one.held("calm", "echo"))["digest"]
    await one.act("calm", "accept", tool="echo", digest=digest)
    assert (await shown(one))["ext_calm_echo"] == "Give back the text, louder."

    async def offered() -> bool:
        return (await shown(other)).get("ext_calm_echo") == "Give back the text, louder."

    await until(offered)
    assert (await other.state("calm"))["held"] == []


async def test_what_one_hub_has_seen_holds_at_the_other(pair: Pair, folder: Path) -> None:
    one, other = pair
    await described(one, "calm", "newcomer", "A friendly one.")

    async def offered() -> bool:
        return "ext_calm_newcomer" in await shown(one)

    await until(offered)
    await described(other, "calm", "newcomer", "Not so friendly.")
    held = await other.held("calm", "newcomer")
    assert held["reason"] == "changed"
    assert held["changes"] == [
        {"part": "description", "old": "A friendly one.", "new": "Not so friendly."}
    ]


async def test_changes_at_both_hubs_at_once_are_all_kept(pair: Pair, folder: Path) -> None:
    async def add(number: int) -> None:
        await pair[number % 2].add(f"s{number}", puppet(folder, disabled=True))

    await asyncio.gather(*(add(number) for number in range(8)))
    expected = {"calm", *(f"s{number}" for number in range(8))}

    async def all_know() -> bool:
        return all([set(await each.names()) == expected for each in pair])

    await until(all_know)


async def test_without_news_the_other_hub_learns_of_it_all_the_same(
    open_hub: OpenHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "REFRESH_S", 0.1)
    async with open_hub("one") as one, open_hub("other") as other:
        await one.add("fresh", puppet(folder))
        await until(lambda: known(other, "fresh"))
        await other.reached("fresh", "running")


@pytest.fixture
def killed(postgres: Postgres) -> Generator[Postgres]:
    """The server, which the test may stop: it runs again afterwards."""
    yield postgres
    postgres.start(again=True)


async def test_a_hub_goes_on_while_the_database_is_away_and_refuses_what_it_cannot_keep(
    open_hub: OpenHub, folder: Path, killed: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "REFRESH_S", 0.1)
    async with open_hub("one", calm=puppet(folder)) as one:
        await one.reached("calm", "running")
        killed.stop()
        entry = {"name": "fresh", "entry": puppet(folder)}
        for refused in (
            await one.owner.post("/mcp/servers", json=entry),
            await one.owner.post("/mcp/servers/calm/stop"),
            await one.owner.delete("/mcp/servers/calm"),
        ):
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "unavailable"
            assert refused.json()["error"]["retryable"]
        async with one.client() as client:
            read = await client.call_tool("master_listServices", {})
            may_write = await client.call_tool("ext_calm_echo", {"text": "unwritten"})
        assert not read.is_error
        # Who cannot write down that it is to run does not let it run.
        assert "audit_unwritable" in may_write.content[0].text
        assert "ext_calm_echo" in await shown(one)
        assert (await one.nobody.get("/ready")).status_code == 200
        killed.start()
        entry["name"] = "later"

        async def kept() -> bool:
            return (await one.owner.post("/mcp/servers", json=entry)).status_code in (200, 409)

        await until(kept, within_s=15)
        await described(one, "calm", "newcomer", "A friendly one.")

        async def offered() -> bool:
            return "ext_calm_newcomer" in await shown(one)

        await until(offered, within_s=15)
        assert "reason" not in await one.state("calm")
        await one.add("fresh", puppet(folder))
        await one.reached("fresh", "running")


async def test_a_hub_that_starts_without_its_database_serves_mcp_json_and_catches_up(
    open_hub: OpenHub, folder: Path, killed: Postgres, told: Any
) -> None:
    entries = {"calm": puppet(folder), "unwanted": puppet(folder)}
    async with open_hub("one", **entries) as one:
        await one.add("fresh", puppet(folder))
        await one.act("unwanted", "stop")
        await one.reached("calm", "running")
    killed.stop()
    async with open_hub("one", **entries) as one:
        assert set(await one.names()) == {"calm", "unwanted"}
        await one.reached("calm", "running")
        assert (await one.nobody.get("/ready")).status_code == 200
        assert "ext_calm_echo" not in await shown(one), "nobody knows yet what it was"
        killed.start()
        await until(lambda: known(one, "fresh"))
        await one.reached("fresh", "running")
        await one.reached("unwanted", "disabled")

        async def offered() -> bool:
            return "ext_calm_echo" in await shown(one)

        await until(offered)
    events = [each["event"] for each in told]
    assert (events.count("documents_away"), events.count("documents_back")) == (1, 1)
