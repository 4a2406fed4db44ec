"""What is tried again, what never is, and how much of it there may be."""

import asyncio

import pytest

from tests.conftest import until

from .fault_proxy import Refuse, Reset
from .house import Ground, Site, mostly_real

pytestmark = pytest.mark.anyio

PATIENT = {
    "breaker": {"failures": 100_000},
    "timeout_s": 3.0,
    # No check comes between: what is broken here is broken for calls.
    "health_check": {"every_s": 60},
}
RESERVE = 20
"""Retries that a service may have beside its budget: of the calls of the seconds before."""


LOST = [("look", None, 2), ("put", None, 2), ("add", "unavailable", 1), ("drop", "unavailable", 1)]
BROKEN = [("look", 2), ("put", 2), ("add", 1), ("drop", 1)]


@pytest.mark.parametrize(("tool", "code", "runs"), mostly_real(LOST, LOST[1], LOST[2]))
async def test_an_answer_that_is_lost_is_asked_for_again_where_that_repeats_nothing(
    ground: Ground, tool: str, code: str | None, runs: int
) -> None:
    async with ground.site(trial=PATIENT) as site:
        await site.proxy.suffer(Reset(0), only=lambda _: site.proxy.cut_off == 0)
        answered = await site.tool(tool, "lost")
        assert answered.code == code
        assert await site.runs(f"{tool}:lost") == runs
        if code is not None:
            assert "effect" in answered.error["hint"]


@pytest.mark.parametrize("how", mostly_real(["error", "busy"], "error"))
@pytest.mark.parametrize(("tool", "requests"), mostly_real(BROKEN, BROKEN[0], BROKEN[3]))
async def test_an_http_error_is_asked_about_again_where_that_repeats_nothing(
    ground: Ground, how: str, tool: str, requests: int
) -> None:
    async with ground.site(trial=PATIENT) as site:
        await site.cue(how, left=1)
        answered = await site.tool(tool, "broken")
        assert (answered.code is None) == (requests == 2)
        assert (await site.book())["requests"] == requests


@pytest.mark.parametrize(
    "code", mostly_real(["unavailable", "upstream_error", "invalid_argument"], "unavailable")
)
async def test_an_answer_is_an_answer_though_it_says_that_the_tool_failed(
    ground: Ground, code: str
) -> None:
    few = {**PATIENT, "breaker": {"failures": 2, "open_s": 60}}
    async with ground.site(trial=few) as site:
        for _ in range(4):
            failed = await site.caller.call("test.trial.fail", {"key": code, "code": code})
            assert failed.code == code
        assert (await site.health())["circuit"] == "closed"


async def test_a_write_that_was_never_sent_runs_once_at_most(ground: Ground) -> None:
    async with ground.site(trial=PATIENT) as site:
        await site.proxy.suffer(Refuse())
        calls = [asyncio.create_task(site.tool("add", f"{n}")) for n in range(10)]
        await asyncio.sleep(0)
        await site.proxy.heal()
        answers = await asyncio.gather(*calls)
        runs = (await site.book())["runs"]
        for n, answered in enumerate(answers):
            assert runs.get(f"add:{n}", 0) == (1 if answered.code is None else 0)


async def test_no_write_is_repeated_whatever_breaks(ground: Ground) -> None:
    async with ground.site(trial={**PATIENT, "timeout_s": 0.3}) as site:
        for fault in (Reset(0), Reset(60), Reset(), Refuse()):
            calls = [asyncio.create_task(site.tool("add", f"{fault}{n}")) for n in range(20)]
            await site.proxy.suffer(fault)
            await asyncio.gather(*calls)
            await site.proxy.heal()
            await until(lambda: _served(site), 3)
        for how in ("error", "busy", "hang"):
            await site.cue(how)
            await asyncio.gather(*(site.tool("add", f"{how}{n}") for n in range(20)))
            await site.cue("well")
        runs = (await site.book())["runs"]
        assert max(count for key, count in runs.items() if key.startswith("add:")) == 1


async def _served(site: Site) -> bool:
    return (await site.look("served")).code is None


async def test_retries_stay_within_their_budget_in_a_storm(ground: Ground) -> None:
    calls = 500
    async with ground.site(trial=PATIENT) as site:
        await site.cue("error", forget=True)
        waves = [[site.look(f"{n}") for n in range(50)] for _ in range(calls // 50)]
        answers = [each for wave in waves for each in await asyncio.gather(*wave)]
        assert {each.code for each in answers} == {"upstream_error"}
        seen = (await site.book())["requests"]
        assert calls < seen <= 1.2 * calls + RESERVE
        retried = await site.metric("mcp_retries_total", service="trial")
        assert retried == seen - calls
        assert (await site.metric("mcp_retries_withheld_total", service="trial") or 0) > 0


async def test_a_retry_never_goes_beyond_the_deadline(ground: Ground) -> None:
    slow = {**PATIENT, "retry": {"retries": 5, "first_s": 0.4, "most_s": 5}}
    async with ground.site(trial=slow) as site:
        await site.cue("error")
        answered = await site.look("late", timeout_ms=600)
        assert answered.took_s < 0.65
        assert answered.code in ("upstream_error", "timeout")
