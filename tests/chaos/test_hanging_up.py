"""A client that hangs up leaves nothing behind, wherever its call was."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from tests.conftest import until

from .fault_proxy import BlackHole
from .house import Footprint, Ground, Site

pytestmark = pytest.mark.anyio

NARROW = {"places": {"calls": 1, "waiting": 5, "wait_s": 5, "share": 1}, "timeout_s": 5}


async def hang_up(calls: list[asyncio.Task[Any]]) -> None:
    for each in calls:
        each.cancel()
    await asyncio.wait(calls)


def started(*calls: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(each) for each in calls]


async def running(site: Site, count: int) -> bool:
    return (await site.book())["running"] == count


async def waiting(site: Site, count: int) -> bool:
    return await site.metric("mcp_calls_waiting", service="trial") == count


async def in_flight(site: Site, count: int) -> bool:
    return await site.metric("mcp_calls_in_flight", service="trial") == count


async def test_a_client_that_hangs_up_mid_call_ends_the_work(ground: Ground) -> None:
    async with ground.site(trial={"timeout_s": 30}) as site:
        await asyncio.gather(*(site.look("warm") for _ in range(20)))
        start = Footprint.now()
        for tool in ("look", "add"):
            calls = started(*(site.tool(tool, "left", 3600) for _ in range(20)))
            await until(lambda: running(site, 20), 3)
            await until(lambda: in_flight(site, 20), 1)
            await hang_up(calls)
            await until(lambda: running(site, 0), 1)
            await until(lambda: in_flight(site, 0), 1)
        assert (await site.book())["cancelled"] == 40
        assert await site.runs("add:left") == 20
        await site.settled(start)
        assert (await site.health())["circuit"] == "closed"


async def test_a_client_that_hangs_up_before_a_black_hole_leaves_no_connection(
    ground: Ground,
) -> None:
    quiet = {"health_check": {"every_s": 60}, "timeout_s": 30}
    async with ground.site(trial=quiet) as site:
        await site.look("warm")
        held = site.proxy.open_connections
        start = Footprint.now()
        await site.proxy.suffer(BlackHole())
        calls = started(*(site.look("left") for _ in range(20)))
        await until(lambda: site.proxy.open_connections >= held + 18, 3)
        await hang_up(calls)
        await until(lambda: site.proxy.open_connections <= held, 3)
        await site.settled(start)


async def test_a_client_that_hangs_up_in_the_queue_leaves_it(ground: Ground) -> None:
    async with ground.site(trial=NARROW) as site:
        start = Footprint.now()
        first = started(site.look("first", 3600))
        await until(lambda: running(site, 1), 3)
        queued = started(*(site.tool("add", "queued") for _ in range(4)))
        await until(lambda: waiting(site, 4), 3)
        await hang_up(queued[:3])
        await until(lambda: waiting(site, 1), 1)
        await hang_up(first)
        assert (await queued[3]).code is None
        assert await site.runs("add:queued") == 1
        assert (await site.look("next")).code is None
        await until(lambda: in_flight(site, 0), 1)
        await site.settled(start)


async def test_a_client_that_hangs_up_between_two_tries_makes_no_other(ground: Ground) -> None:
    slow = {"retry": {"retries": 3, "first_s": 5, "most_s": 5}, "timeout_s": 30}
    async with ground.site(trial=slow) as site:
        start = Footprint.now()
        await site.cue("error", forget=True)
        calls = started(site.look("left"))

        async def was_tried() -> bool:
            return (await site.book())["requests"] == 1

        await until(was_tried, 3)
        await asyncio.sleep(0.05)
        assert not calls[0].done()
        await hang_up(calls)
        await site.settled(start)
        assert await was_tried()
        await until(lambda: in_flight(site, 0), 1)


async def test_a_probe_whose_caller_hangs_up_leaves_its_place_to_the_next(
    backed: Ground,
) -> None:
    tried = {
        "breaker": {"failures": 2, "open_s": 0.2},
        "retry": {"retries": 0},
        "timeout_s": 30,
    }
    async with backed.site(trial=tried) as site:
        await site.cue("error")
        for _ in range(2):
            await site.look("fails")
        assert (await site.health())["circuit"] == "open"
        await asyncio.sleep(0.2)
        await site.cue("well")
        probe = started(site.look("probe", 3600))
        await until(lambda: running(site, 1), 3)
        assert (await site.look("beside")).code == "circuit_open"
        await hang_up(probe)
        await until(lambda: running(site, 0), 1)

        async def probes() -> bool:
            return (await site.look("next")).code is None

        await until(probes, 1)
        assert (await site.health())["circuit"] == "closed"
