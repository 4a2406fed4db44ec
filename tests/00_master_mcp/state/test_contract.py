"""What every shared state does, wherever it is kept and however many hubs share it."""

import asyncio
from itertools import cycle, islice
from typing import Any

import anyio
import pytest

from flotilla.errors import CircuitOpen
from flotilla.resilience import Breaker, RateLimit
from master.state.seam import LARGEST_CACHED_BYTES, Cached, Circuit, SharedState
from tests.conftest import until

pytestmark = pytest.mark.anyio

BREAKER = Breaker(failures=3, open_s=60)
BRIEF = Breaker(failures=1, open_s=0.1)


def in_turn(hubs: list[SharedState], count: int) -> list[SharedState]:
    return list(islice(cycle(hubs), count))


async def opened(circuit: Circuit, failures: int = 3) -> None:
    for n in range(failures):
        await circuit.failed(await circuit.admit(), f"refused {n}")


class Service:
    """The circuit of one service at each of the hubs."""

    def __init__(self, hubs: list[SharedState], breaker: Breaker = BREAKER) -> None:
        self.circuits = [hub.circuits.of("weather", breaker) for hub in hubs]
        self.first, self.last = self.circuits[0], self.circuits[-1]

    async def all_are(self, state: str) -> None:
        await until(lambda: {each.view.state for each in self.circuits} == {state})


# Limits


async def test_so_many_calls_go_at_once_whichever_hubs_they_come_to(
    hubs: list[SharedState],
) -> None:
    limit = RateLimit(per_minute=0.5, burst=4)
    waits = [await hub.limits.take("alice:weather", limit) for hub in in_turn(hubs, 6)]
    assert waits[:4] == [0.0] * 4
    assert waits[4:] == [pytest.approx(120, abs=2)] * 2


async def test_one_caller_is_not_held_up_by_another(hubs: list[SharedState]) -> None:
    limit = RateLimit(per_minute=0.5, burst=1)
    for key in ("alice:weather", "bob:weather", "alice:cmdb", "ä\n*"):
        assert await hubs[0].limits.take(key, limit) == 0.0
        assert await hubs[-1].limits.take(key, limit) > 0.0


async def test_who_waits_as_long_as_told_goes(hubs: list[SharedState]) -> None:
    limit = RateLimit(per_minute=1200, burst=1)
    assert await hubs[0].limits.take("alice", limit) == 0.0
    wait_s = 0.0
    # Whoever asks only after the 50 ms goes at once.
    while not wait_s:
        wait_s = await hubs[-1].limits.take("alice", limit)
    assert 0.0 < wait_s <= 0.05
    # A millisecond more: a timer may fire a little early.
    await anyio.sleep(wait_s + 0.001)
    assert await hubs[0].limits.take("alice", limit) == 0.0


async def test_of_a_flood_at_once_no_more_go_than_may(hubs: list[SharedState]) -> None:
    limit, went = RateLimit(per_minute=0.5, burst=20), list[float]()

    async def one(hub: SharedState) -> None:
        went.append(await hub.limits.take("flood", limit))

    async with anyio.create_task_group() as calls:
        for hub in in_turn(hubs, 150):
            calls.start_soon(one, hub)
    assert went.count(0.0) == 20


# Circuits


async def test_a_service_has_one_circuit_at_a_hub(hubs: list[SharedState]) -> None:
    circuits = hubs[0].circuits
    assert circuits.of("weather", BREAKER) is circuits.of("weather", BREAKER)
    circuits.forget("weather")
    assert circuits.of("weather", BREAKER).view.state in ("closed", "open")


async def test_failures_in_a_row_open_it_for_all_hubs(hubs: list[SharedState]) -> None:
    weather = Service(hubs)
    for n, circuit in enumerate(islice(cycle(weather.circuits), 3)):
        await circuit.failed(await circuit.admit(), f"refused {n}")
    await weather.all_are("open")
    for circuit in weather.circuits:
        assert (circuit.view.failures, circuit.view.reason) == (3, "refused 2")
        assert circuit.view.retry_after_s == pytest.approx(60, abs=2)
        with pytest.raises(CircuitOpen, match="weather") as refused:
            await circuit.admit()
        assert refused.value.details["retryAfterMs"] == pytest.approx(60_000, abs=2_000)


async def test_a_success_in_between_starts_the_count_anew(hubs: list[SharedState]) -> None:
    weather = Service(hubs)
    for _ in range(3):
        await opened(weather.first, failures=2)
        await until(lambda: weather.last.view.failures == 2)
        await weather.last.succeeded(await weather.last.admit())
        await until(lambda: weather.first.view.failures == 0)
    assert weather.first.view.state == "closed"
    assert weather.first.view.reason is None


async def test_of_fifty_callers_at_each_hub_one_probes(hubs: list[SharedState]) -> None:
    weather = Service(hubs, BRIEF)
    for _ in range(3):
        await weather.first.failed(await weather.first.admit(), "refused")
        await weather.all_are("open")
        await until(lambda: not any(each.view.retry_after_s for each in weather.circuits))
        callers = [circuit for circuit in weather.circuits for _ in range(50)]
        admitted = await asyncio.gather(*(each.admit() for each in callers), return_exceptions=True)
        assert sum(isinstance(each, CircuitOpen) for each in admitted) == len(callers) - 1
        await weather.all_are("half_open")
        probes = zip(callers, admitted, strict=True)
        ((probing, ticket),) = [each for each in probes if isinstance(each[1], int)]
        await probing.succeeded(ticket)
        await weather.all_are("closed")


async def test_the_failure_of_the_probe_opens_it_anew(hubs: list[SharedState]) -> None:
    weather = Service(hubs)
    await opened(weather.first)
    await weather.all_are("open")
    await weather.last.restored()
    ticket = await weather.last.admit()
    await weather.all_are("half_open")
    await weather.last.failed(ticket, "still refused")
    await weather.all_are("open")
    assert weather.first.view.retry_after_s == pytest.approx(60, abs=2)
    assert weather.first.view.reason == "still refused"


async def test_a_probe_that_told_nothing_leaves_its_place(hubs: list[SharedState]) -> None:
    weather = Service(hubs)
    await opened(weather.first)
    await weather.first.restored()
    ticket = await weather.first.admit()
    await weather.first.dropped(ticket)
    await until(lambda: (weather.last.view.state, weather.last.view.retry_after_s) == ("open", 0.0))
    await weather.last.succeeded(await weather.last.admit())
    await weather.all_are("closed")


async def test_the_place_of_a_probe_that_never_reports_back_is_free_after_its_time(
    hubs: list[SharedState],
) -> None:
    weather = Service(hubs)
    await opened(weather.first)
    await weather.first.restored()
    lost = await weather.first.admit(longest_s=lambda: 1.0)
    await weather.all_are("half_open")

    async def next_probes() -> bool:
        try:
            await weather.last.succeeded(await weather.last.admit())
        except CircuitOpen:
            return False
        return True

    assert not await next_probes()
    await until(next_probes)
    await weather.all_are("closed")
    await weather.first.failed(lost, "far too late")
    assert weather.first.view.failures == 0


async def test_it_can_be_opened_from_outside(hubs: list[SharedState]) -> None:
    weather = Service(hubs)
    await weather.first.trip("2 health checks failed")
    await weather.all_are("open")
    assert weather.last.view.reason == "2 health checks failed"
    await weather.last.restored()
    await until(lambda: weather.first.view.retry_after_s == 0.0)
    await weather.first.succeeded(await weather.first.admit())
    await weather.all_are("closed")


async def test_what_ends_after_the_opening_changes_nothing(hubs: list[SharedState]) -> None:
    weather = Service(hubs)
    tickets = [await each.admit() for each in weather.circuits]
    await opened(weather.first)
    await weather.all_are("open")
    for circuit, ticket in zip(weather.circuits, tickets, strict=True):
        await circuit.succeeded(ticket)
        await circuit.failed(ticket, "late")
        await circuit.dropped(ticket)
    assert {each.view.reason for each in weather.circuits} == {"refused 2"}
    assert {each.view.failures for each in weather.circuits} == {3}


async def test_fifty_failures_at_once_open_it_once(hubs: list[SharedState]) -> None:
    weather = Service(hubs)
    tickets = [(each, await each.admit()) for each in islice(cycle(weather.circuits), 50)]
    async with anyio.create_task_group() as calls:
        for circuit, ticket in tickets:
            calls.start_soon(circuit.failed, ticket, "refused")
    await weather.all_are("open")
    assert {each.view.failures for each in weather.circuits} == {3}


# Cache


async def generation(hub: SharedState, group: str, key: str) -> int:
    told = await hub.cache.get(group, key)
    assert isinstance(told, int)
    return told


async def kept(hub: SharedState, group: str, key: str) -> bytes | None:
    found = await hub.cache.get(group, key)
    return found.body if isinstance(found, Cached) else None


async def keep(hub: SharedState, group: str, key: str, body: bytes, ttl_s: float = 60) -> None:
    await hub.cache.put(group, key, await generation(hub, group, key), body, ttl_s)


async def test_what_is_kept_is_found_by_its_group_and_key_with_its_age(
    hubs: list[SharedState],
) -> None:
    body = bytes(range(256)) * 10
    await keep(hubs[0], "os.linux", "a", body)
    found = await hubs[-1].cache.get("os.linux", "a")
    assert isinstance(found, Cached)
    assert found.body == body
    assert 0 <= found.age_s < 5
    for group, key in (("os.linux", "b"), ("os.ssh", "a"), ("os.linuxa", "")):
        assert await kept(hubs[-1], group, key) is None


async def test_a_result_is_gone_after_its_time(hubs: list[SharedState]) -> None:
    await keep(hubs[0], "os.linux", "a", b"1", ttl_s=0.05)

    async def is_gone() -> bool:
        return await kept(hubs[-1], "os.linux", "a") is None

    await until(is_gone)


async def test_a_dropped_group_is_found_nowhere_and_others_still_are(
    hubs: list[SharedState],
) -> None:
    for group in ("os.linux", "data.cmdb"):
        await keep(hubs[0], group, "a", b"1")
    await hubs[-1].cache.drop("os.linux")
    assert await kept(hubs[0], "os.linux", "a") is None
    assert await kept(hubs[0], "data.cmdb", "a") == b"1"
    await keep(hubs[0], "os.linux", "a", b"2")
    assert await kept(hubs[-1], "os.linux", "a") == b"2"


async def test_what_was_asked_for_before_a_drop_is_not_kept_after_it(
    hubs: list[SharedState],
) -> None:
    before = await generation(hubs[0], "os.linux", "a")
    await hubs[-1].cache.drop("os.linux")
    await hubs[0].cache.put("os.linux", "a", before, b"stale", 60)
    assert await kept(hubs[0], "os.linux", "a") is None
    assert await generation(hubs[0], "os.linux", "a") != before


async def test_a_result_that_is_too_large_is_not_kept(hubs: list[SharedState]) -> None:
    await keep(hubs[0], "os.linux", "a", b"x" * (LARGEST_CACHED_BYTES + 1))
    assert await kept(hubs[0], "os.linux", "a") is None
    await keep(hubs[0], "os.linux", "a", b"x" * (LARGEST_CACHED_BYTES // 2))
    assert await kept(hubs[0], "os.linux", "a") is not None


# Hubs and news


async def test_hubs_know_where_the_others_are_until_they_end(hubs: list[SharedState]) -> None:
    ids = [hub.hubs.own_id for hub in hubs]
    assert len(set(ids)) == len(hubs)
    assert all(each.replace("-", "").isalnum() for each in ids)
    for n, hub in enumerate(hubs):
        await hub.hubs.announce(f"http://127.0.0.1:{9000 + n}")
    for hub in hubs:
        assert await hub.hubs.all() == {
            each: f"http://127.0.0.1:{9000 + n}" for n, each in enumerate(ids)
        }
        for n, each in enumerate(ids):
            assert await hub.hubs.address_of(each) == f"http://127.0.0.1:{9000 + n}"
        assert await hub.hubs.address_of("nobody") is None


async def test_news_reach_the_others_by_topic_and_not_the_teller(
    hubs: list[SharedState],
) -> None:
    heard: list[list[Any]] = [[] for _ in hubs]
    for hub, into in zip(hubs, heard, strict=True):
        hub.news.on("lists", into.append)
        hub.news.on("end", lambda text, into=into: into.append(("end", text)))
    await hubs[0].news.tell("nobody listens", "1")
    await hubs[0].news.tell("lists", "ä\n2")
    await hubs[0].news.tell("end", "")
    await until(lambda: all(into and into[-1] == ("end", "") for into in heard[1:]))
    assert heard == [[]] + [["ä\n2", ("end", "")] for _ in hubs[1:]]
