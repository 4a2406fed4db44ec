"""Brave and Tavily by key, against APIs as strict as theirs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from flotilla import (
    Deadline,
    FlotillaError,
    NotConfigured,
    RateLimited,
    TimedOut,
    Unavailable,
    UpstreamError,
)
from tests.backends.web_search.internet import Handler, Internet
from tests.backends.web_search.keyed_apis import (
    WRITTEN,
    KeyedApis,
    brave_error,
    garbled,
    tavily_error,
    too_deep,
)
from tests.backends.web_search.library import ENTRIES, NOTHING
from web_search.configured import engines_of, secrets_of
from web_search.engine import Engine, Kind, Question
from web_search.settings import Settings

pytestmark = pytest.mark.anyio
BOTH = ("brave_api", "tavily")
KEY = "k-5up3r-secret"
FOUND = {"title": "Reefing", "url": "https://sailing.example.org/"}
ALL: tuple[tuple[str, Kind], ...] = (
    ("brave_api", "web"),
    ("brave_api", "news"),
    ("brave_api", "images"),
    ("brave_api", "suggest"),
    ("tavily", "web"),
    ("tavily", "news"),
    ("tavily", "images"),
)


@pytest.fixture
async def apis() -> AsyncIterator[KeyedApis]:
    async with KeyedApis(KEY).running() as running:
        yield running


@pytest.fixture
async def named(apis: KeyedApis, tmp_path: Path) -> AsyncIterator[Callable[[str], Engine]]:
    (tmp_path / "tavily_key").write_text(f"{KEY}\n")
    told = {
        "brave_api": {"kind": "brave", "key": "secret:search/brave", "url": apis.url},
        "tavily": {"kind": "tavily", "key": str(tmp_path / "tavily_key"), "url": apis.url},
    }
    (tmp_path / "web_search.yaml").write_text(yaml.safe_dump({"engines": told}))
    engines, credentials = engines_of(Settings(), tmp_path)
    by_name = {engine.name: engine for engine in engines}
    assert by_name["brave_api"].missing is not None
    credentials.give({"search/brave": KEY})
    yield by_name.__getitem__
    for engine in engines:
        await engine.close()


def question(words: str = "flotilla", most: int = 10, **more: object) -> Question:
    return Question(words=words, most=most, **more)  # type: ignore[arg-type]


def soon() -> Deadline:
    return Deadline.after(4)


async def refused(apis: KeyedApis, engine: Engine, answer: web.Response) -> FlotillaError:
    async def fault() -> web.StreamResponse:
        return answer

    apis.faults.append(fault)
    with pytest.raises(FlotillaError) as raised:
        await engine.search("web", question(), soon())
    assert raised.value.details["engine"] == engine.name
    assert KEY not in str(raised.value.as_json("c"))
    return raised.value


@pytest.mark.parametrize(("name", "kind"), ALL)
async def test_every_kind_is_answered_and_nothing_is_an_empty_list(
    named: Callable[[str], Engine], name: str, kind: Kind
) -> None:
    found = await named(name).search(kind, question(), soon())
    assert len(found) == len(ENTRIES)
    if kind in ("web", "news"):
        assert [(each.title, each.url) for each in found] == [
            (entry.title, entry.url) for entry in ENTRIES
        ]
    assert await named(name).search(kind, question(NOTHING), soon()) == []
    assert len(await named(name).search(kind, question(most=1), soon())) == 1
    assert len(await named(name).search(kind, question(most=50), soon())) == len(ENTRIES)


async def test_results_say_when_and_by_whom(named: Callable[[str], Engine]) -> None:
    found = await named("brave_api").search("web", question(), soon())
    assert found[0].published_at == WRITTEN
    assert found[0].source == "Harbour Post"
    assert found[0].snippet == "A text: How to take in a reef before the wind makes you."
    news = await named("brave_api").search("news", question(), soon())
    assert news[0].published_at is not None
    age = datetime.now(UTC) - news[0].published_at
    assert abs(age - timedelta(hours=5)) < timedelta(minutes=1)
    told = await named("tavily").search("news", question(), soon())
    assert told[0].published_at == WRITTEN - timedelta(hours=5)
    pictures = await named("brave_api").search("images", question(), soon())
    assert (pictures[0].width, pictures[0].height) == (800, 600)
    assert pictures[0].image_url == f"{ENTRIES[0].url}.jpg"
    drawn = await named("tavily").search("images", question(), soon())
    assert (drawn[0].title, drawn[0].image_url) == (ENTRIES[0].text, f"{ENTRIES[0].url}.png")


@pytest.mark.parametrize(
    ("region", "country", "language"),
    [
        ("de-AT", "AT", "de"),
        ("ja-JP", "JP", "jp"),
        ("pt-BR", "BR", "pt-br"),
        ("pt", None, "pt-pt"),
        ("zh-Hant-TW", "TW", "zh-hant"),
        ("sw-KE", None, None),
    ],
)
async def test_brave_is_never_asked_for_a_region_that_it_refuses(
    named: Callable[[str], Engine],
    apis: KeyedApis,
    region: str,
    country: str | None,
    language: str | None,
) -> None:
    brave = named("brave_api")
    asked = question(region=region, within="month", safe="strict")
    for kind in ("web", "news", "images", "suggest"):
        assert await brave.search(kind, asked, soon())
    said = apis.asked[0].said
    assert (said.get("country"), said.get("search_lang")) == (country, language)
    assert (said["freshness"], said["safesearch"]) == ("pm", "strict")
    left_out = brave.leaves_out("web", asked)
    assert left_out == (() if country or language else ("region",))
    assert set(brave.leaves_out("suggest", asked)) >= {"within", "safe"}


async def test_pictures_are_filtered_rather_than_not(
    named: Callable[[str], Engine], apis: KeyedApis
) -> None:
    for safe, said in (("moderate", "strict"), ("strict", "strict"), ("off", "off")):
        await named("brave_api").search("images", question(safe=safe), soon())
        assert apis.asked[-1].said["safesearch"] == said


async def test_tavily_is_told_the_topic_and_the_age(
    named: Callable[[str], Engine], apis: KeyedApis
) -> None:
    tavily = named("tavily")
    await tavily.search("news", question(within="year"), soon())
    assert apis.asked[0].said["topic"] == "news"
    assert apis.asked[0].said["time_range"] == "year"
    assert tavily.leaves_out("web", question(region="de-AT", safe="off")) == ("region", "safe")


@pytest.mark.parametrize(
    ("headers", "after_ms"),
    [
        ({"X_RateLimit_Remaining": "0, 1000", "X_RateLimit_Reset": "1, 1419704"}, 1_000),
        ({"X_RateLimit_Remaining": "0, 0", "X_RateLimit_Reset": "1, 1419704"}, 3_600_000),
        ({"X_RateLimit_Reset": "2, 1419704"}, 2_000),
        ({"Retry_After": "9"}, 9_000),
        ({"X_RateLimit_Remaining": "soon"}, 60_000),
    ],
)
async def test_brave_says_when_to_ask_again(
    named: Callable[[str], Engine], apis: KeyedApis, headers: dict[str, str], after_ms: int
) -> None:
    answer = brave_error(429, "RATE_LIMITED", "Request rate limit exceeded for plan.", **headers)
    error = await refused(apis, named("brave_api"), answer)
    assert isinstance(error, RateLimited)
    assert error.details["retryAfterMs"] == after_ms


@pytest.mark.parametrize(("status", "after_ms"), [(429, 30_000), (432, 3_600_000)])
async def test_a_plan_that_is_used_up_is_rested_from(
    named: Callable[[str], Engine], apis: KeyedApis, status: int, after_ms: int
) -> None:
    answer = tavily_error(status, "This request exceeds your plan's limit.", Retry_After="30")
    error = await refused(apis, named("tavily"), answer)
    assert isinstance(error, RateLimited)
    assert error.details["retryAfterMs"] == after_ms


@pytest.mark.parametrize("name", BOTH)
async def test_a_key_that_is_not_taken_is_the_operators_to_mend(
    named: Callable[[str], Engine], apis: KeyedApis, name: str
) -> None:
    apis.key = "another"
    with pytest.raises(NotConfigured) as raised:
        await named(name).search("web", question(), soon())
    assert raised.value.details["reason"] == "key"
    assert raised.value.hint is not None and "key" in raised.value.hint
    assert KEY not in str(raised.value.as_json("c"))


@pytest.mark.parametrize("name", BOTH)
async def test_what_is_no_answer_is_no_empty_list(
    named: Callable[[str], Engine], apis: KeyedApis, name: str
) -> None:
    engine = named(name)
    for answer in (garbled(), too_deep(), web.json_response([]), web.json_response({})):
        assert type(await refused(apis, engine, answer)) is UpstreamError
    assert type(await refused(apis, engine, web.Response(status=400))) is UpstreamError
    assert type(await refused(apis, engine, web.Response(status=503))) is Unavailable
    elsewhere = web.Response(status=307, headers={"Location": "http://127.0.0.1:1/res"})
    error = await refused(apis, engine, elsewhere)
    assert isinstance(error, NotConfigured)
    assert "127.0.0.1:1" in error.message
    huge = web.Response(body=b" " * (5 * 1024 * 1024), content_type="application/json")
    assert (await refused(apis, engine, huge)).details["reason"] == "too_large"
    assert len(await engine.search("web", question(), soon())) == len(ENTRIES)


@pytest.mark.parametrize("name", BOTH)
async def test_who_does_not_answer_is_given_up_in_time(
    named: Callable[[str], Engine], apis: KeyedApis, name: str
) -> None:
    ended = asyncio.Event()

    async def hang() -> web.StreamResponse:
        await ended.wait()
        return web.Response()

    apis.faults.append(hang)
    with pytest.raises(TimedOut):
        await named(name).search("web", question(), Deadline.after(0.3))
    ended.set()


async def test_a_key_comes_by_its_header_alone(
    named: Callable[[str], Engine], apis: KeyedApis
) -> None:
    for name in BOTH:
        await named(name).search("web", question(), soon())
    assert apis.asked[0].headers["X-Subscription-Token"] == KEY
    assert apis.asked[1].headers["Authorization"] == f"Bearer {KEY}"
    assert KEY not in str([(asked.path, asked.said) for asked in apis.asked])


async def test_a_key_that_is_taken_back_stops_the_engine(apis: KeyedApis, tmp_path: Path) -> None:
    told = {"brave_api": {"kind": "brave", "key": "secret:search/brave", "url": apis.url}}
    (tmp_path / "web_search.yaml").write_text(yaml.safe_dump({"engines": told}))
    engines, credentials = engines_of(Settings(), tmp_path)
    assert credentials.needs == ("search/brave",)
    credentials.give({"search/brave": KEY})
    assert engines[0].missing is None
    credentials.give({}, {"search/brave": "denied"})
    assert engines[0].missing is not None
    with pytest.raises(NotConfigured):
        await engines[0].search("web", question(), soon())
    assert apis.asked == []


async def test_they_are_asked_where_they_are_through_the_proxy(tmp_path: Path) -> None:
    async def brave(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"type": "search", "web": {"results": [FOUND]}})

    async def tavily(_request: web.Request) -> web.StreamResponse:
        return web.json_response({"results": [FOUND]})

    hosts: dict[str, Handler] = {"api.search.brave.com": brave, "api.tavily.com": tavily}
    (tmp_path / "key").write_text(KEY)
    key = str(tmp_path / "key")
    told = {name: {"kind": name.partition("_")[0], "key": key} for name in BOTH}
    async with Internet(tmp_path / "internet", hosts).running() as net:
        (tmp_path / "web_search.yaml").write_text(
            yaml.safe_dump({"engines": told, "ca_file": str(net.trusted)})
        )
        engines, _ = engines_of(Settings(proxy=net.proxy), tmp_path)
        for engine in engines[:2]:
            assert len(await engine.search("web", question(), soon())) == 1
            await engine.close()
        assert net.tunnels == ["api.search.brave.com:443", "api.tavily.com:443"]
        (tmp_path / "web_search.yaml").write_text(yaml.safe_dump({"engines": told}))
        untrusting, _ = engines_of(Settings(proxy=net.proxy), tmp_path)
        with pytest.raises(NotConfigured) as raised:
            await untrusting[0].search("web", question(), soon())
        assert raised.value.details["reason"] == "certificate"
        await untrusting[0].close()


async def test_secrets_of_files_and_of_the_proxy_are_told_to_the_redactor(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    told = {"tavily": {"kind": "tavily", "key": str(tmp_path / "key")}}
    (tmp_path / "web_search.yaml").write_text(yaml.safe_dump({"engines": told}))
    settings = Settings(proxy="http://user:pa%24s@127.0.0.1:3128")
    assert secrets_of(settings, tmp_path) == (KEY, "pa%24s", "pa$s")
