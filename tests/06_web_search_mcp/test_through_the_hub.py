"""Searches as a client of the fleet makes them: kept, asked once, marked, limited."""

import asyncio
from pathlib import Path

import pytest
import yaml

from flotilla import meta
from flotilla.resilience import RateLimit
from web_search import spoke_of
from web_search.settings import Settings

from ..conftest import until
from .upstream import Will, engines_on_loopback

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]
A = "https://a.example/"


async def test_an_answer_is_marked_and_kept_and_ten_questions_at_once_are_one(start_fleet) -> None:
    async with engines_on_loopback(one=Will([A], hangs=True)) as (upstream, engines):
        spoke = spoke_of(engines, Settings())
        async with start_fleet([spoke]) as fleet, fleet.client() as client:
            asking = [
                asyncio.create_task(client.call_tool("web.search.query", {"query": "tea"}))
                for _ in range(10)
            ]
            await until(lambda: upstream.waiting)
            upstream.go_on.set()
            results = await asyncio.gather(*asking)
            assert upstream.asked == ["one"]
            for result in results:
                assert result.structured_content["results"][0]["url"] == A
                assert result.meta[meta.UNTRUSTED] is True
            kept = await client.call_tool("web_search_query", {"query": "tea"})
            assert kept.meta[meta.CACHE]["hit"] is True
            assert kept.meta[meta.UNTRUSTED] is True
            assert upstream.asked == ["one"]
            await client.call_tool("web.search.query", {"query": "tea", "region": "de-AT"})
            assert upstream.asked == ["one", "one"]


async def test_no_failure_is_kept_and_nobody_knocks_twice_at_a_wall(start_fleet) -> None:
    async with engines_on_loopback(one=Will(status=500), wall=Will(status=202)) as (
        upstream,
        engines,
    ):
        spoke = spoke_of(engines, Settings())
        async with start_fleet([spoke]) as fleet, fleet.client() as client:

            async def search(engine: str):
                arguments = {"query": "tea", "engine": engine}
                return await client.call_tool("web.search.query", arguments)

            assert (await search("one")).meta[meta.ERROR]["code"] == "upstream_error"
            upstream.wills["one"] = Will([A])
            assert (await search("one")).structured_content["results"][0]["url"] == A
            upstream.asked.clear()
            for _ in range(2):
                error = (await search("wall")).meta[meta.ERROR]
                assert (error["code"], error["reason"]) == ("upstream_error", "blocked")
            # The hub's own retries included.
            assert upstream.asked == ["wall"]


async def test_a_cancelled_call_ends_what_the_engines_do(start_fleet) -> None:
    async with engines_on_loopback(one=Will(hangs=True)) as (upstream, engines):
        spoke = spoke_of(engines, Settings())
        async with start_fleet([spoke]) as fleet, fleet.client() as client:
            asking = asyncio.create_task(client.call_tool("web.search.query", {"query": "tea"}))
            await until(lambda: upstream.waiting)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await until(lambda: not upstream.waiting)


async def test_the_fleet_lets_each_principal_search_sixty_times_a_minute(start_fleet) -> None:
    services = yaml.safe_load((ROOT / "config" / "services.yaml").read_text())["services"]
    limit = RateLimit(**services["web_search"]["rate_limit"])
    assert limit.per_minute == 60
    async with engines_on_loopback(one=Will([A])) as (upstream, engines):
        spoke = spoke_of(engines, Settings())
        resilience = {"rate_limit": limit}
        async with (
            start_fleet([spoke], resilience=resilience) as fleet,
            fleet.client() as client,
        ):
            results = [
                await client.call_tool("web.search.query", {"query": f"tea {number}"})
                for number in range(limit.at_once + 3)
            ]
            refused = [each for each in results if each.is_error]
            assert refused
            error = refused[0].meta[meta.ERROR]
            assert error["code"] == "rate_limited"
            assert 0 < error["retryAfterMs"] <= 60_000
            assert len(upstream.asked) == len(results) - len(refused)
