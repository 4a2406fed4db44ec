"""Which calls are answered from what was kept, and when that is dropped."""

import asyncio
import json
from collections.abc import Callable

import anyio
import pytest
import structlog

from flotilla import Principal, TimedOut, meta
from flotilla.fleet import HubLimits
from flotilla.resilience import Resilience
from master.call import Call, Stage
from master.result import Result
from master.rpc import RpcError
from master.stages.cache import cached
from master.state.embedded import Embedded
from master.state.seam import Cached

from ...conftest import until
from .calls import ANN, OUTSIDE, TEXTS, Clock, Counted, Server, call, entry, settings

pytestmark = pytest.mark.anyio

WRITER = entry("test.shop.sell", read_only=False, ttl_ms=None)


class Bench:
    """The stage before a server, with a real cache."""

    def __init__(
        self,
        server: Server | None = None,
        resilience: Callable[[str], Resilience] = settings(),  # noqa: B008  frozen
    ) -> None:
        self.server = server or Server()
        self.clock = Clock()
        self.counted = Counted()
        self.cache = Embedded(HubLimits(), clock=self.clock).cache
        self.stage: Stage = cached(self.server, self.cache, resilience, self.counted.meters)

    async def kept(self, *calls: Call) -> bool:
        """Whether the second of two such calls (or the last of these) asks the server no more."""
        for each in calls or (call(), call()):
            before = len(self.server.asked)
            await self.stage(each)
        return len(self.server.asked) == before


def marks_of(result: Result) -> dict[str, object]:
    return json.loads(result.texts.get("_meta", "{}"))


async def test_the_second_call_is_answered_to_the_letter_and_says_so() -> None:
    bench = Bench()
    first = await bench.stage(call())
    bench.clock.now += 1.5
    second = await bench.stage(call(arguments='{ "page" : 1 }'))
    assert len(bench.server.asked) == 1
    assert first.texts == TEXTS
    assert second.texts == {**TEXTS, "_meta": '{"io.flotilla/cache":{"hit":true,"ageMs":1500}}'}
    assert bench.counted.lookups == {"miss": 1, "hit": 1}


async def test_it_is_asked_again_once_the_time_is_over() -> None:
    bench = Bench()
    await bench.stage(call())
    bench.clock.now += 59.9
    assert "io.flotilla/cache" in marks_of(await bench.stage(call()))
    bench.clock.now += 0.2
    assert "io.flotilla/cache" not in marks_of(await bench.stage(call()))


@pytest.mark.parametrize(
    "asked",
    [
        call(entry(ttl_ms=None)),
        call(entry(ttl_ms="60000")),
        call(entry(ttl_ms=-1)),
        call(entry(read_only=None)),
        call(entry(read_only=False)),
        call(entry(**{meta.APPROVAL: "required"})),
        call(entry("ext.shop.list", origin=OUTSIDE)),
        call(inputResponses="{}"),
        call(requestState='"s"'),
        call(task="{}"),
        call(method="prompts/get"),
    ],
)
async def test_what_may_mean_more_than_its_arguments_goes_to_the_server(asked) -> None:
    bench = Bench()
    assert not await bench.kept(asked, asked)
    assert bench.counted.lookups == {}


@pytest.mark.parametrize(
    "answer",
    [
        Result({**TEXTS, "isError": "true"}),
        Result({"resultType": '"input_required"', "requestState": '"s"'}),
        Result({}, poured=True),
    ],
)
async def test_what_is_no_whole_answer_is_not_kept(answer) -> None:
    bench = Bench(Server(lambda _: answer))
    assert not await bench.kept()
    assert bench.counted.lookups == {"miss": 2}


async def test_services_yaml_goes_before_what_the_tool_says() -> None:
    bench = Bench(resilience=settings(test__shop__list=5, test__shop__count=5))
    assert await bench.kept()
    bench.clock.now += 6
    assert not await bench.kept(call())
    silent = entry("test.shop.count", ttl_ms=None)
    assert await bench.kept(call(silent), call(silent))


async def test_of_a_stranger_services_yaml_alone_counts_and_only_for_what_reads() -> None:
    bench = Bench(resilience=settings(ext__shop__list=5, ext__shop__sell=5))
    reading = entry("ext.shop.list", ttl_ms=None, origin=OUTSIDE)
    assert await bench.kept(call(reading), call(reading))
    writing = entry("ext.shop.sell", read_only=None, origin=OUTSIDE)
    with structlog.testing.capture_logs() as logs:
        assert not await bench.kept(call(writing), call(writing))
    assert [line["event"] for line in logs] == ["cache_setting_ignored"]
    # What it answered is dropped by its own writing tools, too.
    assert not await bench.kept(call(reading))


async def test_nobody_gets_what_was_kept_for_somebody_else() -> None:
    bench = Bench()
    await bench.stage(call())
    assert not await bench.kept(call(principal=Principal("ben", ANN.roles)))
    assert not await bench.kept(call(principal=Principal("ann", ("reader",))))
    assert await bench.kept(call())


async def _hang(_: Call) -> Result:
    await anyio.sleep_forever()
    raise AssertionError("it never ends")


def _fail(_: Call) -> Result:
    raise RpcError(-32000, "no")


@pytest.mark.parametrize(
    "ends",
    [
        lambda _: Result(TEXTS),
        lambda _: Result({**TEXTS, "isError": "true"}),
        _fail,
        _hang,
    ],
    ids=["well", "with an error", "refused", "cancelled"],
)
async def test_a_write_drops_its_namespace_however_it_ends(ends) -> None:
    bench = Bench(Server(lambda each: ends(each) if each.target == WRITER else Result(TEXTS)))
    neighbour = entry("test.cellar.list")
    await bench.stage(call())
    await bench.stage(call(neighbour))
    writing = asyncio.create_task(bench.stage(call(WRITER)))
    await until(lambda: len(bench.server.asked) == 3)
    writing.cancel()
    await asyncio.wait({writing})
    assert await bench.kept(call(neighbour))
    assert not await bench.kept(call())


async def test_a_read_that_a_write_overtook_is_not_kept() -> None:
    gate = asyncio.Event()

    async def slowly(_: Call) -> Result:
        await gate.wait()
        return Result(TEXTS)

    bench = Bench(Server(lambda each: Result(TEXTS) if each.target == WRITER else slowly(each)))
    reading = asyncio.create_task(bench.stage(call()))
    await until(lambda: bench.server.asked)
    await bench.stage(call(WRITER))
    # It may have been answered before the write, so that whoever asks now does not join it.
    later = asyncio.create_task(bench.stage(call()))
    await until(lambda: len(bench.server.asked) == 3)
    gate.set()
    assert "io.flotilla/cache" not in marks_of(await reading)
    assert "io.flotilla/cache" not in marks_of(await later)
    assert await bench.kept(call())


async def test_a_write_is_dropped_for_though_its_caller_leaves_while_the_store_is_slow() -> None:
    bench = Bench()
    await bench.stage(call())
    inside, gate, dropped = (asyncio.Event() for _ in range(3))
    cache = bench.cache

    class Slow:
        async def get(self, group: str, key: str) -> Cached | int:
            return await cache.get(group, key)

        async def put(self, group: str, key: str, generation: int, body: bytes, ttl_s: float):
            await cache.put(group, key, generation, body, ttl_s)

        async def drop(self, group: str) -> None:
            inside.set()
            await gate.wait()
            await cache.drop(group)
            dropped.set()

    bench.stage = cached(bench.server, Slow(), settings(), bench.counted.meters)
    writing = asyncio.create_task(bench.stage(call(WRITER)))
    await inside.wait()
    writing.cancel()
    await asyncio.wait({writing})
    assert writing.cancelled()
    gate.set()
    await asyncio.wait_for(dropped.wait(), 5)
    assert not await bench.kept(call())


async def test_what_somebody_else_left_in_the_store_is_not_taken_for_a_result() -> None:
    bench = Bench()
    asked = call()
    await bench.stage(asked)
    (place,) = bench.cache._kept  # pyright: ignore[reportPrivateUsage]  the key is nobody's business
    generation = bench.cache._kept[place].generation  # pyright: ignore[reportPrivateUsage]
    await bench.cache.put(*place, generation, b"\xffsomething else", 60)
    assert (await bench.stage(call())).texts == TEXTS


async def test_a_request_whose_time_is_over_is_timed_out_and_not_kept() -> None:
    def late(_: Call) -> Result:
        raise TimedOut("it did not answer")

    bench = Bench(Server(late))
    with pytest.raises(TimedOut):
        await bench.stage(call())
    assert len(bench.server.asked) == 1
