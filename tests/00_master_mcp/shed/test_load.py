"""When the hub has too much on its hands, and when it has that no more."""

import asyncio
import time
from itertools import pairwise
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from flotilla.fleet import HubLimits
from master.load import TICK_S, Lateness, Load, retry_after_ms
from tests.conftest import until

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def load_of(clock: Clock, **limits: Any) -> Load:
    return Load(HubLimits(**limits), most_bytes=1000, clock=clock, draw=lambda: 0.5)


def tick(load: Load, clock: Clock, late_s: float = 0.0, times: int = 1) -> None:
    for _ in range(times):
        clock.now_s += TICK_S + late_s
        load.tick()


@pytest.mark.parametrize("pause_s", [0.5, 1.0, 3.0, 60.0])
def test_one_pause_however_long_turns_nobody_away(pause_s: float) -> None:
    lateness = Lateness(limit_s=1.0)
    lateness.ticked(pause_s)
    assert not lateness.too_late


def test_a_clock_that_stays_late_is_too_late_after_a_few_ticks_and_not_before() -> None:
    lateness, verdicts = Lateness(limit_s=1.0), []
    for _ in range(6):
        lateness.ticked(1.5)
        verdicts.append(lateness.too_late)
    assert not verdicts[0] and verdicts[-1]
    assert verdicts == sorted(verdicts)


def test_a_clock_just_below_its_limit_is_never_too_late() -> None:
    lateness = Lateness(limit_s=1.0)
    for _ in range(1000):
        lateness.ticked(0.99)
    assert not lateness.too_late


def test_calls_are_taken_again_only_well_below_the_limit() -> None:
    lateness = Lateness(limit_s=1.0)
    for _ in range(10):
        lateness.ticked(1.5)
    levels = []
    while lateness.too_late:
        levels.append(lateness.level_s)
        lateness.ticked(0.0)
    assert min(levels) < 1.0
    assert lateness.level_s <= 0.5
    assert len(levels) * TICK_S < 2


def test_who_is_turned_away_comes_back_later_the_more_there_are_and_never_all_at_once() -> None:
    assert retry_after_ms(1, 0.0) < retry_after_ms(1, 1.0)
    waits = [retry_after_ms(pressure, 0.5) for pressure in (0, 1, 2, 10)]
    assert waits[0] == waits[1] == 500
    assert all(first < second for first, second in pairwise(waits[1:]))
    assert retry_after_ms(1e9, 1.0) == 30_000


def test_there_is_room_up_to_the_limits_and_not_beyond() -> None:
    load = load_of(Clock(), calls=2)
    assert load.refuses(1000) is None
    assert load.refuses(1001) == "bytes"
    load.calls = 2
    assert load.refuses(0) == "calls"


def test_a_hub_that_is_behind_takes_no_calls_until_it_has_caught_up() -> None:
    clock = Clock()
    load = load_of(clock, lag_s=0.2)
    tick(load, clock, times=5)
    assert load.refuses(0) is None
    tick(load, clock, late_s=0.3, times=5)
    assert load.refuses(0) == "lag"
    tick(load, clock, times=20)
    assert load.refuses(0) is None


def test_an_episode_is_told_once_when_it_begins_and_once_when_it_is_over() -> None:
    clock = Clock()
    load = load_of(clock, calls=10)
    load.calls = 10
    tick(load, clock)
    with capture_logs() as lines:
        for _ in range(5):
            load.turn_away("calls")
            tick(load, clock, times=3)
        assert load.overloaded and load.why == "calls"
        load.calls = 9
        tick(load, clock, times=50)
        assert load.overloaded, "nine of ten is no room to speak of"
        load.calls = 7
        tick(load, clock, times=2)
        assert not load.overloaded and load.why is None
    assert [line["event"] for line in lines] == ["overloaded", "overload_over"]
    assert lines[0]["reason"] == "calls" and lines[0]["calls"] == 10
    assert lines[1]["turned_away"] == 5


def test_an_episode_is_not_over_in_the_moment_after_a_refusal() -> None:
    clock = Clock()
    load = load_of(clock, calls=10)
    load.turn_away("bytes")
    tick(load, clock, times=9)
    assert load.overloaded
    tick(load, clock, times=3)
    assert not load.overloaded


def test_the_wait_grows_while_many_are_turned_away_and_falls_when_they_are_gone() -> None:
    clock = Clock()
    load = load_of(clock, calls=10)
    waits = [load.turn_away("calls") for _ in range(100)]
    assert waits[-1] > 5 * waits[0]
    tick(load, clock, times=60)
    assert load.turn_away("calls") < 2 * waits[0]


async def test_a_blocked_loop_is_found_out_and_so_is_its_recovery() -> None:
    load = Load(HubLimits(lag_s=0.05))
    async with load.running():

        async def is_behind() -> bool:
            time.sleep(0.2)  # what a loop with too much to do is like
            return load.behind

        await until(is_behind)
        assert load.refuses(0) == "lag"
        await until(lambda: not load.behind)
        assert load.refuses(0) is None


async def test_the_watch_ends_with_the_hub() -> None:
    ticks = 0

    class Counting(Load):
        def tick(self) -> None:
            nonlocal ticks
            ticks += 1
            super().tick()

    load = Counting(HubLimits())
    before = len(asyncio.all_tasks())
    async with load.running():
        await until(lambda: ticks >= 2)
        assert len(asyncio.all_tasks()) == before
    ended = ticks
    with anyio.move_on_after(2.5 * TICK_S):
        await until(lambda: ticks > ended)
    assert ticks == ended
