"""The spoke as the fleet starts it: engines from the file, keys from the hub."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from flotilla import CommonSettings, Context, Deadline, Misconfigured, Principal, Spoke, meta
from flotilla.redaction import Redactor
from flotilla.toolbox import Toolbox
from web_search import build
from web_search.engines.built_in import BUILT_IN
from web_search.settings import Settings

pytestmark = pytest.mark.anyio

ALL_OFF = {name: {"enabled": False} for name in BUILT_IN}


def built(folder: Path, engines, **more) -> Spoke:
    (folder / "web_search.yaml").write_text(yaml.safe_dump({"engines": engines, **more}))
    return build(Settings(), CommonSettings(config_dir=folder, data_dir=folder / "data"))


async def called(spoke: Spoke, action: str, **arguments):
    context = Context(principal=Principal("ann"), correlation_id="c-1", deadline=Deadline.after(10))
    box = Toolbox(spoke.tools, Redactor())
    return await box.call(f"web.search.{action}", arguments, context)


@asynccontextmanager
async def searxng() -> AsyncGenerator[tuple[str, list[dict[str, str]]]]:
    """The URL of one that answers as SearXNG does, and what it is asked."""
    asked: list[dict[str, str]] = []

    async def search(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        row = {"title": "Tea", "url": "http://www.tea.example/?utm_source=s", "content": "leaves"}
        return web.json_response({"query": request.query["q"], "results": [row]})

    app = web.Application()
    app.router.add_get("/search", search)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


async def test_a_searxng_of_ones_own_is_asked_beside_an_engine_whose_key_is_not_there(
    tmp_path,
) -> None:
    async with searxng() as (url, asked):
        own = {"kind": "searxng", "url": url}
        keyed = {"kind": "brave", "key": "secret:search/brave"}
        spoke = built(tmp_path, {**ALL_OFF, "keyed": keyed, "own": own})
        assert spoke.credentials is not None
        assert spoke.credentials.needs == ("search/brave",)
        async with spoke.lifespan():
            result = await called(spoke, "query", query="tea", timeRange="week")
            engines = await called(spoke, "listEngines")
    answer = result["structuredContent"]
    assert [each["url"] for each in answer["results"]] == ["http://www.tea.example/"]
    assert answer["results"][0]["source"] == "tea.example"
    assert [(each["engine"], each["status"]) for each in answer["engines"]] == [
        ("keyed", "not_configured"),
        ("own", "ok"),
    ]
    assert (asked[0]["q"], asked[0]["time_range"]) == ("tea", "week")
    keyed_info, own_info = engines["structuredContent"]["items"]
    assert "search/brave" in keyed_info["missing"]
    assert own_info["ready"]


async def test_with_everything_switched_off_the_fleet_is_told_what_to_do(tmp_path) -> None:
    spoke = built(tmp_path, ALL_OFF)
    assert "web_search.yaml" in (spoke.not_configured or "")
    result = await called(spoke, "query", query="tea")
    assert result["_meta"][meta.ERROR]["code"] == "not_configured"


async def test_the_order_of_the_file_is_the_order_of_asking(tmp_path) -> None:
    spoke = built(tmp_path, {}, order=["mojeek"])
    items = (await called(spoke, "listEngines"))["structuredContent"]["items"]
    assert items[0]["name"] == "mojeek"
    assert {each["name"] for each in items} == set(BUILT_IN)


async def test_a_file_that_cannot_work_stops_the_start_and_names_the_key(tmp_path) -> None:
    with pytest.raises(Misconfigured, match=r"engines\.auto"):
        built(tmp_path, {"auto": {"kind": "searxng", "url": "http://127.0.0.1:1"}})
