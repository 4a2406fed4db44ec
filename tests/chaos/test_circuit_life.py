"""The life of a circuit, told in the same words by health, metrics and log."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conftest import until

from .caller import Answered
from .house import Ground, Site

pytestmark = pytest.mark.anyio

CALLERS = 50
OPEN_S = 1.5
TRIED: dict[str, Any] = {
    "timeout_s": 5.0,
    "retry": {"retries": 0},
    "breaker": {"failures": 5, "open_s": OPEN_S},
    # The checks see a healthy server: what is tried here fails at calls alone.
    "health_check": {"every_s": 0.2, "timeout_s": 1, "failures": 100},
}


async def all_at_once(site: Site, key: str, takes_s: float = 0.0) -> list[Answered]:
    """Fifty callers, spread over the hubs."""
    arguments = {"key": key, "takesS": takes_s}
    callers = [site.callers[n % len(site.callers)] for n in range(CALLERS)]
    return await asyncio.gather(*(each.call("test.trial.look", arguments) for each in callers))


async def state_everywhere(site: Site, state: str) -> bool:
    """Whether every hub says so, in its health as in its metrics."""
    for hub in range(len(site.hubs)):
        health = await site.health(hub=hub)
        if health["circuit"] != state or await site.circuit_in_metrics(hub=hub) != state:
            return False
    return True


async def live_through(site: Site, logs: list[Mapping[str, Any]]) -> None:
    await until(lambda: state_everywhere(site, "closed"), 2)

    await site.cue("error", forget=True)
    for n in range(TRIED["breaker"]["failures"]):
        caller = site.callers[n % len(site.callers)]
        failed = await caller.call("test.trial.look", {"key": "fails"})
        assert failed.code == "upstream_error"
    await until(lambda: state_everywhere(site, "open"), OPEN_S / 2)
    resting = await all_at_once(site, "resting")
    assert {each.code for each in resting} == {"circuit_open"}
    assert all(0 < each.error["retryAfterMs"] <= OPEN_S * 1e3 for each in resting)
    assert (await site.book())["requests"] == TRIED["breaker"]["failures"]
    assert (await site.health())["reason"]

    # The rest is over; the first probe fails, and nobody else called.
    await asyncio.sleep(OPEN_S)
    await site.cue("error", forget=True)
    probed = await all_at_once(site, "probe fails")
    assert Counter(each.code for each in probed) == {"upstream_error": 1, "circuit_open": 49}
    assert (await site.book())["requests"] == 1
    assert await state_everywhere(site, "open")

    # The second one succeeds; it takes long enough for all to have come meanwhile.
    await asyncio.sleep(OPEN_S)
    await site.cue("well", forget=True)
    probing = asyncio.create_task(all_at_once(site, "probe succeeds", 1.5))

    async def is_probed() -> bool:
        return (await site.book())["running"] == 1

    await until(is_probed, 2)
    await until(lambda: state_everywhere(site, "half_open"), 1.4)
    answers = await probing
    assert Counter(each.code for each in answers) == {None: 1, "circuit_open": 49}
    assert (await site.book())["requests"] == 1
    await until(lambda: state_everywhere(site, "closed"), 1)
    assert {each.code for each in await all_at_once(site, "after")} == {None}

    told = [str(each.get("circuit")) for each in logs if each.get("upstream") == "trial"]
    lived = [each for each in told if each in ("open", "half_open", "closed")]
    assert lived[:5] == ["open", "half_open", "open", "half_open", "closed"] or len(site.hubs) > 1
    assert {"open", "half_open", "closed"} <= set(lived)
    turned = await site.metric("mcp_calls_turned_away_total", service="trial", reason="circuit")
    assert (turned or 0) > 0


async def test_a_circuit_lives_on_one_hub(ground: Ground, logs: list[Any]) -> None:
    async with ground.site(trial=TRIED) as site:
        await live_through(site, logs)


async def test_a_circuit_lives_on_three_hubs_that_share_redis(
    cluster: Ground, logs: list[Any]
) -> None:
    async with cluster.site(trial=TRIED, hubs=3) as site:
        await live_through(site, logs)


async def test_a_good_check_does_not_end_the_rest_of_a_service_whose_calls_fail(
    ground: Ground,
) -> None:
    tried = {**TRIED, "breaker": {"failures": 3, "open_s": 60}}
    async with ground.site(trial=tried) as site:
        await site.cue("error", forget=True)
        await all_at_once(site, "fails")
        await until(lambda: state_everywhere(site, "open"), 1)
        await site.cue("error", forget=True)
        # Health is asked of the service itself, each time.
        good = [await site.health() for _ in range(2)]
        assert all(each["status"] == "healthy" and each["latency_ms"] for each in good), good
        assert {each.code for each in await all_at_once(site, "rests")} == {"circuit_open"}
        assert (await site.book())["requests"] == 0


async def test_a_caller_who_is_wrong_opens_no_circuit(ground: Ground) -> None:
    async with ground.site(trial={**TRIED, "breaker": {"failures": 2, "open_s": 60}}) as site:
        for _ in range(5):
            wrong = await site.caller.call("test.trial.look", {"key": 1})
            assert wrong.code == "invalid_argument"
        assert (await site.health())["circuit"] == "closed"


async def test_calls_that_end_late_change_nothing_of_a_circuit_that_has_opened(
    ground: Ground,
) -> None:
    tried = {**TRIED, "breaker": {"failures": 3, "open_s": 60}}
    async with ground.site(trial=tried) as site:
        slow = [asyncio.create_task(site.look("slow", 0.5)) for _ in range(5)]

        async def all_run() -> bool:
            return (await site.book())["running"] == 5

        await until(all_run, 2)
        await site.cue("error")
        await asyncio.gather(*(site.look("fails") for _ in range(3)))
        assert {each.code for each in await asyncio.gather(*slow)} == {None}
        assert (await site.health())["circuit"] == "open"


async def test_one_service_that_rests_is_one_alone(ground: Ground) -> None:
    tried = {**TRIED, "breaker": {"failures": 2, "open_s": 60}}
    async with ground.site(trial=tried) as site:
        await site.cue("error")
        for _ in range(4):
            await site.look("down")
        assert (await site.health())["circuit"] == "open"
        assert (await site.health("linux_cli"))["circuit"] == "closed"
        assert (await site.look_beside(1)).code is None
