"""What one principal does is not noticed by another."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from statistics import median
from time import monotonic

import pytest

from flotilla import Principal
from master.principals import TokenBook

from .caller import Answered, Caller
from .house import Ground, Site, as_fast

pytestmark = pytest.mark.anyio

ANN, BOB = "flt_ann", "flt_bob"


BOOK = TokenBook(
    {
        hashlib.sha256(token.encode()).digest(): Principal(token[4:], ("operator",))
        for token in (ANN, BOB)
    }
)


@asynccontextmanager
async def both(site: Site) -> AsyncGenerator[tuple[Caller, Caller]]:
    async with Caller.of(site.hub, ANN) as ann, Caller.of(site.hub, BOB) as bob:
        yield ann, bob


async def in_turn(caller: Caller, calls: int) -> list[Answered]:
    return [await caller.call("test.trial.look", {"key": f"{n}"}) for n in range(calls)]


async def test_a_flood_by_one_principal_is_not_noticed_by_another(ground: Ground) -> None:
    await flood(replace(ground, book=BOOK))


@pytest.mark.real
async def test_so_it_is_where_hubs_share_redis(cluster: Ground) -> None:
    await flood(replace(cluster, book=BOOK))


async def flood(ground: Ground) -> None:
    limited = {"rate_limit": {"per_minute": 1200, "burst": 60}}
    async with ground.site(trial=limited) as site, both(site) as (ann, bob):
        await in_turn(bob, 5)
        alone = await in_turn(bob, 15)
        began = monotonic()
        floods = [asyncio.create_task(_flood(ann)) for _ in range(3)]
        together = await in_turn(bob, 15)
        answers = [each for one in floods for each in await one]
        took_s = monotonic() - began
        again = await in_turn(bob, 15)
        assert {each.code for each in [*alone, *together, *again]} == {None}
        amid_s, before_s, after_s = (
            median(each.took_s for each in calls) for calls in (together, alone, again)
        )
        assert as_fast(amid_s, before_s, after_s)
        turned = [each for each in answers if each.code == "rate_limited"]
        assert len(answers) - len(turned) <= 60 + 1200 / 60 * took_s + 1
        assert len(turned) > 40
        assert all(each.error["retryAfterMs"] > 0 for each in turned)
        found = await site.metric(
            "mcp_calls_turned_away_total", service="trial", reason="rate_limit"
        )
        assert found == len(turned)


async def _flood(caller: Caller) -> list[Answered]:
    """About two hundred calls a second, for half a second."""
    answers: list[Answered] = []
    for n in range(50):
        answers.append(await caller.call("test.trial.look", {"key": f"flood {n}"}))
        await asyncio.sleep(0.005)
    return answers


async def test_slow_calls_of_one_principal_leave_places_to_another(ground: Ground) -> None:
    narrow = {"places": {"calls": 20, "waiting": 20, "wait_s": 1.0}, "timeout_s": 2}
    async with replace(ground, book=BOOK).site(trial=narrow) as site, both(site) as (ann, bob):
        slow = {"key": "slow", "takesS": 0.6}
        flood = [asyncio.create_task(ann.call("test.trial.look", slow)) for _ in range(100)]
        while (await site.book())["running"] < 10:
            await asyncio.sleep(0.01)
        answers = await in_turn(bob, 5)
        assert {each.code for each in answers} == {None}
        assert max(each.took_s for each in answers) < 0.5
        await asyncio.gather(*flood)


async def test_hubs_that_share_redis_count_a_principal_once(cluster: Ground) -> None:
    limited = {"rate_limit": {"per_minute": 60, "burst": 10}}
    async with replace(cluster, book=BOOK).site(trial=limited, hubs=3) as site:
        answers: list[Answered] = []
        for hub in site.hubs:
            async with Caller.of(hub, ANN) as ann:
                answers += await in_turn(ann, 10)
        served = sum(each.code is None for each in answers)
        assert 10 <= served <= 12
        assert {each.code for each in answers} == {None, "rate_limited"}
