"""Looks at a server that is away overlap: one that hangs does not delay the next."""

import asyncio

import anyio
import pytest

from flotilla import Unavailable
from master.upstream.holding import held, patience_s
from master.upstream.looking import MOST, first_answer
from tests.conftest import until

pytestmark = pytest.mark.anyio


class Looks:
    """Looks that end as the test says, each by its number."""

    def __init__(self) -> None:
        self.open: list[asyncio.Future[str]] = []
        self.cancelled = 0

    async def __call__(self) -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.open.append(answer)
        try:
            return await answer
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def test_a_look_that_hangs_does_not_delay_the_next() -> None:
    looks = Looks()
    finding = asyncio.create_task(first_answer(looks, lambda: 0.01))
    await until(lambda: len(looks.open) == 3)
    looks.open[2].set_result("there")
    assert await finding == ("there", True)
    assert looks.cancelled == len(looks.open) - 1


async def test_only_a_handful_are_open_and_the_oldest_makes_room() -> None:
    looks = Looks()
    finding = asyncio.create_task(first_answer(looks, lambda: 0.002))
    await until(lambda: len(looks.open) >= MOST + 4)
    assert sum(not each.done() for each in looks.open) <= MOST
    assert looks.open[0].cancelled()
    looks.open[-1].set_result("there")
    assert (await finding)[1]


async def test_a_first_look_that_is_answered_tells_that_the_server_was_there() -> None:
    looks = Looks()
    finding = asyncio.create_task(first_answer(looks, lambda: 60))
    await until(lambda: len(looks.open) == 1)
    looks.open[0].set_result("there")
    assert await finding == ("there", False)


async def test_answers_that_change_places_on_their_way_tell_nothing() -> None:
    looks = Looks()
    finding = asyncio.create_task(first_answer(looks, lambda: 0.01))
    await until(lambda: len(looks.open) == 2)
    looks.open[1].set_result("there")
    await asyncio.sleep(0)
    looks.open[0].set_result("there")
    for each in looks.open[2:]:
        each.set_result("there")
    assert await finding == ("there", False)


async def test_looks_that_fail_at_once_keep_the_pace() -> None:
    tried: list[float] = []

    async def look() -> str:
        tried.append(asyncio.get_running_loop().time())
        if len(tried) < 4:
            raise Unavailable("nobody is there")
        return "there"

    began = asyncio.get_running_loop().time()
    assert await first_answer(look, lambda: 0.02) == ("there", True)
    # None comes early; each may be late.
    assert all(at >= began + n * 0.02 - 0.001 for n, at in enumerate(tried)), (began, tried)


async def test_a_fault_of_ours_in_a_look_is_not_hidden() -> None:
    async def look() -> str:
        raise ZeroDivisionError

    with anyio.fail_after(2), pytest.raises(ZeroDivisionError):
        await first_answer(look, lambda: 0.01)


async def test_cancelling_leaves_no_look_open() -> None:
    looks = Looks()
    finding = asyncio.create_task(first_answer(looks, lambda: 0.01))
    await until(lambda: len(looks.open) == 2)
    finding.cancel()
    await asyncio.wait({finding})
    assert all(each.cancelled() for each in looks.open)


async def hang() -> str:
    await anyio.sleep_forever()
    return "never"


async def test_an_attempt_is_given_up_when_the_server_answers_those_that_came_after_it() -> None:
    knocked = 0

    async def knock(_: float) -> None:
        nonlocal knocked
        knocked += 1
        if knocked == 1:
            await anyio.sleep_forever()

    with anyio.fail_after(5):
        assert await held(hang(), asyncio.Event(), asyncio.Event(), knock) is None
    assert knocked == 2


async def test_one_that_is_only_slow_in_opening_is_waited_for() -> None:
    knocks, opened, opening = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def knock(_: float) -> None:
        knocks.set()

    async def hold() -> str:
        await opening.wait()
        opened.set()
        return "ended well"

    holding = asyncio.create_task(held(hold(), opened, asyncio.Event(), knock))
    with anyio.fail_after(5):
        await knocks.wait()
        opening.set()
        assert await holding == "ended well"


async def test_one_that_answers_others_but_never_this_attempt_is_tried_anew() -> None:
    async def knock(_: float) -> None:
        return

    with anyio.fail_after(3):
        assert await held(hang(), asyncio.Event(), asyncio.Event(), knock) is None


@pytest.mark.parametrize(
    ("took_s", "given_up", "patience"),
    [(0.001, 0, 0.5), (0.001, 3, 4.0), (0.2, 0, 2.0), (0.2, 2, 8.0), (3.0, 9, 60.0)],
)
def test_one_that_is_slow_gets_more_time_with_every_attempt(
    took_s: float, given_up: int, patience: float
) -> None:
    assert patience_s(took_s, given_up) == pytest.approx(patience)


async def test_a_connection_that_stands_is_given_up_when_it_is_to_be_renewed() -> None:
    opened, renewing = asyncio.Event(), asyncio.Event()
    opened.set()
    holding = asyncio.create_task(held(hang(), opened, renewing, None))
    renewing.set()
    with anyio.fail_after(5):
        assert await holding is None


async def test_what_ends_the_attempt_is_passed_on() -> None:
    async def broken() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await held(broken(), asyncio.Event(), asyncio.Event(), None)
