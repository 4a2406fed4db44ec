"""A real hub with more calls than it takes: what it refuses, what it answers, and that it ends."""

import asyncio
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from flotilla import Model, Spoke, reads
from flotilla.fleet import HubLimits
from tests.conftest import until

from ..content.limited import limited_fleet
from ..holding import Holding

pytestmark = pytest.mark.anyio


def error_of(result: Any) -> dict[str, Any]:
    assert result.is_error
    return result.meta["io.flotilla/error"]


async def test_a_full_hub_says_so_at_once_and_answers_for_itself_all_the_while(
    tmp_path: Path,
) -> None:
    holding = Holding()
    async with (
        limited_fleet(tmp_path, [holding.spoke()], hub=HubLimits(calls=3)) as fleet,
        fleet.client() as client,
        httpx2.AsyncClient() as http,
    ):

        def call() -> Any:
            return client.call_tool("test_hold_holdOn", {})

        running = [asyncio.create_task(call()) for _ in range(3)]
        await until(lambda: holding.held == 3)
        with anyio.fail_after(1):
            error = error_of(await call())
        assert error["code"] == "rate_limited" and error["retryable"]
        assert error["retryAfterMs"] > 0 and "master" in error["hint"]
        looked = await client.call_tool("master_getServiceHealth", {})
        assert not looked.is_error
        assert (await client.list_tools()).tools
        refused = 'mcp_calls_turned_away_total{reason="overload",service="hold"} 1.0'
        assert refused in (await http.get(f"{fleet.url}/metrics")).text

        gone = running.pop()
        gone.cancel()
        await asyncio.wait({gone})

        async def is_taken_again() -> bool:
            running.append(asyncio.create_task(call()))
            await asyncio.wait({running[-1]}, timeout=0.05)
            return holding.held == 4

        await until(is_taken_again)
        holding.go.set()
        answers = await asyncio.gather(*running)
        assert [each.is_error for each in answers[:2]] == [False, False]
        assert not (await call()).is_error


async def test_of_ten_times_too_many_calls_all_are_answered_and_as_many_served_as_fit(
    tmp_path: Path,
) -> None:
    holding, room, calls = Holding(), 20, 200
    async with (
        limited_fleet(tmp_path, [holding.spoke()], hub=HubLimits(calls=room)) as fleet,
        fleet.client() as client,
    ):

        async def call() -> Any:
            return await client.call_tool("test_hold_holdOn", {})

        running = [asyncio.create_task(call()) for _ in range(calls)]
        await until(lambda: sum(each.done() for each in running) == calls - room)
        refused = [error_of(each.result()) for each in running if each.done()]
        assert {each["code"] for each in refused} == {"rate_limited"}
        waits = {each["retryAfterMs"] for each in refused}
        assert len(waits) > len(refused) / 2, "who comes back at once is turned away again"
        assert max(waits) > 2 * min(waits)
        await until(lambda: holding.held == room)
        holding.go.set()
        answers = await asyncio.gather(*running)
        assert sum(not each.is_error for each in answers) == room


async def test_large_arguments_come_through_the_gate_that_counts_them(tmp_path: Path) -> None:
    class Length(Model):
        characters: int

    async def measure(text: str) -> Length:
        """Tell how long a text is."""
        return Length(characters=len(text))

    spoke = Spoke(
        name="measure",
        version="1",
        instructions="",
        namespaces=("test.text",),
        tools=(reads("test.text.measureIt", measure),),
    )
    async with limited_fleet(tmp_path, [spoke]) as fleet, fleet.client() as client:
        for size in (10, 100_000, 4_000_000):
            result = await client.call_tool("test_text_measureIt", {"text": "x" * size})
            assert result.structured_content == {"characters": size}
