"""Asking engines on loopback: at once, in each other's stead, and never longer than it helps."""

import asyncio
from time import monotonic

import anyio
import pytest

from flotilla import Deadline
from web_search.asking import Asker
from web_search.engine import Question
from web_search.pace import Pace

from ..conftest import until
from .upstream import Will, engines_on_loopback

pytestmark = pytest.mark.anyio

QUESTION = Question(words="tea", most=10)
PAGE = ("https://a.example/",)
PACE = Pace(at_once=3, enough=2, grace_s=0.05, late_s=0.15)


def statuses(outcomes) -> dict[str, str]:
    return {each.engine: each.status for each in outcomes}


async def test_the_first_three_are_asked_at_once_and_nobody_else() -> None:
    wills = {name: Will(PAGE, hangs=True) for name in "abcd"}
    async with engines_on_loopback(**wills) as (upstream, engines):
        asking = asyncio.create_task(Asker(5).several(engines, "web", QUESTION, Deadline.after(5)))
        await until(lambda: len(upstream.waiting) == 3)
        upstream.go_on.set()
        assert statuses(await asking) == dict.fromkeys("abc", "ok")
        assert sorted(upstream.asked) == ["a", "b", "c"]


async def test_the_slowest_is_not_waited_for_once_two_have_answered() -> None:
    async with engines_on_loopback(a=Will(PAGE, hangs=True), b=Will(PAGE), c=Will()) as (
        upstream,
        engines,
    ):
        with anyio.fail_after(4):
            outcomes = await Asker(5, PACE).several(engines, "web", QUESTION, Deadline.after(30))
        assert statuses(outcomes) == {"a": "timeout", "b": "ok", "c": "empty"}
        # It is not asked on behind our back.
        await until(lambda: not upstream.waiting)


async def test_others_are_asked_in_the_stead_of_those_that_fail() -> None:
    wills = {
        "blocked": Will(status=202),
        "limited": Will(status=429, retry_after_s=30),
        "broken": Will(status=500),
        "buggy": Will(status=418),
        "absent": Will(missing="set a key"),
        "fifth": Will(PAGE),
        "sixth": Will(PAGE),
        "seventh": Will(PAGE),
        "eighth": Will(PAGE),
    }
    asker = Asker(5, Pace(enough=3))
    async with engines_on_loopback(**wills) as (upstream, engines):
        outcomes = await asker.several(engines, "web", QUESTION, Deadline.after(5))
        found = {
            "blocked": "blocked",
            "limited": "rate_limited",
            "broken": "failed",
            "buggy": "failed",
            "absent": "not_configured",
            "fifth": "ok",
            "sixth": "ok",
            "seventh": "ok",
        }
        assert statuses(outcomes) == found
        by_name = {each.engine: each for each in outcomes}
        assert by_name["limited"].retry_after_ms == 30_000
        assert by_name["absent"].error is not None
        assert by_name["absent"].error.code == "not_configured"
        assert "division" not in str(by_name["buggy"].error)
        upstream.asked.clear()
        again = await asker.several(engines, "web", QUESTION, Deadline.after(5))
        assert statuses(again) == {**found, "blocked": "resting", "limited": "resting"}
        assert not {"blocked", "limited", "absent"} & set(upstream.asked)


async def test_engines_that_hang_are_joined_by_others_when_they_are_late() -> None:
    wills = {name: Will(PAGE, hangs=True) for name in "abc"} | {"d": Will(PAGE), "e": Will(PAGE)}
    async with engines_on_loopback(**wills) as (_, engines):
        started = monotonic()
        outcomes = await Asker(20, PACE).several(engines, "web", QUESTION, Deadline.after(30))
        assert monotonic() - started < 5
        assert statuses(outcomes) == {**dict.fromkeys("abc", "timeout"), "d": "ok", "e": "ok"}


async def test_each_engine_has_its_own_time_and_then_the_next_is_asked() -> None:
    async with engines_on_loopback(a=Will(PAGE, hangs=True), b=Will(PAGE)) as (_, engines):
        pace = Pace(at_once=1, enough=1, late_s=10)
        outcomes = await Asker(0.5, pace).several(engines, "web", QUESTION, Deadline.after(5))
        assert statuses(outcomes) == {"a": "timeout", "b": "ok"}


async def test_what_came_is_answered_before_the_calls_time_is_over() -> None:
    wills = {"a": Will(PAGE), "b": Will(hangs=True), "c": Will(hangs=True)}
    async with engines_on_loopback(**wills) as (_, engines):
        due = Deadline.after(1)
        outcomes = await Asker(8).several(engines, "web", QUESTION, due)
        assert due.remaining_s() > 0.2
        assert statuses(outcomes) == {"a": "ok", "b": "timeout", "c": "timeout"}


async def test_who_is_always_left_behind_gets_a_rest_and_another_its_place() -> None:
    wills = {"a": Will(hangs=True), **{name: Will(PAGE) for name in "bcd"}}
    asker = Asker(8, Pace(grace_s=0.01))
    async with engines_on_loopback(**wills) as (_, engines):
        for _ in range(5):
            outcomes = await asker.several(engines, "web", QUESTION, Deadline.after(5))
            assert statuses(outcomes)["a"] == "timeout"
        outcomes = await asker.several(engines, "web", QUESTION, Deadline.after(5))
        assert statuses(outcomes)["a"] == "resting"
        assert "d" in statuses(outcomes)


async def test_callers_in_a_hurry_do_not_shut_an_engine_for_others() -> None:
    asker = Asker(8)
    async with engines_on_loopback(a=Will(PAGE, hangs=True)) as (upstream, engines):
        for _ in range(6):
            outcome = await asker.one(engines[0], "web", QUESTION, Deadline.after(0.02))
            assert outcome.status == "timeout"
            outcomes = await asker.several(engines, "web", QUESTION, Deadline.after(0.4))
            assert statuses(outcomes) == {"a": "timeout"}
        assert await asker.several(engines, "web", QUESTION, Deadline.after(0)) == []
        upstream.go_on.set()
        assert (await asker.one(engines[0], "web", QUESTION, Deadline.after(5))).status == "ok"


async def test_cancelling_the_search_cancels_every_engine_and_blames_none() -> None:
    wills = {name: Will(PAGE, hangs=True) for name in "abc"}
    asker = Asker(8)
    async with engines_on_loopback(**wills) as (upstream, engines):
        for _ in range(6):
            asking = asyncio.create_task(
                asker.several(engines, "web", QUESTION, Deadline.after(20))
            )
            await until(lambda: len(upstream.waiting) == 3)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await until(lambda: not upstream.waiting)
        assert asker.circuits.circuit("a", "web").state == "closed"


async def test_an_engine_that_says_more_than_was_asked_for_is_cut() -> None:
    pages = tuple(f"https://a.example/{number}" for number in range(99))
    async with engines_on_loopback(a=Will(pages)) as (_, engines):
        (outcome,) = await Asker(8).several(engines, "web", QUESTION, Deadline.after(5))
        assert len(outcome.found) == QUESTION.most


async def test_no_engine_at_all_is_no_outcome() -> None:
    assert await Asker(8).several([], "web", QUESTION, Deadline.after(5)) == []
