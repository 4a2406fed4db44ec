"""Calls that hang hold their places, and nobody else's."""

import asyncio
from statistics import median

import pytest

from tests.conftest import until

from .house import Footprint, Ground, as_fast, mostly_real

pytestmark = pytest.mark.anyio

COME_S = 1.0
"""Within which all have come, so that those who wait for a place give up before one is free."""


async def hang(ground: Ground, hung: int, limit_s: float) -> None:
    """What becomes of so many, whose limit is longer than all need to come and be told."""
    places = {"calls": 20, "waiting": 5, "wait_s": limit_s - COME_S, "share": 1}
    many = {"timeout_s": limit_s, "places": places, "breaker": {"failures": 100_000}}
    async with ground.site(trial=many) as site:
        alone_s = await site.beside()
        start = Footprint.now()
        calls = [asyncio.create_task(site.look("hung", 3600)) for _ in range(hung)]

        async def all_have_come() -> bool:
            ended = sum(each.done() for each in calls)
            return (await site.book())["running"] == 20 and ended >= hung - 25

        await until(all_have_come, limit_s)
        more = [await site.look("more") for _ in range(9)] if hung > 25 else []
        together_s = await site.beside()
        answers = await asyncio.gather(*calls)
        assert as_fast(together_s, alone_s, await site.beside())
        assert (await site.book())["mostRunning"] == 20
        turned = [each for each in answers if each.code == "rate_limited"]
        late = [each for each in answers if each.code == "timeout"]
        assert (len(late), len(turned)) == (20, hung - 20)
        assert all(each.error["retryAfterMs"] > 0 and each.error["hint"] for each in turned)
        assert {each.code for each in more} <= {"rate_limited"}
        assert median([each.took_s for each in more] or [0]) < 0.05
        found = await site.metric("mcp_calls_turned_away_total", service="trial", reason="places")
        assert (found or 0) == len(turned) + len(more)
        assert (await site.look("next")).code is None
        assert (await site.book())["running"] == 0
        await site.settled(start)


@pytest.mark.parametrize("hung", mostly_real([20, 500], 500))
async def test_hung_calls_slow_nobody_and_those_without_a_place_are_told_at_once(
    ground: Ground, hung: int
) -> None:
    await hang(ground, hung, 4.0)


@pytest.mark.real
@pytest.mark.parametrize("hung", [20, 500])
async def test_so_it_is_where_hubs_share_redis(cluster: Ground, hung: int) -> None:
    await hang(cluster, hung, 5.0)


async def test_a_call_that_waits_gets_the_place_that_becomes_free(ground: Ground) -> None:
    narrow = {"places": {"calls": 1, "waiting": 3, "wait_s": 1.0, "share": 1}, "timeout_s": 3}
    async with ground.site(trial=narrow) as site:
        answers = await asyncio.gather(*(site.look("queued", 0.1) for _ in range(4)))
        assert {each.code for each in answers} == {None}
        assert sorted(each.structured["run"] for each in answers) == [1, 2, 3, 4]
        assert (await site.book())["mostRunning"] == 1
