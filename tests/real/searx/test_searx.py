"""Our SearXNG engine against a real searx, whose engines look into a library on loopback."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from flotilla import Deadline, FlotillaError, RateLimited, TimedOut
from tests.backends.web_search.library import ENTRIES, NOTHING
from tests.conftest import find_free_port, until
from tests.real.searx.searx_server import PAGES, PER_PAGE, Searx, searx
from web_search.configured import engines_of
from web_search.engine import Blocked, Engine, Kind, Question
from web_search.settings import Settings

pytestmark = [pytest.mark.anyio, pytest.mark.real]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Searx]:
    async with searx(tmp_path_factory.mktemp("searx"), find_free_port()) as running:
        yield running


@pytest.fixture
async def engine(server: Searx, tmp_path: Path) -> AsyncIterator[Engine]:
    server.library.restore()
    told = {"engines": {"own": {"kind": "searxng", "url": server.url}}}
    (tmp_path / "web_search.yaml").write_text(yaml.safe_dump(told))
    engines, _ = engines_of(Settings(), tmp_path)
    yield engines[0]
    await engines[0].close()


def question(words: str = "flotilla", most: int = 10, **more: object) -> Question:
    return Question(words=words, most=most, **more)  # type: ignore[arg-type]


def soon() -> Deadline:
    return Deadline.after(8)


@pytest.mark.parametrize("kind", ["web", "news"])
async def test_what_its_engines_find_is_found(engine: Engine, kind: Kind) -> None:
    found = await engine.search(kind, question(), soon())
    # It takes for markup whatever stands between angle brackets.
    assert {(each.title, each.url, each.snippet) for each in found} == {
        (entry.title.replace(" <of>", ""), entry.url, entry.text) for entry in ENTRIES
    }


async def test_pictures_come_with_their_address(engine: Engine) -> None:
    found = await engine.search("images", question(), soon())
    assert {each.image_url for each in found} >= {f"{ENTRIES[0].url}.jpg", f"{ENTRIES[1].url}.jpg"}


async def test_nothing_is_an_empty_list(engine: Engine, server: Searx) -> None:
    found = await engine.search("web", question(NOTHING), soon())
    assert found == [], server.library.asked


async def test_pages_are_turned_until_there_is_enough_or_no_more(
    engine: Engine, server: Searx
) -> None:
    asked = server.library.asked
    assert len(await engine.search("web", question("many", most=PER_PAGE), soon())) == PER_PAGE
    assert [each.query["p"] for each in asked] == ["1"]
    asked.clear()
    assert len(await engine.search("web", question("many", most=6), soon())) == 6
    assert [each.query["p"] for each in asked] == ["1", "2"]
    asked.clear()
    found = await engine.search("web", question("many", most=50), soon())
    assert len({each.url for each in found}) == len(found) == PER_PAGE * PAGES
    assert [each.query["p"] for each in asked] == ["1", "2", "3", "4"]


async def test_age_safe_search_and_language_reach_its_engines(
    engine: Engine, server: Searx
) -> None:
    await engine.search("web", question(region="de-AT", within="week", safe="strict"), soon())
    asked = server.library.asked[0]
    assert asked.query["hours"] == str(24 * 7)
    assert asked.query["filter"] == "strict"
    assert asked.query["lang"] == "de"
    server.library.asked.clear()
    await engine.search("web", question(safe="off"), soon())
    asked = server.library.asked[0]
    assert "hours" not in asked.query and "filter" not in asked.query


async def test_an_engine_that_times_out_within_it_is_no_empty_list(
    engine: Engine, server: Searx
) -> None:
    server.library.hanging.add("/shelves")
    with pytest.raises(TimedOut) as raised:
        await engine.search("web", question(), soon())
    assert raised.value.details["silent"].keys() == {"shelves"}
    assert raised.value.details["engine"] == "own"


async def test_it_gives_up_before_searx_does(engine: Engine, server: Searx) -> None:
    server.library.hanging.add("/shelves")
    with pytest.raises(TimedOut) as raised:
        await engine.search("web", question(), Deadline.after(0.5))
    assert raised.value.message == "own did not answer in time"
    # It has asked, or else it would ask in the next test.
    await until(lambda: server.library.asked)


async def test_words_are_not_completed_where_it_has_no_backend_for_that(engine: Engine) -> None:
    assert await engine.search("suggest", question("reef kn"), soon()) == []


async def test_words_that_would_lead_to_another_site_are_words(
    engine: Engine, server: Searx
) -> None:
    assert await engine.search("web", question("!!g flotilla"), soon())
    assert server.library.asked[0].query["q"] == '"!!g" flotilla'


@pytest.mark.parametrize(
    ("kind", "shelf", "status", "error"),
    [("news", "papers", 429, RateLimited), ("images", "pictures", 403, Blocked)],
)
async def test_an_engine_that_is_turned_away_within_it_is_told(
    engine: Engine, server: Searx, kind: Kind, shelf: str, status: int, error: type[FlotillaError]
) -> None:
    # The last test: searx does not ask such an engine again for hours.
    server.library.answers[f"/{shelf}"] = lambda: web.Response(status=status)
    with pytest.raises(error):
        await engine.search(kind, question(), soon())
