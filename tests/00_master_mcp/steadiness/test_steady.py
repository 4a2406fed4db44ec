"""The steady stage, around a service that fails on cue."""

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from flotilla import CircuitOpen, Deadline, Principal, RateLimited, TimedOut, UpstreamError
from flotilla.fleet import HubLimits
from flotilla.resilience import Breaker, Places, Resilience, Retry
from master import rpc
from master.call import Call, Stage
from master.catalogue import Entry, View
from master.meters import Meters
from master.result import Result
from master.stages.steady import steady
from master.state.embedded import Embedded
from master.steadiness.keeper import Keepers
from master.upstream.transport.client import Unreachable, WentAway

pytestmark = pytest.mark.anyio

GOOD = Result({"content": "[]"})
READS = {"readOnlyHint": True}
REPEATS = {"idempotentHint": True}
QUICK = Resilience(
    timeout_s=5,
    retry=Retry(first_s=0.001, most_s=0.01, budget=1),
    breaker=Breaker(failures=3, open_s=0.05),
    places=Places(calls=4, waiting=0, share=1),
)
BROKEN = UpstreamError("HTTP 500")

Act = Callable[[int], Result]
"""What the service does at its call of that number, the first is 1."""


class Lab:
    """One service behind the stage, its calls counted."""

    def __init__(self, act: Act, settings: Resilience = QUICK, *, connected: bool = True) -> None:
        self._act = act
        self.calls = 0
        self.registry = CollectorRegistry()
        self._meters = Meters(self.registry)
        self._limits = (settings.timeout_s, settings.long_timeout_s)
        self._connected = connected
        self.now = 1000.0
        """Of the circuit: it rests for as long as a test has it."""
        circuits = Embedded(HubLimits(), clock=lambda: self.now).circuits
        self._keepers = Keepers(lambda _: settings, circuits, self._meters)
        self.keeper = self._keepers.of("lab")
        self.stage = self.around(self._serve)

    def around(self, inner: Stage) -> Stage:
        """The stage of this same service around something else."""
        return steady(
            inner, self._keepers, lambda _: self._limits, lambda _: self._connected, self._meters
        )

    async def _serve(self, call: Call) -> Result:
        self.calls += 1
        await asyncio.sleep(0)
        return self._act(self.calls)

    async def call(self, hints: Mapping[str, Any] = READS, **more: Any) -> Result:
        return await self.stage(a_call(hints, **more))

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, {"service": "lab", **labels}) or 0


def a_call(
    hints: Mapping[str, Any],
    *,
    deadline_s: float = 5.0,
    told: bool = False,
    params: Mapping[str, str] | None = None,
) -> Call:
    return Call(
        principal=Principal("ann"),
        name="lab.test.do",
        params=params or {},
        arguments={},
        meta={},
        correlation_id="1",
        traceparent=None,
        view=View(),
        capabilities={},
        arrived=monotonic(),
        hearer=cast("Any", SimpleNamespace(told=told)),
        target=Entry("lab.test.do", "lab", {"annotations": hints}),
        deadline=Deadline.after(deadline_s),
    )


def fails(times: int, error: Exception = BROKEN) -> Act:
    def act(number: int) -> Result:
        if number <= times:
            raise error
        return GOOD

    return act


@pytest.mark.parametrize("hints", [READS, REPEATS])
@pytest.mark.parametrize("error", [BROKEN, WentAway("gone"), Unreachable("refused")])
async def test_what_can_be_repeated_is_tried_again(hints, error) -> None:
    lab = Lab(fails(2, error))
    assert await lab.call(hints) is GOOD
    assert lab.calls == 3
    assert lab.count("mcp_retries_total") == 2


@pytest.mark.parametrize(
    "hints", [{}, {"readOnlyHint": False}, {"idempotentHint": "yes"}, {"destructiveHint": True}]
)
@pytest.mark.parametrize("error", [BROKEN, WentAway("gone"), Unreachable("refused")])
async def test_what_may_write_is_never_repeated(hints, error) -> None:
    lab = Lab(fails(1, error))
    with pytest.raises(type(error)):
        await lab.call(hints)
    assert lab.calls == 1


@pytest.mark.parametrize("error", [TimedOut("late"), rpc.RpcError(-32603, "no")])
async def test_an_answer_and_a_deadline_are_final(error) -> None:
    lab = Lab(fails(1, error))
    with pytest.raises(type(error)):
        await lab.call()
    assert lab.calls == 1


async def test_a_call_of_which_its_client_has_heard_is_not_repeated() -> None:
    lab = Lab(fails(1))
    with pytest.raises(UpstreamError):
        await lab.call(told=True)
    assert lab.calls == 1


async def test_answers_to_a_question_are_not_sent_twice() -> None:
    lab = Lab(fails(1))
    with pytest.raises(UpstreamError):
        await lab.call(params={"requestState": '"x"'})
    assert lab.calls == 1


async def test_nobody_waits_for_retries_at_a_server_that_is_known_to_be_away() -> None:
    lab = Lab(fails(9, Unreachable("refused")), connected=False)
    with pytest.raises(Unreachable):
        await lab.call()
    assert lab.calls == 1


async def test_retries_end_with_their_number_their_budget_and_the_deadline() -> None:
    patient = Breaker(failures=1000)
    few = Lab(fails(99), QUICK.model_copy(update={"breaker": patient}))
    with pytest.raises(UpstreamError):
        await few.call()
    assert few.calls == 4
    poor = Lab(fails(99), QUICK.model_copy(update={"retry": Retry(budget=0)}))
    with pytest.raises(UpstreamError):
        await poor.call()
    assert poor.calls == 1
    assert poor.count("mcp_retries_withheld_total") == 1
    slow = Lab(fails(99), QUICK.model_copy(update={"retry": Retry(first_s=4, most_s=4)}))
    with pytest.raises(UpstreamError):
        await asyncio.wait_for(slow.call(deadline_s=1), 0.5)
    assert slow.calls == 1


async def test_a_storm_is_retried_within_the_budget() -> None:
    settings = QUICK.model_copy(
        update={
            "breaker": Breaker(failures=1_000_000),
            "places": Places(calls=500, share=1),
            "retry": Retry(first_s=0.001, most_s=0.01),
        }
    )
    lab = Lab(fails(10_000), settings)
    ended = await asyncio.gather(*(lab.call() for _ in range(500)), return_exceptions=True)
    assert {type(each) for each in ended} == {UpstreamError}
    assert 500 < lab.calls <= 500 * 1.2 + 11


async def test_the_circuit_opens_probes_once_and_closes() -> None:
    lab = Lab(fails(4), QUICK.model_copy(update={"retry": Retry(retries=0)}))
    for _ in range(3):
        with pytest.raises(UpstreamError):
            await lab.call()
    assert lab.keeper.circuit.view.state == "open"
    with pytest.raises(CircuitOpen) as told:
        await lab.call()
    assert 0 < told.value.details["retryAfterMs"] <= 50
    assert lab.calls == 3
    assert lab.count("mcp_calls_turned_away_total", reason="circuit") == 1
    assert lab.count("mcp_circuit_state", state="open") == 1
    lab.now += 0.06
    probing = await asyncio.gather(*(lab.call() for _ in range(50)), return_exceptions=True)
    assert sorted({type(each).__name__ for each in probing}) == ["CircuitOpen", "UpstreamError"]
    assert lab.calls == 4
    lab.now += 0.06
    closing = await asyncio.gather(*(lab.call() for _ in range(50)), return_exceptions=True)
    assert closing.count(GOOD) == 1
    assert lab.calls == 5
    assert lab.keeper.circuit.view.state == "closed"
    assert await lab.call() is GOOD


async def test_an_answered_refusal_is_no_failure_of_the_service() -> None:
    lab = Lab(fails(50, rpc.RpcError(-32602, "wrong argument")))
    for _ in range(10):
        with pytest.raises(rpc.RpcError):
            await lab.call()
    assert lab.keeper.circuit.view.state == "closed"


async def test_an_impatient_caller_opens_no_circuit() -> None:
    lab = Lab(fails(50, TimedOut("late")))
    for _ in range(10):
        with pytest.raises(TimedOut):
            await lab.call(deadline_s=0.001)
    assert lab.keeper.circuit.view.failures == 0
    for _ in range(3):
        with pytest.raises(TimedOut):
            await lab.call()
    assert lab.keeper.circuit.view.state == "open"


async def test_a_caller_who_leaves_frees_the_place_and_the_probe() -> None:
    hung = asyncio.Event()

    def act(number: int) -> Result:
        if number <= 3:
            raise BROKEN
        return GOOD

    lab = Lab(act, QUICK.model_copy(update={"retry": Retry(retries=0)}))

    async def hang(_: Call) -> Result:
        hung.set()
        await asyncio.Event().wait()
        return GOOD

    hanging = lab.around(hang)
    for _ in range(3):
        with pytest.raises(UpstreamError):
            await lab.call()
    await lab.keeper.circuit.restored()
    probe = asyncio.ensure_future(hanging(a_call(READS)))
    await asyncio.wait_for(hung.wait(), 5)
    with pytest.raises(CircuitOpen, match="another call"):
        await lab.call()
    probe.cancel()
    await asyncio.wait({probe})
    assert lab.keeper.places.in_flight == 0
    assert await lab.call() is GOOD


async def test_a_full_service_is_told_at_once_and_counted() -> None:
    lab = Lab(fails(0))
    held = asyncio.Event()

    async def hold(_: Call) -> Result:
        await held.wait()
        return GOOD

    holding = lab.around(hold)
    running = [asyncio.ensure_future(holding(a_call(READS))) for _ in range(4)]
    await asyncio.sleep(0.01)
    assert lab.count("mcp_calls_in_flight") == 4
    with pytest.raises(RateLimited):
        await asyncio.wait_for(lab.call(), 0.5)
    assert lab.count("mcp_calls_turned_away_total", reason="places") == 1
    held.set()
    await asyncio.gather(*running)
    assert lab.keeper.places.in_flight == 0
