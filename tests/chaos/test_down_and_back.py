"""A server that is down is told at once, and is served again within a second of its return."""

import asyncio
from collections.abc import Sequence
from time import monotonic

import anyio
import pytest

from tests.conftest import until

from .caller import Answered
from .fault_proxy import BlackHole, Fault, Garbage, HalfOpen, Refuse, Reset, Unaccepting
from .house import Footprint, Ground, Site, mostly_real

pytestmark = pytest.mark.anyio

DOWN: dict[str, Fault] = {
    "refused": Refuse(),
    "reset": Reset(),
    "black_hole": BlackHole(),
    "no_syn": Unaccepting(),
    "noise": Garbage("noise"),
    "other_json": Garbage("json"),
    "html": Garbage("html"),
}
AT_ONCE_S = 0.1
BACK_S = 1.0
USUAL = {"timeout_s": 1.0, "breaker": {"failures": 5, "open_s": 60}}
"""A breaker that would rest for a minute: that the server is back must end its rest."""


async def first_good_s(site: Site, within_s: float, tool: str = "test.trial.look") -> float:
    """How long until a client that calls every 50 ms is served, in seconds."""
    started = monotonic()
    served = anyio.Event()
    at = started

    async def call() -> None:
        nonlocal at
        if (await site.caller.call(tool, {"key": "back"})).code is None and not served.is_set():
            at = monotonic()
            served.set()

    with anyio.fail_after(within_s):
        async with anyio.create_task_group() as calls:
            while not served.is_set():
                calls.start_soon(call)
                with anyio.move_on_after(0.05):
                    await served.wait()
            calls.cancel_scope.cancel()
    return at - started


def at_once(answers: Sequence[Answered]) -> bool:
    """Whether all but one came at once: one of them may meet a pause of the machine's."""
    return sorted(each.took_s for each in answers)[-2] < AT_ONCE_S


async def told_away(site: Site, service: str = "trial") -> bool:
    return await site.metric("mcp_service_health", service=service) == 0


async def go_down_and_back(ground: Ground, fault: Fault) -> None:
    async with ground.site(trial=USUAL) as site:
        await site.look("warm")
        start = Footprint.now()
        await site.proxy.suffer(fault)
        calls = [asyncio.create_task(site.look("first")) for _ in range(6)]
        await until(lambda: told_away(site), 3)
        await asyncio.gather(*calls)
        answers = [await site.tool(tool, "down") for tool in ("look", "add") * 3]
        assert {each.code for each in answers} <= {"unavailable", "circuit_open"}
        assert all(each.error["hint"] for each in answers)
        assert at_once(answers), answers
        assert "test.trial.look" in await site.caller.tools()
        await site.proxy.heal()
        assert await first_good_s(site, 8) < BACK_S
        await until(lambda: _healthy(site), 3)
        assert await site.runs("add:down") == 0
        await site.settled(start)


async def _healthy(site: Site) -> bool:
    return (await site.health())["status"] == "healthy"


@pytest.mark.parametrize("name", mostly_real(DOWN, "refused"))
async def test_a_server_that_is_down_is_told_in_100_ms_and_back_within_a_second(
    ground: Ground, name: str
) -> None:
    await go_down_and_back(ground, DOWN[name])


@pytest.mark.parametrize("name", mostly_real(DOWN, "refused"))
async def test_so_it_is_where_hubs_share_redis(cluster: Ground, name: str) -> None:
    await go_down_and_back(cluster, DOWN[name])


@pytest.mark.parametrize("name", mostly_real(DOWN, "refused"))
async def test_so_it_is_with_an_external_server(ground: Ground, name: str) -> None:
    async with (
        ground.site() as inner,
        inner.as_server() as (proxy, entry),
        ground.beside("outer").site(through=(), external={"inner": entry}) as outer,
    ):
        tool = await outer.listed("inner", "look")
        await proxy.suffer(DOWN[name])

        await until(lambda: told_away(outer, "inner"), 4)
        answers = [await outer.caller.call(tool, {"key": "down"}) for _ in range(6)]
        assert {each.code for each in answers} <= {"unavailable", "circuit_open"}
        assert at_once(answers), answers
        await proxy.heal()
        assert await first_good_s(outer, 8, tool) < BACK_S


async def test_connections_that_are_half_open_are_found_out_by_the_checks(ground: Ground) -> None:
    async with ground.site(trial=USUAL) as site:
        await asyncio.gather(*(site.look("warm", 0.05) for _ in range(10)))
        await site.proxy.suffer(HalfOpen())
        assert await first_good_s(site, 8) < 2 * 0.3 + 0.3 + BACK_S
        for _ in range(20):
            assert (await site.look("after")).code is None


@pytest.mark.real
async def test_a_server_that_hangs_is_away_though_its_port_accepts(ground: Ground) -> None:
    async with ground.site(trial=USUAL) as site:
        await site.cue("hang", what="all")
        await until(lambda: told_away(site), 3)
        answers = [await site.look("down") for _ in range(3)]
        assert at_once(answers), answers
        health = await site.health()
        assert health["status"] == "unreachable" and health["reason"]
        await site.cue("well")
        assert await first_good_s(site, 8) < BACK_S


@pytest.mark.real
async def test_a_server_that_was_away_for_long_is_back_as_fast(ground: Ground) -> None:
    async with ground.site(trial=USUAL) as site:
        await site.proxy.suffer(Refuse())
        await until(lambda: told_away(site), 3)
        with anyio.move_on_after(3):
            while True:
                await site.look("down")
                await anyio.sleep(0.2)
        await site.proxy.heal()
        assert await first_good_s(site, 8) < BACK_S


@pytest.mark.real
async def test_a_black_hole_is_not_hammered(ground: Ground) -> None:
    async with ground.site(trial=USUAL) as site:
        await site.look("warm")
        await site.proxy.suffer(BlackHole())
        await until(lambda: told_away(site), 3)
        before = site.proxy.connections
        with anyio.move_on_after(1):
            while True:
                await site.look("down")
                await anyio.sleep(0.02)
        assert site.proxy.connections - before <= 6
        assert site.proxy.open_connections <= 16


@pytest.mark.parametrize("name", mostly_real(DOWN, "black_hole"))
async def test_a_server_unreachable_at_the_start_delays_nothing(ground: Ground, name: str) -> None:
    async with ground.site(trial=USUAL):
        pass  # what the first start alone has to load

    async def started_s(broken: dict[str, Fault]) -> tuple[float, set[str]]:
        before = monotonic()
        async with ground.site(trial=USUAL, broken=broken, ready=False) as site:
            await site.hub.ready(["trial"] if broken else [])
            lists = [await site.caller.ask("tools/list", {})]
            took_s = monotonic() - before
            lists += [await site.caller.ask("tools/list", {}) for _ in range(2)]
            assert at_once(lists), lists
            assert (await site.look_beside(1)).code is None
            names = set(await site.caller.tools())
            if broken:
                answers = [await site.look("down") for _ in range(3)]
                # Nobody knows its tools yet.
                assert {each.code for each in answers} <= {"not_found", "unavailable"}
                assert at_once(answers), answers
                await site.proxy.heal()
                assert await first_good_s(site, 8) < BACK_S
                assert "test.trial.look" in await site.caller.tools()
            return took_s, {name for name in names if not name.startswith("test.trial.")}

    usual_s, listed = await started_s({})
    broken = [await started_s({"trial": DOWN[name]}) for _ in range(2)]
    assert all(listed_then == listed for _, listed_then in broken)
    # One of them may meet a pause of the machine's.
    assert min(broken)[0] < usual_s + 0.3
