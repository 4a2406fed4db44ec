"""The stage that turns calls away: whom, with which words, and that it always counts right."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from flotilla import Principal, RateLimited
from flotilla.fleet import HUB, HubLimits
from master.call import Call
from master.catalogue import Catalogue, Origin, View
from master.load import Load
from master.meters import Meters
from master.offer import Offer
from master.result import Result
from master.stages.shed import shed
from master.streaming.splitter import Piece

pytestmark = pytest.mark.anyio


class Deaf:
    told = False

    async def notify(self, method: str, params: Mapping[str, str]) -> None: ...
    async def report(self, progress: float, total: float | None, said: str | None) -> None: ...
    async def pause(self) -> None: ...
    async def pour(self, pieces: AsyncIterator[Piece]) -> bool:
        raise AssertionError("nothing is poured here")


def call(
    name: str, method: str = "tools/call", given: dict[str, Any] | None = None, **params: str
) -> Call:
    return Call(
        method=method,
        principal=Principal("ann"),
        name=name,
        params=params,
        arguments=given or {},
        meta={},
        correlation_id="c",
        traceparent=None,
        view=View(),
        capabilities={},
        arrived=0,
        hearer=Deaf(),
    )


class House:
    """The stage around calls that last until `go` is set."""

    def __init__(self, calls: int = 2, most_bytes: int = 1000) -> None:
        catalogue = Catalogue(
            {HUB: Origin(frozenset({"master"})), "echo": Origin(frozenset({"test.echo"}))}
        )
        for service, names in (
            (HUB, ["master.look", "master.tools.call"]),
            ("echo", ["test.echo.say"]),
        ):
            listed = tuple({"name": name, "inputSchema": {"type": "object"}} for name in names)
            catalogue.offer(service, Offer({"tools": listed}))
        self.registry = CollectorRegistry()
        self.load = Load(HubLimits(calls=calls), most_bytes=most_bytes)
        self.go = asyncio.Event()
        self.served = 0
        self.stage = shed(self._serve, self.load, Meters(self.registry), catalogue)

    async def _serve(self, call: Call) -> Result:
        self.served += 1
        await self.go.wait()
        if call.name == "test.echo.break":
            raise ValueError("broken")
        return Result({})

    def turned_away(self, service: str) -> float:
        labels = {"service": service, "reason": "overload"}
        return self.registry.get_sample_value("mcp_calls_turned_away_total", labels) or 0.0


async def begun(house: House, *calls: Call) -> list[asyncio.Future[Result]]:
    tasks = [asyncio.ensure_future(house.stage(each)) for each in calls]
    await asyncio.sleep(0)
    return tasks


async def test_calls_beyond_the_limit_are_turned_away_and_taken_again_when_there_is_room() -> None:
    house = House(calls=2)
    running = await begun(house, call("test.echo.say"), call("test.echo.say"))
    with pytest.raises(RateLimited) as raised:
        await house.stage(call("test.echo.say"))
    error: dict[str, Any] = raised.value.as_json("c")
    assert error["code"] == "rate_limited" and error["retryable"]
    assert 250 <= error["retryAfterMs"] <= 3000
    assert "master" in error["hint"]
    assert house.turned_away("echo") == 1
    house.go.set()
    await asyncio.gather(*running)
    assert await house.stage(call("test.echo.say"))
    assert house.served == 3


async def test_the_hubs_own_tools_are_answered_in_the_worst_of_times() -> None:
    house = House(calls=1)
    running = await begun(house, call("test.echo.say"))
    looking = await begun(house, call("master.look"), call("master_look"))
    assert house.served == 3
    house.go.set()
    await asyncio.gather(*running, *looking)
    assert house.turned_away(HUB) == 0


async def test_a_name_that_only_looks_like_the_hubs_is_no_way_round() -> None:
    house = House(calls=1)
    running = await begun(house, call("test.echo.say"))
    for name in ("master.nothing", "masterpiece", "master_look2"):
        with pytest.raises(RateLimited):
            await house.stage(call(name))
    assert house.turned_away("unknown") == 3
    house.go.set()
    await asyncio.gather(*running)


async def test_the_tool_that_calls_others_counts_as_the_one_that_it_calls() -> None:
    house = House(calls=1)
    running = await begun(house, call("test.echo.say"))
    for name in ("test.echo.say", "test_echo_say", "master.tools.call", "nothing", 7, None):
        with pytest.raises(RateLimited):
            await house.stage(call("master_tools_call", given={"name": name}))
    running += await begun(house, call("master.tools.call", given={"name": "master.look"}))
    assert house.served == 2
    house.go.set()
    await asyncio.gather(*running)
    assert house.turned_away("echo") == 2


async def test_resources_are_turned_away_without_a_search_for_whose_they_are() -> None:
    house = House(calls=1)
    running = await begun(house, call("test.echo.say"))
    with pytest.raises(RateLimited):
        await house.stage(call("test://a", method="resources/read"))
    house.go.set()
    await asyncio.gather(*running)


async def test_requests_that_are_too_much_to_hold_together_are_turned_away() -> None:
    house = House(calls=100, most_bytes=1000)
    running = await begun(house, call("test.echo.say", arguments="x" * 900))
    with pytest.raises(RateLimited, match="holds"):
        await house.stage(call("test.echo.say", arguments="x" * 101))
    running += await begun(house, call("test.echo.say", arguments="x" * 100))
    house.go.set()
    await asyncio.gather(*running)
    assert house.load.held_bytes == 0


async def test_whatever_ends_a_call_nothing_of_it_stays_counted() -> None:
    house = House(calls=10)
    tasks = await begun(
        house,
        call("test.echo.say", arguments="xx"),
        call("test.echo.break", arguments="xxx"),
        call("test.echo.say", arguments="xxxx"),
    )
    assert (house.load.calls, house.load.held_bytes) == (3, 9)
    tasks[2].cancel()
    house.go.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in ended] == [Result, ValueError, asyncio.CancelledError]
    assert (house.load.calls, house.load.held_bytes) == (0, 0)
