"""Blocking work on a bounded number of threads."""

import threading

import anyio
import pytest

from flotilla import Deadline, RateLimited, TimedOut, Unavailable
from flotilla.threads import Threads
from tests.conftest import until

pytestmark = pytest.mark.anyio


async def test_what_the_function_returns_or_raises_comes_back() -> None:
    threads = Threads(2, "Sky")
    assert await threads.run(Deadline.after(5), int, "7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        await threads.run(Deadline.after(5), int, "x")


async def test_no_more_than_the_places_run_at_once() -> None:
    threads, go = Threads(2, "Sky"), threading.Event()
    running: list[int] = []

    def work(number: int) -> None:
        running.append(number)
        go.wait(5)

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(threads.run, Deadline.after(5), work, number)
        await until(lambda: len(running) == 2)
        await anyio.sleep(0.02)
        assert len(running) == 2
        go.set()
    assert sorted(running) == [0, 1, 2]


async def test_a_cancelled_call_frees_its_place_though_its_thread_hangs() -> None:
    threads, go = Threads(1, "Sky", abandoned=2), threading.Event()
    with anyio.move_on_after(0.05):
        await threads.run(Deadline.after(5), go.wait, 5)
    assert threads.abandoned == 1
    assert await threads.run(Deadline.after(5), int, "1") == 1
    go.set()
    await until(lambda: threads.abandoned == 0)


async def test_a_deadline_ends_the_waiting_and_a_dead_provider_is_told_of_at_once() -> None:
    threads, go = Threads(1, "Sky"), threading.Event()
    with pytest.raises(TimedOut):
        await threads.run(Deadline.after(0.05), go.wait, 5)
    with pytest.raises(Unavailable, match="still hang"):
        await threads.run(Deadline.after(5), int, "1")
    go.set()
    await until(lambda: threads.abandoned == 0)
    assert await threads.run(Deadline.after(5), int, "1") == 1


async def test_too_many_that_wait_are_told_so() -> None:
    threads, go = Threads(1, "Sky", waiting=0), threading.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(threads.run, Deadline.after(5), go.wait, 5)
        await anyio.sleep(0.02)
        with pytest.raises(RateLimited):
            await threads.run(Deadline.after(5), int, "1")
        go.set()
