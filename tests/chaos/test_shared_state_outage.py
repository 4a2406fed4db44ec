"""Redis may go, hang and come back: no call is lost, and limits hold meanwhile."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.backends.redis_server import RedisServer
from tests.conftest import until

from .caller import Answered
from .house import Ground, Site

pytestmark = [pytest.mark.anyio, pytest.mark.real]

LIMITED = {"rate_limit": {"per_minute": 6000, "burst": 1000}}


@asynccontextmanager
async def under_load(site: Site) -> AsyncGenerator[list[Answered]]:
    """Four clients at each hub that call one after the other, until the block ends."""
    answers: list[Answered] = []
    stop = False

    async def client(hub: int) -> None:
        while not stop:
            answers.append(await site.callers[hub].call("test.trial.look", {"key": "load"}))
            await asyncio.sleep(0.02)

    async with anyio.create_task_group() as clients:
        for hub in range(len(site.hubs)):
            for _ in range(4):
                clients.start_soon(client, hub)
        yield answers
        stop = True


async def is_up(site: Site, up: float) -> bool:
    return all([await site.metric("mcp_shared_state_up", hub) == up for hub in range(2)])


async def some_more(answers: list[Answered], count: int = 40) -> None:
    enough = len(answers) + count
    await until(lambda: len(answers) >= enough, 5)


async def started(redis: RedisServer) -> None:
    # It waits on its thread: hubs and clients have this one.
    await anyio.to_thread.run_sync(redis.start)


async def stopped(redis: RedisServer) -> None:
    await anyio.to_thread.run_sync(redis.stop)


def told(logs: list[Mapping[str, Any]], event: str) -> list[Mapping[str, Any]]:
    return [each for each in logs if each["event"] == event]


@pytest.mark.parametrize("how", ["killed", "paused"])
async def test_no_call_is_lost_while_redis_is_away(
    cluster: Ground, redis_server: RedisServer, logs: list[Any], how: str
) -> None:
    async with cluster.site(trial=LIMITED, hubs=2) as site:
        await until(lambda: is_up(site, 1), 5)
        async with under_load(site) as answers:
            await some_more(answers)
            if how == "killed":
                await stopped(redis_server)
            else:
                redis_server.pause()
            await until(lambda: is_up(site, 0), 5)
            before = len(answers)
            await some_more(answers)
            if how == "killed":
                await started(redis_server)
            else:
                redis_server.go_on()
            await until(lambda: is_up(site, 1), 5)
            await some_more(answers)
        assert {each.code for each in answers} == {None}
        assert max(each.took_s for each in answers) < 0.25 + 0.15
        assert max(each.took_s for each in answers[before + 8 : before + 40]) < 0.15
        assert len(told(logs, "shared_state_away")) == len(site.hubs)
        assert {each["log_level"] for each in told(logs, "shared_state_away")} == {"warning"}
        assert len(told(logs, "shared_state_back")) == len(site.hubs)


async def test_local_limits_hold_while_redis_is_away(
    cluster: Ground, redis_server: RedisServer
) -> None:
    slow = {"rate_limit": {"per_minute": 60, "burst": 5}}
    async with cluster.site(trial=slow, hubs=2) as site:
        await stopped(redis_server)
        for caller in site.callers:
            answers = [await caller.call("test.trial.look", {"key": f"{n}"}) for n in range(12)]
            served = sum(each.code is None for each in answers)
            assert 5 <= served <= 7
            assert {each.code for each in answers} == {None, "rate_limited"}


async def test_a_circuit_stays_open_when_redis_goes_and_closes_when_it_is_back(
    cluster: Ground, redis_server: RedisServer
) -> None:
    tried = {"breaker": {"failures": 3, "open_s": 0.8}, "retry": {"retries": 0}}
    async with cluster.site(trial=tried, hubs=2) as site:
        await site.cue("error")
        for _ in range(3):
            await site.look("fails")

        async def are(state: str) -> bool:
            found = [(await site.health(hub=hub))["circuit"] for hub in range(2)]
            return found == [state, state]

        await until(lambda: are("open"), 0.5)
        await stopped(redis_server)
        await until(lambda: is_up(site, 0), 5)
        assert await are("open")
        await site.cue("well")
        await asyncio.sleep(0.8)
        for hub in range(2):
            assert (await site.callers[hub].call("test.trial.look", {"key": "probe"})).code is None
        await started(redis_server)
        await until(lambda: is_up(site, 1), 5)
        await until(lambda: are("closed"), 2)


async def test_a_hub_starts_without_redis_and_shares_when_it_comes(
    cluster: Ground, redis_server: RedisServer
) -> None:
    await stopped(redis_server)
    with anyio.fail_after(5):
        async with cluster.site(hubs=2) as site:
            assert (await site.look("alone")).code is None
            assert await is_up(site, 0)
            await started(redis_server)
            await until(lambda: is_up(site, 1), 3)
