"""The same question at the same time is asked once."""

import asyncio

import anyio
import pytest

from web_search.together import Together

from ..conftest import until

pytestmark = pytest.mark.anyio


class Work:
    def __init__(self) -> None:
        self.runs = 0
        self.cancelled = 0
        self.go_on = anyio.Event()

    async def __call__(self) -> int:
        self.runs += 1
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.runs


async def test_all_who_ask_at_once_have_one_answer_and_the_next_a_new_one() -> None:
    together, work = Together[int](), Work()
    asking = [asyncio.create_task(together.run("q", work)) for _ in range(10)]
    await until(lambda: work.runs)
    work.go_on.set()
    assert await asyncio.gather(*asking) == [1] * 10
    assert await together.run("q", work) == 2


async def test_who_leaves_takes_nothing_from_those_who_stay() -> None:
    together, work = Together[int](), Work()
    leaving, staying = (asyncio.create_task(together.run("q", work)) for _ in range(2))
    await until(lambda: work.runs)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    work.go_on.set()
    assert await staying == 1
    assert work.cancelled == 0


async def test_the_last_who_leaves_ends_the_work_and_the_next_starts_anew() -> None:
    together, work = Together[int](), Work()
    asking = [asyncio.create_task(together.run("q", work)) for _ in range(2)]
    await until(lambda: work.runs)
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    await until(lambda: work.cancelled)
    work.go_on.set()
    assert await together.run("q", work) == 2


async def test_everybody_hears_of_the_failure_and_it_is_not_kept() -> None:
    together: Together[int] = Together()
    runs = 0

    async def broken() -> int:
        nonlocal runs
        runs += 1
        await anyio.sleep(0)
        raise ValueError("broken")

    results = await asyncio.gather(
        *(together.run("q", broken) for _ in range(3)), return_exceptions=True
    )
    assert [type(each) for each in results] == [ValueError] * 3
    with pytest.raises(ValueError, match="broken"):
        await together.run("q", broken)
    assert runs == 2


async def test_closing_ends_what_runs() -> None:
    together, work = Together[int](), Work()
    asking = asyncio.create_task(together.run("q", work))
    await until(lambda: work.runs)
    await together.close()
    assert work.cancelled == 1
    with pytest.raises(asyncio.CancelledError):
        await asking
