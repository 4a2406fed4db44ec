"""Equal calls that come at once share one call to the server, and each keeps its own fate."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from flotilla import TimedOut, Unavailable
from flotilla.fleet import HubLimits
from master.call import Call
from master.result import Result
from master.stages.cache import MAX_FAILED, cached
from master.state.embedded import Embedded

from ...conftest import until
from .calls import TEXTS, Counted, Heard, Server, call, settings

pytestmark = pytest.mark.anyio

MANY = 50


class Held:
    """A stage before a server that answers its n-th call when it is told how."""

    def __init__(self) -> None:
        self.gates: list[asyncio.Future[Result]] = []
        self.server = Server(self._answer)
        self.counted = Counted()
        cache = Embedded(HubLimits()).cache
        self.stage = cached(self.server, cache, settings(), self.counted.meters)

    async def _answer(self, _: Call) -> Result:
        gate: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        return await gate

    async def start(
        self, count: int = MANY, made: Callable[[], Call] = call
    ) -> list[asyncio.Task[Result]]:
        """So many equal calls, all of which wait."""
        before = len(self.gates)
        tasks = [asyncio.ensure_future(self.stage(made())) for _ in range(count)]
        await until(lambda: len(self.gates) > before)
        await settled()
        return tasks

    async def asked(self, count: int) -> None:
        """Return once the server was asked so often, and is asked no more."""
        await until(lambda: len(self.gates) >= count)
        await settled()
        assert len(self.gates) == count


async def settled() -> None:
    """Let every task go as far as it can by itself."""
    for _ in range(20):
        await asyncio.sleep(0)


def mark_of(result: Result) -> Any:
    return json.loads(result.texts.get("_meta", "{}")).get("io.flotilla/cache")


async def test_equal_calls_at_once_make_one_call() -> None:
    held = Held()
    tasks = await held.start()
    held.gates[0].set_result(Result({**TEXTS, "_meta": '{"io.flotilla/correlationId":"c-9"}'}))
    results = await asyncio.gather(*tasks)
    assert len(held.gates) == 1
    assert [mark_of(each) for each in results] == [None, *[{"joined": True}] * (MANY - 1)]
    for each in results[1:]:
        assert "c-9" not in each.texts["_meta"]
        assert {**each.texts, "_meta": ""} == {**TEXTS, "_meta": ""}
    assert held.counted.lookups == {"miss": 1, "joined": MANY - 1}


async def test_other_arguments_do_not_wait() -> None:
    held = Held()
    await held.start(1)
    others = await held.start(1, lambda: call(arguments='{"page":2}'))
    held.gates[1].set_result(Result(TEXTS))
    assert mark_of(await others[0]) is None
    held.gates[0].cancel()


async def test_when_the_one_that_asks_leaves_another_asks_for_the_rest() -> None:
    held = Held()
    leader, *others = await held.start()
    leader.cancel()
    await held.asked(2)
    assert leader.cancelled()
    assert held.server.cancelled == 1
    held.gates[1].set_result(Result(TEXTS))
    results = await asyncio.gather(*others)
    assert [mark_of(each) for each in results].count({"joined": True}) == MANY - 2


async def test_however_many_leave_one_after_the_other_only_one_asks_at_a_time() -> None:
    held = Held()
    made = [call() for _ in range(5)]
    left = iter(made)
    tasks = await held.start(5, lambda: next(left))
    for number in range(4):
        asking = held.server.asked[number]
        tasks[[each is asking for each in made].index(True)].cancel()
        await held.asked(number + 2)
    held.gates[4].set_result(Result(TEXTS))
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(each, Result) for each in done) == 1


async def test_when_all_leave_the_call_to_the_server_ends() -> None:
    held = Held()
    tasks = await held.start()
    for task in reversed(tasks):
        task.cancel()
    await asyncio.wait(tasks)
    assert held.server.cancelled == len(held.gates) == 1
    again = await held.start(1)
    held.gates[1].set_result(Result(TEXTS))
    assert mark_of(await again[0]) is None


async def test_a_follower_that_leaves_disturbs_nobody() -> None:
    held = Held()
    leader, follower, *others = await held.start(4)
    follower.cancel()
    await settled()
    assert follower.cancelled()
    held.gates[0].set_result(Result(TEXTS))
    results = await asyncio.gather(leader, *others)
    assert len(held.gates) == 1
    assert [mark_of(each) for each in results] == [None, {"joined": True}, {"joined": True}]


@pytest.mark.parametrize("failure", ["raised", "told"])
async def test_a_failure_is_nobody_elses_and_one_of_the_others_tries_anew(failure) -> None:
    held = Held()
    leader, *others = await held.start()
    if failure == "raised":
        held.gates[0].set_exception(Unavailable("it is away"))
    else:
        held.gates[0].set_result(Result({**TEXTS, "isError": "true"}))
    await held.asked(2)
    if failure == "raised":
        with pytest.raises(Unavailable):
            await leader
    held.gates[1].set_result(Result(TEXTS))
    results = await asyncio.gather(*others)
    assert [mark_of(each) for each in results].count({"joined": True}) == MANY - 2
    assert all(each.texts["isError"] == "false" for each in results)


async def test_where_all_fails_nobody_waits_for_more_than_two_failures_of_others() -> None:
    held = Held()
    tasks = await held.start()
    for number in range(MAX_FAILED):
        await held.asked(number + 1)
        held.gates[number].set_exception(Unavailable(f"away {number}"))
    await held.asked(MANY)
    for number, gate in enumerate(held.gates[MAX_FAILED:], start=MAX_FAILED):
        gate.set_exception(Unavailable(f"away {number}"))
    failures = await asyncio.gather(*tasks, return_exceptions=True)
    # Each has failed by itself.
    assert len({str(each) for each in failures}) == MANY
    assert held.counted.lookups == {"miss": MANY}


async def test_a_follower_waits_no_longer_than_its_own_deadline() -> None:
    held = Held()
    (leader,) = await held.start(1)
    with anyio.fail_after(2), pytest.raises(TimedOut):
        await held.stage(call(within_s=0.01))
    held.gates[0].set_result(Result(TEXTS))
    assert mark_of(await leader) is None
    assert len(held.gates) == 1


async def test_a_leader_in_a_hurry_does_not_hurry_the_others() -> None:
    held = Held()
    leader, follower = await held.start(2)
    held.gates[0].set_exception(TimedOut("its own deadline"))
    await held.asked(2)
    held.gates[1].set_result(Result(TEXTS))
    assert (await follower).texts["content"] == TEXTS["content"]
    with pytest.raises(TimedOut):
        await leader


async def test_a_question_to_the_client_is_for_that_client_alone() -> None:
    held = Held()
    tasks = await held.start(3)
    held.gates[0].set_result(Result({"resultType": '"input_required"', "requestState": '"1"'}))
    await held.asked(3)
    for number, gate in enumerate(held.gates[1:], start=2):
        texts = {"resultType": '"input_required"', "requestState": f'"{number}"'}
        gate.set_result(Result(texts))
    states = {each.texts["requestState"] for each in await asyncio.gather(*tasks)}
    assert states == {'"1"', '"2"', '"3"'}


async def test_while_a_large_answer_is_poured_to_one_client_the_others_do_not_wait() -> None:
    heard: list[Heard] = []

    async def pours(each: Call) -> Result:
        async def no_pieces():
            return
            yield

        await gate.wait()
        return Result({}, poured=not await each.hearer.pour(no_pieces()))

    gate = asyncio.Event()
    server = Server(pours)
    stage = cached(server, Embedded(HubLimits()).cache, settings(), Counted().meters)

    def made() -> Call:
        asked = call()
        heard.append(asked.hearer)  # pyright: ignore[reportArgumentType]
        return asked

    slow, quick = (asyncio.ensure_future(stage(made())) for _ in range(2))
    await until(lambda: server.asked)
    gate.set()
    await until(lambda: len(server.asked) == 2)
    await heard[1].poured.wait()
    heard[1].read.set()
    assert (await quick).poured
    assert not slow.done()
    heard[0].read.set()
    assert (await slow).poured


async def test_what_comes_before_the_answer_is_told_to_the_one_that_asked() -> None:
    held = Held()
    calls = [call(), call()]
    made = iter(calls)
    hearers: list[Any] = [each.hearer for each in calls]
    tasks = await held.start(2, lambda: next(made))
    await held.server.asked[0].hearer.notify("notifications/progress", {})
    assert [each.methods for each in hearers] == [["notifications/progress"], []]
    held.gates[0].set_result(Result(TEXTS))
    await asyncio.gather(*tasks)
    # The next rounds of the call are its own again.
    assert [each.hearer for each in calls] == hearers
