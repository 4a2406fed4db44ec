"""Redis that goes away or hangs: hubs go on alone, say so once, come back and agree again."""

import asyncio
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from flotilla.errors import CircuitOpen
from master.state.seam import Cached
from tests.backends.redis_server import RedisServer
from tests.conftest import until

from .operations import BREAKER, FEW, HANG_S, SLACK_S, every_operation, is_kept, keep, warnings

if TYPE_CHECKING:
    from conftest import OpenStates

pytestmark = pytest.mark.anyio


async def test_a_redis_that_is_killed_is_missed_by_nobody_and_found_when_it_is_back(
    redis_server: RedisServer, open_states: "OpenStates", told: Any
) -> None:
    async with open_states(redis_server.url) as (hub,):
        await every_operation(hub, "before")
        redis_server.stop()
        await every_operation(hub, "during")
        assert hub.away
        assert warnings(told) == ["shared_state_away"]
        await every_operation(hub, "later")
        redis_server.start()
        with anyio.fail_after(1 + SLACK_S):
            await until(lambda: hub.away is None)
        await every_operation(hub, "after")
        assert warnings(told) == ["shared_state_away", "shared_state_back"]
        assert redis_server.command("EXISTS", "flotilla:rate:after") == ":1"


async def test_a_redis_that_hangs_is_waited_for_a_quarter_of_a_second_once(
    redis_server: RedisServer, open_states: "OpenStates", told: Any
) -> None:
    async with open_states(redis_server.url) as (hub,):
        circuit = hub.circuits.of("weather", BREAKER)
        ticket = await circuit.admit()
        group, key = "os.linux", "a"
        redis_server.pause()
        started = perf_counter()
        await asyncio.gather(
            *(hub.limits.take(f"caller {n}", FEW) for n in range(50)),
            hub.cache.get(group, key),
            hub.cache.put(group, key, 0, b"x" * 1_000_000, 60),
            hub.cache.drop(group),
            hub.hubs.all(),
            hub.news.tell("lists", "text"),
            *(circuit.failed(ticket, "refused") for _ in range(50)),
        )
        assert perf_counter() - started < HANG_S + SLACK_S
        assert hub.away == f"127.0.0.1:{redis_server.port}: it does not answer"
        started = perf_counter()
        await every_operation(hub, "during")
        assert perf_counter() - started < SLACK_S, "once it is known, nobody waits"
        assert circuit.view.state == "open"
        redis_server.go_on()
        with anyio.fail_after(1 + SLACK_S):
            await until(lambda: hub.away is None)
        assert circuit.view.state == "open"
        assert warnings(told) == ["shared_state_away", "shared_state_back"]


async def test_a_redis_that_hangs_while_nobody_asks_is_found_out_by_the_hub_itself(
    redis_server: RedisServer, open_states: "OpenStates"
) -> None:
    async with open_states(redis_server.url) as (hub,):
        redis_server.pause()
        with anyio.fail_after(1 + HANG_S + 2 * SLACK_S):
            await until(lambda: hub.away is not None)


async def test_a_hub_that_was_busy_itself_does_not_blame_redis(
    redis_server: RedisServer, open_states: "OpenStates", told: Any
) -> None:
    async with open_states(redis_server.url) as (hub,):
        for n in range(3):
            asked = asyncio.create_task(hub.limits.take(f"caller {n}", FEW))
            for _ in range(n):
                await asyncio.sleep(0)
            # On purpose: nothing else runs in this process meanwhile.
            sleep(HANG_S + 0.05)
            assert await asked == 0.0
        assert warnings(told) == []


@pytest.mark.parametrize("how", ["nobody there", "hangs"])
async def test_a_hub_starts_without_redis_and_shares_when_it_comes(
    how: str, redis_server: RedisServer, open_states: "OpenStates", told: Any
) -> None:
    returned = list[str]()
    redis_server.stop() if how == "nobody there" else redis_server.pause()
    started = perf_counter()
    async with open_states(redis_server.url) as (hub,):
        assert perf_counter() - started < 1 + SLACK_S
        hub.news.on_return(lambda: returned.append("back"))
        assert hub.away
        await every_operation(hub, "alone")
        redis_server.start() if how == "nobody there" else redis_server.go_on()
        with anyio.fail_after(1 + SLACK_S):
            await until(lambda: hub.away is None)
        assert returned == ["back"]
        assert await hub.hubs.address_of(hub.hubs.own_id) == "http://alone"
        assert warnings(told) == ["shared_state_away", "shared_state_back"]


async def test_a_listener_that_fails_keeps_neither_redis_nor_the_others_away(
    redis_server: RedisServer, open_states: "OpenStates", told: Any
) -> None:
    def fail(*_: str) -> None:
        raise RuntimeError("on purpose")

    async with open_states(redis_server.url, 2) as (hub, other):
        returned, heard = asyncio.Event(), asyncio.Event()
        hub.news.on("lists", fail)
        hub.news.on("lists", lambda _: heard.set())
        hub.news.on_return(fail)
        hub.news.on_return(returned.set)
        redis_server.stop()
        await until(lambda: hub.away and other.away)
        redis_server.start()
        with anyio.fail_after(5):
            await returned.wait()
        await until(lambda: other.away is None)
        await other.news.tell("lists", "")
        with anyio.fail_after(5):
            await heard.wait()
        assert hub.away is None
        failed = {each["event"] for each in told if each.get("exc_info")}
        assert failed == {"shared_state_return_failed", "shared_news_failed"}


async def test_a_flood_of_large_results_does_not_make_redis_seem_away(
    redis_server: RedisServer, open_states: "OpenStates"
) -> None:
    async with open_states(redis_server.url) as (hub,):
        generation = await hub.cache.get("os.linux", "0")
        assert isinstance(generation, int)
        body = b"x" * 1_000_000
        puts = [hub.cache.put("os.linux", f"{n}", generation, body, 60) for n in range(100)]
        await asyncio.gather(*puts, *(hub.limits.take(f"caller {n}", FEW) for n in range(100)))
        assert hub.away is None
        found = [await hub.cache.get("os.linux", f"{n}") for n in range(100)]
        assert 1 <= sum(isinstance(each, Cached) for each in found) <= 4


async def test_a_first_connection_is_no_return(
    redis_server: RedisServer, open_states: "OpenStates", told: Any
) -> None:
    returned = list[str]()
    async with open_states(redis_server.url) as (hub,):
        hub.news.on_return(lambda: returned.append("back"))
        await every_operation(hub, "first")
    assert (returned, warnings(told)) == ([], [])


async def test_what_hubs_learn_of_services_while_alone_they_agree_on_afterwards(
    redis_server: RedisServer, open_states: "OpenStates"
) -> None:
    async with open_states(redis_server.url, 3) as hubs:
        weather = [hub.circuits.of("weather", BREAKER) for hub in hubs]
        cmdb = [hub.circuits.of("cmdb", BREAKER) for hub in hubs]
        await cmdb[0].trip("was away before")
        await until(lambda: {each.view.state for each in cmdb} == {"open"})
        redis_server.stop()
        for _ in range(2):
            await weather[1].failed(await weather[1].admit(), "refused")
        # Each sees for itself now, and keeps what it knew.
        assert [each.view.state for each in weather] == ["closed", "open", "closed"]
        assert [each.view.state for each in cmdb] == ["open"] * 3
        await cmdb[2].restored()
        await cmdb[2].succeeded(await cmdb[2].admit())
        redis_server.start()
        await until(lambda: {each.view.state for each in weather} == {"open"})
        await until(lambda: {each.view.state for each in cmdb} == {"closed"})
        assert {each.view.reason for each in weather} == {"refused"}
        # They learn all that there is before they say that it is back.
        await until(lambda: [hub.away for hub in hubs] == [None] * 3)


async def test_what_was_dropped_while_redis_was_away_is_not_found_when_it_is_back(
    redis_server: RedisServer, open_states: "OpenStates"
) -> None:
    async with open_states(redis_server.url, 2) as (one, other):
        await keep(one, "os.linux")
        await keep(one, "data.cmdb")
        redis_server.pause()
        await one.cache.drop("os.linux")
        redis_server.go_on()
        await until(lambda: one.away is None and other.away is None)
        assert not await is_kept(other, "os.linux")
        assert await is_kept(other, "data.cmdb")


async def test_what_a_hub_kept_for_itself_in_one_outage_is_not_found_in_the_next(
    redis_server: RedisServer, open_states: "OpenStates"
) -> None:
    async with open_states(redis_server.url) as (hub,):
        redis_server.stop()
        await until(lambda: hub.away is not None)
        await keep(hub)
        assert await is_kept(hub)
        redis_server.start()
        await until(lambda: hub.away is None)
        assert not await is_kept(hub)
        redis_server.stop()
        await until(lambda: hub.away is not None)
        assert not await is_kept(hub)


async def test_addresses_of_hubs_are_remembered_while_redis_is_away_and_gone_with_a_hub(
    redis_server: RedisServer, open_states: "OpenStates"
) -> None:
    async with open_states(redis_server.url) as (stays,):
        async with open_states(redis_server.url) as (ends,):
            await ends.hubs.announce("http://ends")
            assert await stays.hubs.all() == {ends.hubs.own_id: "http://ends"}
            # One that is killed cannot say goodbye: its key expires.
            assert int(redis_server.command("PTTL", f"flotilla:hub:{ends.hubs.own_id}")[1:]) > 0
            redis_server.stop()
            await until(lambda: stays.away is not None)
            assert await stays.hubs.address_of(ends.hubs.own_id) == "http://ends"
            redis_server.start()

            async def is_announced() -> bool:
                return stays.away is None and bool(await stays.hubs.all())

            await until(is_announced)
            await until(lambda: ends.away is None)
        assert await stays.hubs.address_of(ends.hubs.own_id) is None
        assert await stays.hubs.all() == {}


async def test_callers_that_leave_disturb_neither_others_nor_the_circuit(
    redis_server: RedisServer, open_states: "OpenStates"
) -> None:
    async with open_states(redis_server.url) as (hub,):
        takes = [asyncio.create_task(hub.limits.take(f"caller {n}", FEW)) for n in range(100)]
        await asyncio.sleep(0)
        for leaving in takes[::2]:
            leaving.cancel()
        assert await asyncio.gather(*takes[1::2]) == [0.0] * 50
        circuit = hub.circuits.of("weather", BREAKER)
        for turns in range(12):
            await circuit.trip("away")
            await circuit.restored()
            leaving = asyncio.create_task(circuit.admit())
            for _ in range(turns):
                await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            if leaving.cancelled():

                async def is_free() -> bool:
                    try:
                        await circuit.succeeded(await circuit.admit())
                    except CircuitOpen:
                        return False
                    return True

                await until(is_free)
        assert hub.away is None


async def test_a_closed_circuit_asks_nobody_while_calls_succeed(
    redis_server: RedisServer, open_states: "OpenStates"
) -> None:
    async with open_states(redis_server.url) as (hub,):
        circuit = hub.circuits.of("weather", BREAKER)
        redis_server.pause()
        for _ in range(1000):
            await circuit.succeeded(await circuit.admit())
        redis_server.go_on()
        assert hub.away is None


async def test_a_hub_that_ends_leaves_no_task_no_connection_and_nothing_without_an_end(
    redis_server: RedisServer, open_states: "OpenStates", told: Any
) -> None:
    before = asyncio.all_tasks()
    async with open_states(redis_server.url, 3) as hubs:
        for n, hub in enumerate(hubs):
            await every_operation(hub, f"service-{n}")
        keys = redis_server.command("EVAL", KEYS_WITHOUT_END, "0")
    assert asyncio.all_tasks() == before
    # The question itself comes over one.
    await until(lambda: redis_server.command("CLIENT", "LIST").count("id=") == 1)
    assert keys == "flotilla:hubs"
    assert warnings(told) == []


KEYS_WITHOUT_END = """
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  if redis.call('PTTL', key) == -1 or string.sub(key, 1, 9) ~= 'flotilla:' then
    table.insert(found, key)
  end
end
return table.concat(found, ' ')
"""


async def test_a_hub_that_is_made_to_end_leaves_no_task_either(
    redis_server: RedisServer, open_states: "OpenStates"
) -> None:
    before = asyncio.all_tasks()
    with anyio.CancelScope() as ending:
        async with open_states(redis_server.url) as (hub,):
            await hub.hubs.announce("http://hub")
            ending.cancel()
    await until(lambda: asyncio.all_tasks() == before)
    await until(lambda: redis_server.command("CLIENT", "LIST").count("id=") == 1)


async def test_a_hub_ends_at_once_while_redis_hangs(
    redis_server: RedisServer, open_states: "OpenStates"
) -> None:
    async with open_states(redis_server.url):
        redis_server.pause()
        started = perf_counter()
    assert perf_counter() - started < 0.5 + SLACK_S
