"""A fleet whose search goes out to an internet on loopback, by the engines as they are."""

import asyncio
from pathlib import Path

import pytest

from flotilla import meta
from tests.backends.web_search.engine_pages import html
from tests.backends.web_search.internet import Internet
from tests.backends.web_search.library import ENTRIES, NOTHING
from web_search import spoke_of
from web_search.configured import engines_of
from web_search.pace import Pace
from web_search.settings import Settings

pytestmark = pytest.mark.anyio


async def test_a_search_is_merged_from_three_engines_and_goes_on_without_one(
    start_fleet, internet: Internet, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.mkdir()
    (config / "web_search.yaml").write_text(f"ca_file: {internet.trusted}\n")
    settings = Settings(proxy=internet.proxy)
    # So that a busy machine makes no engine late.
    spoke = spoke_of(engines_of(settings, config)[0], settings, pace=Pace(grace_s=5))
    async with start_fleet([spoke]) as fleet, fleet.client() as client:

        async def search(**arguments: object):
            async with asyncio.timeout(20):
                return await client.call_tool("web.search.query", arguments)

        answer = (await search(query="flotilla")).structured_content
        assert [each["url"] for each in answer["results"]] == [each.url for each in ENTRIES]
        assert {each["engine"] for each in answer["results"][0]["engines"]} == {
            "duckduckgo",
            "brave",
            "mojeek",
        }
        wall = '<form id="challenge-form" action="//duckduckgo.com/anomaly.js"></form>'

        async def challenge(_request):
            return html(wall)

        internet.hosts["html.duckduckgo.com"] = challenge
        without = (await search(query="boats")).structured_content
        assert len(without["results"]) == len(ENTRIES)
        told = {each["engine"]: each["status"] for each in without["engines"]}
        assert told["duckduckgo"] == "blocked"
        assert told["brave"] == told["mojeek"] == "ok"
        nothing = (await search(query=NOTHING, engine="brave")).structured_content
        assert nothing["results"] == []
        internet.hosts["www.startpage.com"] = challenge
        refused = await search(query="boats", engine="startpage")
        assert refused.meta[meta.ERROR]["code"] == "upstream_error"
        assert refused.meta[meta.ERROR]["reason"] == "blocked"
