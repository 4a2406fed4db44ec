"""Servers that go and come back, and clients that go."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from tests.everything import Serving, serving
from tests.ports import find_free_port

from .conftest import connected
from .house import House
from .raw import answer_of, call
from .scripted import OK, Asked, Scripted
from .test_tools import tools_of
from .ways import SLOWLY, SOUTHS, THROUGH, South, Way

pytestmark = pytest.mark.anyio

BACK_S = 5.0
"""Within this after its restart a server's tools work again."""
SOON_S = 1.0


class Restarting:
    """A fixture server that can be stopped and started again on its port."""

    def __init__(self, south: South) -> None:
        self.south = south
        self.port = find_free_port()
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self.served: Serving | None = None

    async def start(self) -> Serving:
        self._stop.clear()
        started: asyncio.Future[Serving] = asyncio.get_running_loop().create_future()

        async def serve() -> None:
            async with serving(self.south.transport, self.south.era, self.port) as served:
                self.port, self.served = served.port, served
                started.set_result(served)
                await self._stop.wait()

        self._task = asyncio.create_task(serve())
        return await started

    async def stop(self) -> None:
        assert self._task is not None
        self._stop.set()
        await self._task


@asynccontextmanager
async def restarting(
    start_fleet_in: Any, folder: Path, way: Way
) -> AsyncGenerator[tuple[House, Restarting]]:
    """A hub with the server of a way alone behind it."""
    server = Restarting(way.south)
    served = await server.start()
    external = {way.south.name: way.south.entry(served.url)}
    async with start_fleet_in(folder, external=external) as fleet:
        await connected(fleet, way.south.name)
        yield House(fleet, {way.south.name: served}), server
    await server.stop()


def code_of(result: Any) -> str | None:
    return result.meta["io.flotilla/error"]["code"] if result.is_error else None


@pytest.mark.parametrize("way", SLOWLY, ids=str)
async def test_a_restarted_server_works_again_and_its_clients_keep_their_sessions(
    start_fleet_in: Any, tmp_path: Path, way: Way
) -> None:
    async with (
        restarting(start_fleet_in, tmp_path, way) as (house, server),
        house.client(way) as client,
    ):
        assert not (await client.call_tool("echo", {"text": "before"})).is_error
        await server.stop()
        away = await client.call_tool("echo", {"text": "meanwhile"})
        assert code_of(away) == "unavailable"
        with anyio.fail_after(BACK_S):
            while not (await tools_of(client))["echo"].meta.get("io.flotilla/stale"):
                await anyio.sleep(0.02)
        await server.start()
        with anyio.fail_after(BACK_S):
            while code_of(await client.call_tool("echo", {"text": "after"})) is not None:
                await anyio.sleep(0.02)
            while (await tools_of(client))["echo"].meta.get("io.flotilla/stale"):
                await anyio.sleep(0.02)


@pytest.mark.parametrize("way", [way for way in THROUGH if way.south.name == "handshake"], ids=str)
async def test_a_session_that_its_server_forgot_is_opened_anew_within_the_call(
    start_fleet_in: Any, tmp_path: Path, way: Way
) -> None:
    async with (
        restarting(start_fleet_in, tmp_path, way) as (house, server),
        house.client(way) as client,
    ):
        await client.call_tool("echo", {"text": "before"})
        await server.stop()
        await server.start()
        with anyio.fail_after(BACK_S):
            while code_of(await client.call_tool("echo", {"text": "after"})) is not None:
                await anyio.sleep(0.02)
        for _ in range(20):
            assert not (await client.call_tool("echo", {"text": "on"})).is_error


@pytest.mark.parametrize("way", SLOWLY, ids=str)
async def test_a_server_that_stops_in_the_middle_of_a_call_is_an_error_at_once(
    start_fleet_in: Any, tmp_path: Path, way: Way
) -> None:
    async with restarting(start_fleet_in, tmp_path, way) as (house, server):
        async with house.client(way) as client, house.client(way) as other:
            ended: list[tuple[float, Any]] = []

            async def wait() -> None:
                result = await client.call_tool("wait_until_cancelled", {"key": "k"})
                ended.append((time.monotonic(), result))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                await other.call_tool("has_started", {"key": "k", "withinMs": 5000})
                stopped_at = time.monotonic()
                await server.stop()
                with anyio.fail_after(5):
                    while not ended:
                        await anyio.sleep(0.01)
            at, result = ended[0]
            # A server that stops in good order may still answer, by a status of 500.
            assert code_of(result) in ("unavailable", "upstream_error")
            assert at - stopped_at < SOON_S
            assert (await client.call_tool("echo", {"text": "x"})).is_error
        await server.start()


async def broken_off(asked: Asked) -> None:
    """Two of eight megabytes, then the connection closes."""
    begin = b'data: {"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"'
    await asked.raw(begin % asked.id.encode() + b"x" * (2 << 20))
    asked.writer.transport.abort()


async def broken_off_json(asked: Asked) -> None:
    begin = b'{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"'
    head = OK + b"content-type: application/json\r\ncontent-length: 8388608\r\n\r\n"
    await asked.http(head + begin % asked.id.encode() + b"x" * (2 << 20))
    asked.writer.transport.abort()


async def well(asked: Asked) -> None:
    await asked.result(b'{"content":[]}')


@pytest.fixture(scope="module")
async def breaking_house(
    anyio_backend: Any, start_fleet_in: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[House]:
    tools = {"broken_off": broken_off, "broken_off_json": broken_off_json, "well": well}
    async with AsyncExitStack() as open_:
        servers: dict[str, Any] = {}
        for south in SOUTHS:
            scripted = Scripted(south, tools)
            servers[south.name] = await open_.enter_async_context(scripted.running())
        external = {south.name: south.entry(servers[south.name].url) for south in SOUTHS}
        folder: Path = tmp_path_factory.mktemp("breaking")
        fleet = await open_.enter_async_context(start_fleet_in(folder, external=external))
        await connected(fleet, *servers)
        yield House(fleet, servers)


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_a_large_result_that_breaks_off_is_never_taken_for_a_whole_one(
    breaking_house: House, way: Way
) -> None:
    tools = ["broken_off"] if way.south.transport == "sse" else ["broken_off", "broken_off_json"]
    for tool in tools:
        async with breaking_house.raw(way) as raw:
            with anyio.fail_after(5):
                try:
                    answer = await answer_of(raw.send("tools/call", **call(tool)))
                except httpx2.RemoteProtocolError:
                    continue  # the response did not end as it should: no client takes that
                else:
                    found = json.loads(answer)
                    assert "error" in found or found["result"]["isError"] is True
    async with breaking_house.raw(way) as raw:
        with anyio.fail_after(BACK_S):
            while b'"isError":true' in await answer_of(raw.send("tools/call", **call("well"))):
                await anyio.sleep(0.02)


ASKING = {"elicitation": {"form": {}}}


@pytest.mark.parametrize("way", [way for way in THROUGH if not way.modern], ids=str)
async def test_a_client_that_hangs_up_at_a_question_leaves_nothing_hanging(
    house: House, way: Way
) -> None:
    async with house.raw(way, capabilities=ASKING) as raw:
        messages = raw.send("tools/call", **call("ask_in_turn", '{"count":2}'))
        with anyio.fail_after(5):
            async for message in messages:
                if json.loads(message).get("method") == "elicitation/create":
                    break
            else:
                pytest.fail("nothing was asked")
        await messages.aclose()
    async with house.client(way) as client:
        assert not (await client.call_tool("echo", {"text": "on"})).is_error
