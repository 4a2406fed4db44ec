"""What the engines of ddgs find on pages built like theirs, by their real client code."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from flotilla import Deadline
from tests.backends.web_search.engine_pages import NOW
from tests.backends.web_search.internet import Internet
from tests.backends.web_search.library import ENTRIES, NOTHING
from web_search.engine import Engine, Kind, Question

pytestmark = pytest.mark.anyio
Named = Callable[[str], Engine]
HTML = ("duckduckgo", "brave", "mojeek", "startpage", "yahoo")
ALL: tuple[tuple[str, Kind], ...] = (
    *((name, "web") for name in (*HTML, "wikipedia", "grokipedia")),
    ("duckduckgo", "news"),
    ("duckduckgo", "images"),
    ("yahoo", "news"),
    ("bing", "news"),
    ("bing", "images"),
)


def soon() -> Deadline:
    return Deadline.after(8)


def question(words: str = "flotilla", most: int = 10, **more: object) -> Question:
    return Question(words=words, most=most, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", HTML)
async def test_a_page_of_results_is_read_with_its_addresses_untouched(
    named: Named, name: str
) -> None:
    found = await named(name).search("web", question(), soon())
    assert [(each.title, each.url, each.snippet) for each in found] == [
        (entry.title, entry.url, entry.text) for entry in ENTRIES
    ]


@pytest.mark.parametrize(("name", "kind"), ALL)
async def test_a_page_that_says_that_there_is_nothing_is_an_empty_list(
    named: Named, name: str, kind: Kind
) -> None:
    assert await named(name).search(kind, question(NOTHING), soon()) == []


async def test_no_more_is_brought_than_was_asked_for(named: Named) -> None:
    for name in HTML:
        assert len(await named(name).search("web", question(most=2), soon())) == 2


async def test_news_say_who_published_them_and_when(named: Named) -> None:
    found = await named("duckduckgo").search("news", question(), soon())
    assert [each.published_at for each in found] == [
        datetime.fromtimestamp(NOW - entry.hours_old * 3600, UTC) for entry in ENTRIES
    ]
    assert found[0].snippet == "News: How to take in a reef before the wind makes you."
    for name in ("duckduckgo", "yahoo", "bing"):
        found = await named(name).search("news", question(), soon())
        assert [(each.title, each.url) for each in found] == [
            (entry.title, entry.url) for entry in ENTRIES
        ]
        assert [each.source for each in found] == [entry.publisher for entry in ENTRIES]


@pytest.mark.parametrize("name", ["yahoo", "bing"])
async def test_five_hours_ago_is_not_five_days(named: Named, name: str) -> None:
    found = await named(name).search("news", question(), soon())
    for each, entry in zip(found, ENTRIES, strict=True):
        assert each.published_at is not None
        age = datetime.now(UTC) - each.published_at
        assert abs(age - timedelta(hours=entry.hours_old)) < timedelta(minutes=2)


@pytest.mark.parametrize("name", ["duckduckgo", "bing"])
async def test_pictures_come_with_their_page_and_their_size(named: Named, name: str) -> None:
    found = await named(name).search("images", question(), soon())
    assert [(each.title, each.url) for each in found] == [
        (entry.title, entry.url) for entry in ENTRIES
    ]
    assert found[1].image_url == "https://boats.example.net/a%20b/50%25%3Fx.jpg"
    assert {(each.width, each.height) for each in found} == {(800, 600)}
    assert found[0].thumbnail_url == "https://tse.example.org/th?id=1"


async def test_the_encyclopedia_is_asked_in_the_language_of_the_region(
    named: Named, internet: Internet
) -> None:
    found = await named("wikipedia").search("web", question(region="de-AT"), soon())
    assert [each.url for each in found] == ["https://de.wikipedia.org/wiki/What_is_a_Flotilla%3F"]
    assert found[0].snippet == "A fleet of boats is a flotilla."
    assert {each.host for each in internet.asked} == {"de.wikipedia.org"}


async def test_a_word_of_many_meanings_is_nothing_found(named: Named) -> None:
    assert await named("wikipedia").search("web", question("mercury"), soon()) == []


@pytest.mark.parametrize("name", ["duckduckgo", "brave", "startpage", "wikipedia"])
async def test_words_are_completed(named: Named, name: str) -> None:
    found = await named(name).search("suggest", question("reef knot"), soon())
    assert found
    assert all(each.title and not each.url for each in found)


async def test_more_pages_are_turned_until_nothing_new_comes(
    named: Named, internet: Internet
) -> None:
    await named("mojeek").search("web", question(most=50), soon())
    assert [each.query.get("s") for each in internet.asked] == [None, "11"]


async def test_region_age_and_safe_search_are_said_in_each_engines_words(
    named: Named, internet: Internet
) -> None:
    asked = question(region="de-AT", within="week", safe="strict")
    for name in HTML:
        await named(name).search("web", asked, soon())
    by_host = {each.host: each for each in internet.asked if each.path != "/"}
    ddg = by_host["html.duckduckgo.com"].form
    assert (ddg["kl"], ddg["df"], ddg["kp"]) == ("at-de", "w", "1")
    brave = by_host["search.brave.com"]
    assert brave.query["tf"] == "pw"
    assert (brave.cookies["country"], brave.cookies["safesearch"]) == ("at", "strict")
    mojeek = by_host["www.mojeek.com"]
    assert (mojeek.cookies["arc"], mojeek.cookies["lb"]) == ("at", "de")
    assert mojeek.query["safe"] == "1"
    since = datetime.now(UTC) - timedelta(days=7)
    assert mojeek.query["since"] == since.strftime("%Y%m%d")
    startpage = by_host["www.startpage.com"].form
    assert (startpage["qsr"], startpage["with_date"]) == ("de_AT", "w")
    assert startpage["qadf"] == "heavy"
    yahoo = by_host["search.yahoo.com"]
    assert yahoo.query["btf"] == "w"
    assert "vm=r" in yahoo.cookies["sB"]


async def test_no_region_is_no_region(named: Named, internet: Internet) -> None:
    for name in HTML:
        await named(name).search("web", question(), soon())
    by_host = {each.host: each for each in internet.asked if each.path != "/"}
    assert by_host["html.duckduckgo.com"].form["kl"] == "wt-wt"
    assert by_host["search.brave.com"].cookies["country"] == "all"
    assert by_host["www.mojeek.com"].cookies["arc"] == "none"
    assert by_host["www.startpage.com"].form["qsr"] == "all"


async def test_an_engine_tells_what_it_cannot_heed(named: Named) -> None:
    asked = question(region="de-AT", within="year", safe="strict")
    assert named("duckduckgo").leaves_out("web", asked) == ()
    assert named("yahoo").leaves_out("web", asked) == ("region", "within")
    assert named("bing").leaves_out("images", asked) == ("region", "safe")
    assert named("grokipedia").leaves_out("web", asked) == ("region", "within", "safe")
    assert named("wikipedia").leaves_out("web", asked) == ("within", "safe")
    assert named("mojeek").leaves_out("web", question(region="de")) == ("region",)


async def test_no_cookie_outlives_a_question(named: Named, internet: Internet) -> None:
    engine = named("mojeek")
    await engine.search("web", question(region="de-AT"), soon())
    await engine.search("web", question(), soon())
    assert internet.asked[-1].cookies["arc"] == "none"
