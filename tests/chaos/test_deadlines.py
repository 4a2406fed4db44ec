"""A call ends when its caller said, to 50 ms, over every hop."""

import pytest

from tests.conftest import until

from .caller import Answered
from .fault_proxy import BlackHole, Drip
from .house import Ground, Site, mostly_real

pytestmark = pytest.mark.anyio

WAITS_MS = 150
ROUNDS = 3


def in_time(answers: list[Answered]) -> None:
    """All ended by `timeout` in their time; the best of them tells what the fleet itself takes."""
    assert {each.code for each in answers} == {"timeout"}
    took_ms = sorted(each.took_s * 1e3 for each in answers)
    assert took_ms[0] >= WAITS_MS - 50
    # Other programs on this machine may hold up one of them, not half.
    assert took_ms[len(took_ms) // 2] <= WAITS_MS + 50, took_ms


async def rests(site: Site) -> bool:
    """Whether nothing runs; a service hears of a deadline a few milliseconds before its hub."""
    return (await site.book())["running"] == 0


async def ask(site: Site, tool: str = "test.trial.look") -> list[Answered]:
    arguments = {"key": "late", "takesS": 3600}
    return [await site.caller.call(tool, arguments, timeout_ms=WAITS_MS) for _ in range(ROUNDS)]


async def test_a_tool_that_hangs_ends_with_its_callers_patience(ground: Ground) -> None:
    async with ground.site(trial={"timeout_s": 30}) as site:
        in_time(await ask(site))
        await until(lambda: rests(site))
        assert (await site.book())["runs"] == {"look:late": ROUNDS}


async def test_the_services_own_limit_is_one_too(ground: Ground) -> None:
    async with ground.site(trial={"timeout_s": WAITS_MS / 1e3}) as site:
        in_time([await site.look("late", 3600) for _ in range(ROUNDS)])


@pytest.mark.parametrize("how", mostly_real(["hang", "black hole", "drip"], "hang"))
async def test_a_server_that_says_nothing_ends_no_later(ground: Ground, how: str) -> None:
    quiet = {"health_check": {"every_s": 60}, "breaker": {"failures": 1000}}
    async with ground.site(trial={"timeout_s": 30, **quiet}) as site:
        await site.look("warm")
        if how == "hang":
            await site.cue("hang")
        else:
            await site.proxy.suffer(BlackHole() if how == "black hole" else Drip(20))
        in_time(await ask(site))


@pytest.mark.parametrize("how", mostly_real(["well", "hang"], "hang"))
async def test_a_deadline_holds_through_three_hops(ground: Ground, how: str) -> None:
    async with (
        ground.site(trial={"timeout_s": 30}) as inner,
        inner.as_server() as (_, entry),
        ground.beside("outer").site(through=(), external={"inner": entry}) as outer,
    ):
        name = await outer.listed("inner", "look")
        await inner.cue(how)
        in_time(await ask(outer, name))
        await inner.cue("well")
        calls = [
            await outer.caller.call(name, {"key": "seen"}, timeout_ms=WAITS_MS)
            for _ in range(ROUNDS)
        ]
        left_ms = [each.structured["remainingMs"] for each in calls if each.code is None]
        assert WAITS_MS - 100 < max(left_ms) <= WAITS_MS
        await until(lambda: rests(inner))
