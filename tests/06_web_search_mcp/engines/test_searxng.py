"""What a SearXNG answers that this machine's searx does not know: limits, formats, its own JSON."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from flotilla import Deadline, FlotillaError, NotConfigured, RateLimited, Unavailable, UpstreamError
from tests.backends.web_search.keyed_apis import garbled
from web_search.configured import engines_of
from web_search.engine import Blocked, Engine, Kind, Question
from web_search.engines.searxng import MOST_PAGES
from web_search.settings import Settings

pytestmark = pytest.mark.anyio
Answer = Callable[[web.Request], web.Response]
ROW = {
    "url": "https://sailing.example.org/reef",
    "title": "Reefing",
    "content": "Take in a reef.",
    "engine": "one",
    "engines": ["one", "two"],
    "score": 1.5,
    "category": "general",
    "publishedDate": "2026-03-04T05:06:07",
    "pubdate": "2026-03-04 05:06:07",
    "img_src": "//img.example.org/boat.jpg",
    "thumbnail_src": "https://img.example.org/small.jpg",
    "resolution": "800 x 600",
    "source": "Harbour Post",
}


class Instance:
    """A SearXNG in as far as it answers; `answer` is what it answers with."""

    def __init__(self) -> None:
        self.answer: Answer = lambda _request: as_found([ROW])
        self.asked: list[dict[str, str]] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append({"path": request.path, **request.query})
        return self.answer(request)


def as_found(rows: list[Any], silent: list[list[str]] | None = None) -> web.Response:
    return web.json_response(
        {"query": "q", "number_of_results": 0, "results": rows, "answers": [],
         "corrections": [], "infoboxes": [], "suggestions": [],
         "unresponsive_engines": silent or []}
    )  # fmt: skip


@pytest.fixture
async def instance() -> AsyncIterator[Instance]:
    found = Instance()
    application = web.Application()
    application.router.add_get("/{path:.*}", found.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@pytest.fixture
async def engine(instance: Instance, tmp_path: Path) -> AsyncIterator[Engine]:
    told = {"engines": {"own": {"kind": "searxng", "url": f"{instance.url}/searxng/"}}}
    (tmp_path / "web_search.yaml").write_text(yaml.safe_dump(told))
    engines, _ = engines_of(Settings(), tmp_path)
    yield engines[0]
    await engines[0].close()


def question(words: str = "flotilla", most: int = 10, **more: object) -> Question:
    return Question(words=words, most=most, **more)  # type: ignore[arg-type]


async def refused(instance: Instance, engine: Engine, answer: web.Response) -> FlotillaError:
    instance.answer = lambda _request: answer
    with pytest.raises(FlotillaError) as raised:
        await engine.search("web", question(), Deadline.after(4))
    assert raised.value.details["engine"] == "own"
    return raised.value


async def test_a_result_is_read_with_its_date_and_its_picture(engine: Engine) -> None:
    (found,) = await engine.search("images", question(), Deadline.after(4))
    assert found.title == "Reefing"
    assert found.published_at == datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert found.image_url == "https://img.example.org/boat.jpg"
    assert (found.width, found.height) == (800, 600)
    assert found.source == "Harbour Post"


async def test_it_may_lie_below_a_path(instance: Instance, engine: Engine) -> None:
    await engine.search("web", question(), Deadline.after(4))
    assert instance.asked[0]["path"] == "/searxng/search"


async def test_no_region_and_no_age_leave_the_choice_to_it(
    instance: Instance, engine: Engine
) -> None:
    await engine.search("news", question(), Deadline.after(4))
    asked = instance.asked[0]
    assert asked["categories"] == "news"
    assert "language" not in asked and "time_range" not in asked
    await engine.search("web", question(region="pt-BR", within="day"), Deadline.after(4))
    assert (instance.asked[-1]["language"], instance.asked[-1]["time_range"]) == ("pt-BR", "day")


async def test_where_json_is_switched_off_it_is_said_what_to_switch_on(
    instance: Instance, engine: Engine
) -> None:
    for answer in (web.Response(status=403), garbled()):
        error = await refused(instance, engine, answer)
        assert isinstance(error, NotConfigured)
        assert error.hint is not None and "search.formats" in error.hint


async def test_its_limiter_is_told_with_a_time(instance: Instance, engine: Engine) -> None:
    error = await refused(instance, engine, web.Response(status=429, headers={"Retry-After": "7"}))
    assert isinstance(error, RateLimited)
    assert error.details["retryAfterMs"] == 7000
    error = await refused(instance, engine, web.Response(status=429))
    assert error.details["retryAfterMs"] == 60_000


async def test_it_is_followed_nowhere(instance: Instance, engine: Engine) -> None:
    answer = web.Response(status=302, headers={"Location": "http://user:pw@inside.example/login"})
    error = await refused(instance, engine, answer)
    assert isinstance(error, NotConfigured)
    assert "inside.example" in error.message and "pw" not in error.message
    assert len(instance.asked) == 1


@pytest.mark.parametrize(
    ("why", "kind"),
    [
        ("CAPTCHA", Blocked),
        ("access denied", Blocked),
        ("Suspended: CAPTCHA", Blocked),
        ("too many requests", RateLimited),
        ("unexpected crash", UpstreamError),
    ],
)
async def test_nothing_found_while_some_are_silent_is_no_empty_list(
    instance: Instance, engine: Engine, why: str, kind: type[FlotillaError]
) -> None:
    error = await refused(instance, engine, as_found([], [["duck", why]]))
    assert type(error) is kind


async def test_what_others_found_stands_though_some_are_silent(
    instance: Instance, engine: Engine
) -> None:
    instance.answer = lambda _request: as_found([ROW], [["duck", "CAPTCHA"]])
    assert len(await engine.search("web", question(), Deadline.after(4))) == 1


async def test_pages_without_end_are_turned_no_further_than_to_a_bound(
    instance: Instance, engine: Engine
) -> None:
    instance.answer = lambda request: as_found(
        [{**ROW, "url": f"https://e.example/{request.query['pageno']}"}]
    )
    assert len(await engine.search("web", question(most=50), Deadline.after(4))) == MOST_PAGES


@pytest.mark.parametrize(("status", "kind"), [(500, UpstreamError), (503, Unavailable)])
async def test_an_ill_instance_is_told(
    instance: Instance, engine: Engine, status: int, kind: type[FlotillaError]
) -> None:
    assert type(await refused(instance, engine, web.Response(status=status))) is kind


@pytest.mark.parametrize(
    "rows", [[7, None, "x"], [{"url": "javascript:alert(1)", "title": "x"}], [{"title": "x"}]]
)
async def test_rows_that_are_no_results_are_left_out(
    instance: Instance, engine: Engine, rows: list[Any]
) -> None:
    instance.answer = lambda _request: as_found(rows)
    for kind in ("web", "images"):
        found = await engine.search(_kind(kind), question(), Deadline.after(4))
        assert found == []


@pytest.mark.parametrize("body", [["reef", ["reef knot", "reefer"]], ["reef knot", "reefer"]])
async def test_words_are_completed(instance: Instance, engine: Engine, body: list[Any]) -> None:
    instance.answer = lambda _request: web.json_response(body)
    found = await engine.search("suggest", question("reef"), Deadline.after(4))
    assert [each.title for each in found] == ["reef knot", "reefer"]


def _kind(name: str) -> Kind:
    return "web" if name == "web" else "images"
