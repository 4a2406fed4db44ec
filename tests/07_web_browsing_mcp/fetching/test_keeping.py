"""What is kept, for how long, for whom; and that pieces of a page join."""

import asyncio

import pytest
from yarl import URL

from flotilla import Unavailable
from web_browsing.fetching.kept import MAX_PAGES, PAGING_NO_STORE_S, Kept, KeptPage
from web_browsing.fetching.orders import Reading
from web_browsing.fetching.wire import Answer

from .conftest import Asked, OpenTools, Site, Tools, answer, article

pytestmark = pytest.mark.anyio


async def test_a_fresh_page_is_not_asked_for_again_but_on_demand(site: Site, tools: Tools) -> None:
    site.pages["/a"] = answer(article("x"), cache_control="max-age=60", etag='"1"')
    first, second = [await tools.fetch(site.url + "/a") for _ in range(2)]
    assert (first["fromCache"], second["fromCache"]) == (False, True)
    assert first["fetchedAt"] == second["fetchedAt"]
    assert len(site.paths()) == 1
    third = await tools.fetch(site.url + "/a", fresh=True)
    assert not third["fromCache"]
    assert "if-none-match" not in site.asked[-1].headers


async def test_a_stale_page_is_asked_whether_it_changed(site: Site, tools: Tools) -> None:
    def page(asked: Asked) -> bytes:
        if asked.headers.get("if-none-match") == '"1"':
            return b'HTTP/1.1 304 Not Modified\r\netag: "1"\r\n\r\n'
        return answer(article("Once only."), etag='"1"')

    site.pages["/a"] = page
    await tools.fetch(site.url + "/a")
    again = await tools.fetch(site.url + "/a")
    assert again["fromCache"]
    assert again["status"] == 200
    assert "Once only." in again["text"]
    assert len(site.paths()) == 2


async def test_a_page_behind_a_redirect_is_asked_by_its_own_validators(
    site: Site, tools: Tools
) -> None:
    site.pages["/a"] = answer(b"", 302, location="/b")
    site.pages["/b"] = lambda asked: (
        b"HTTP/1.1 304 Not Modified\r\n\r\n"
        if "if-modified-since" in asked.headers
        else answer(article("Behind."), last_modified="Thu, 01 Jan 2026 00:00:00 GMT")
    )
    await tools.fetch(site.url + "/a")
    again = await tools.fetch(site.url + "/a")
    assert again["fromCache"]
    assert again["redirects"] == [{"status": 302, "url": site.url + "/a"}]
    conditional = [each.path for each in site.asked if "if-modified-since" in each.headers]
    assert conditional == ["/b"]


async def test_a_page_that_changed_comes_anew(site: Site, tools: Tools) -> None:
    site.pages["/a"] = answer(article("The first."), etag='"1"')
    await tools.fetch(site.url + "/a")
    site.pages["/a"] = answer(article("The second."), etag='"2"')
    again = await tools.fetch(site.url + "/a")
    assert "The second." in again["text"]
    assert not again["fromCache"]


async def test_what_one_principal_read_another_reads_anew(site: Site, tools: Tools) -> None:
    site.pages["/a"] = answer(article("x"), cache_control="max-age=60")
    await tools.fetch(site.url + "/a", who="ann")
    assert not (await tools.fetch(site.url + "/a", who="bob"))["fromCache"]
    assert len(site.paths()) == 2


@pytest.mark.parametrize("control", ["no-store", "no-cache", "max-age=0"])
@pytest.mark.parametrize("length", [97, 1000])
async def test_pieces_join_exactly_though_the_page_changes_meanwhile(
    site: Site, tools: Tools, control: str, length: int
) -> None:
    turns = iter(range(1000))
    site.pages["/a"] = lambda _asked: answer(
        ("".join(f"turn {next(turns)} " for _ in range(1)) + "日本語 text 🙂 " * 300).encode(),
        content_type="text/plain; charset=utf-8",
        cache_control=control,
    )
    pieces: list[str] = []
    start: int | None = 0
    total = 0
    while start is not None:
        page = await tools.fetch(site.url + "/a", startIndex=start, maxLength=length)
        assert page["startIndex"] == start
        assert page["returned"] == len(page["text"]) <= length
        pieces.append(page["text"])
        total = page["totalLength"]
        start = page.get("nextStartIndex")
        assert page["truncated"] is (start is not None)
    text = "".join(pieces)
    assert len(text) == total
    assert text == "turn 0 " + "日本語 text 🙂 " * 300
    assert len(site.paths()) == 1


async def test_a_piece_of_wide_characters_is_cut_where_results_are(
    site: Site, tools: Tools
) -> None:
    site.pages["/a"] = answer(("語" * 40_000).encode(), content_type="text/plain;charset=utf-8")
    page = await tools.fetch(site.url + "/a", maxLength=48_000)
    assert page["returned"] == 16_384
    assert page["nextStartIndex"] == 16_384


async def test_a_start_beyond_the_end_names_the_length(site: Site, tools: Tools) -> None:
    site.pages["/a"] = answer(b"0123456789", content_type="text/plain")
    for start in (10, 11, 5000):
        error = await tools.fetch(site.url + "/a", startIndex=start)
        assert (error["code"], error["totalLength"]) == ("invalid_argument", 10)


async def test_a_further_piece_of_a_page_that_is_kept_no_more_says_so(
    site: Site, tools: Tools
) -> None:
    site.pages["/a"] = answer(b"0123456789", content_type="text/plain")
    page = await tools.fetch(site.url + "/a", startIndex=5)
    assert page["text"] == "56789"
    assert any("anew" in note for note in page["notes"])


async def test_forms_of_one_page_come_from_one_fetch(site: Site, tools: Tools) -> None:
    site.pages["/a"] = answer(article("Words."), cache_control="max-age=60")
    texts = [
        (await tools.fetch(site.url + "/a", format=form, whole=whole))["text"]
        for form in ("markdown", "text", "html")
        for whole in (False, True)
    ]
    assert all("Words." in text for text in texts)
    assert len(site.paths()) == 1


async def test_links_page_over_one_reading(site: Site, tools: Tools) -> None:
    links = "".join(f'<a href="/{n}.html">Link {n}</a> ' for n in range(30))
    more = '<a href="https://other.example/x.PDF" rel="nofollow">A paper</a>'
    site.pages["/a"] = answer(f"<html><body>{links}{more}</body></html>".encode())
    first = await tools.call("extractLinks", url=site.url + "/a", limit=20)
    assert (first["returned"], first["total"]) == (20, 31)
    second = await tools.call(
        "extractLinks", url=site.url + "/a", limit=20, cursor=first["nextCursor"]
    )
    assert second["returned"] == 11
    assert len(site.paths()) == 1
    (paper,) = (await tools.call("extractLinks", url=site.url + "/a", pattern="*.pdf"))["items"]
    assert paper == {
        "url": "https://other.example/x.PDF",
        "text": "A paper",
        "rel": "nofollow",
        "where": "elsewhere",
    }
    own = await tools.call("extractLinks", url=site.url + "/a", sameSite=True, pattern="link 7")
    assert [each["url"] for each in own["items"]] == [site.url + "/7.html"]
    error = await tools.call("extractLinks", url=site.url + "/a", cursor="nonsense")
    assert error["code"] == "invalid_argument"


async def test_metadata_tells_the_head_of_a_page_and_the_headers_of_a_file(
    site: Site, tools: Tools
) -> None:
    head = (
        '<link rel="alternate" type="application/rss+xml" href="/feed">'
        "<meta name=robots content=noindex>"
    )
    site.pages["/a"] = answer(article("x", more=head), etag='"e"', x_robots_tag="noarchive")
    page = await tools.call("getMetadata", url=site.url + "/a")
    assert page["feeds"] == [site.url + "/feed"]
    assert page["robots"] == ["noindex", "noarchive"]
    assert page["etag"] == '"e"'
    assert page["title"] == "A title"
    site.pages["/z"] = answer(b"PK\x03\x04" + bytes(996), content_type="application/zip")
    file = await tools.call("getMetadata", url=site.url + "/z")
    assert (file["contentType"], file["sizeBytes"]) == ("application/zip", 1000)


async def test_a_page_that_needs_a_browser_is_rendered_where_there_is_one(
    site: Site, open_tools: OpenTools
) -> None:
    shell = b"<html><body><div id=root></div><script src=/app.js></script></body></html>"
    site.pages["/a"] = answer(shell)
    rendered: list[str] = []

    async def render(url: str, _context: object) -> tuple[str, str]:
        rendered.append(url)
        return article("Made by a script.").decode(), url + "?made"

    async with open_tools(site, render=render) as tools:
        page = await tools.fetch(site.url + "/a")
        assert page["rendered"]
        assert "Made by a script." in page["text"]
        assert page["url"] == site.url + "/a?made"
        assert "status" not in page
        plain = await tools.fetch(site.url + "/a", render="never")
        assert not plain["rendered"]
        site.pages["/b"] = answer(article("Whole as it is."))
        assert not (await tools.fetch(site.url + "/b"))["rendered"]
        assert rendered == [site.url + "/a"]
        assert (await tools.fetch(site.url + "/b", render="always"))["rendered"]


async def test_pieces_of_a_rendered_page_come_from_one_rendering(
    site: Site, open_tools: OpenTools
) -> None:
    site.pages["/a"] = answer(b"<html><body><div id=root></div><script src=/x></script></html>")
    times = iter(range(1, 100))

    async def render(url: str, _context: object) -> tuple[str, str]:
        return article(f"Rendered {next(times)} times.").decode(), url

    async with open_tools(site, render=render) as tools:
        first = await tools.fetch(site.url + "/a", maxLength=100)
        rest = await tools.fetch(site.url + "/a", startIndex=100)
        assert first["totalLength"] == 100 + rest["returned"]
        assert "Rendered 1 times." in first["text"]
        assert "Rendered 1 times." in rest["text"]
        assert rest["fromCache"]
    assert next(times) == 2


async def test_a_page_that_cannot_be_rendered_comes_as_it_is_with_a_note(
    site: Site, open_tools: OpenTools
) -> None:
    site.pages["/a"] = answer(b"<html><body><div id=root></div><script src=/x></script></html>")

    async def render(_url: str, _context: object) -> tuple[str, str]:
        raise Unavailable("no browser today")

    async with open_tools(site, render=render) as tools:
        page = await tools.fetch(site.url + "/a")
        assert not page["rendered"]
        assert any("rendering it failed (unavailable)" in note for note in page["notes"])
        assert (await tools.fetch(site.url + "/a", render="always"))["code"] == "unavailable"
    async with open_tools(site) as tools:
        page = await tools.fetch(site.url + "/a")
        assert any("openSession" in note for note in page["notes"])
        assert (await tools.fetch(site.url + "/a", render="always"))["reason"] == "no_browser"


async def test_a_browser_that_hangs_leaves_time_to_answer_with_the_page_as_it_came(
    site: Site, open_tools: OpenTools
) -> None:
    site.pages["/a"] = answer(b"<html><body><div id=root></div><script src=/x></script></html>")

    async def render(_url: str, _context: object) -> tuple[str, str]:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    async with open_tools(site, render=render) as tools:
        await tools.fetch(site.url + "/a", render="never")
        page = await tools.fetch(site.url + "/a", within_s=2)
        assert any("rendering it failed (timeout)" in note for note in page["notes"])


async def test_a_page_that_renders_larger_than_may_be_is_refused(
    site: Site, open_tools: OpenTools
) -> None:
    async def render(url: str, _context: object) -> tuple[str, str]:
        return "a" * 5000, url

    async with open_tools(site, render=render, max_fetch_bytes=4096) as tools:
        error = await tools.fetch(site.url + "/a", render="always")
        assert (error["code"], error["reason"]) == ("too_large", "too_many_bytes")


def a_page(name: str, size: int, **headers: str) -> KeptPage:
    answered = Answer(
        url=URL("https://e.org/"),
        status=200,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=bytes(size),
    )
    return KeptPage(
        key=("ann", name, False), answer=answered, kind="plain", fetched_at_s=0, fresh_s=0
    )


def test_what_is_kept_stays_within_its_bounds_and_the_least_used_goes_first() -> None:
    kept = Kept(max_bytes=100_000, clock=lambda: 0)
    for name in "abc":
        kept.put(a_page(name, 30_000))
    assert kept.get(("ann", "a", False)) is not None
    kept.put(a_page("d", 30_000))
    assert kept.size_bytes <= 100_000
    assert kept.get(("ann", "b", False)) is None
    assert kept.get(("ann", "a", False)) is not None
    page = kept.get(("ann", "d", False))
    assert page is not None
    page.readings["markdown", False] = Reading(text="x" * 200_000)
    kept.grew(page)
    assert kept.size_bytes <= 100_000


def test_pages_without_a_body_are_not_kept_without_number() -> None:
    kept = Kept(clock=lambda: 0)
    for number in range(MAX_PAGES + 50):
        kept.put(a_page(str(number), 0))
    assert kept.get(("ann", "49", False)) is None
    assert kept.get(("ann", "50", False)) is not None


def test_what_must_not_be_stored_is_gone_once_its_pieces_are_read() -> None:
    now = 0.0
    kept = Kept(clock=lambda: now)
    kept.put(a_page("a", 10, cache_control="no-store"))
    kept.put(a_page("b", 10))
    now = PAGING_NO_STORE_S + 1
    kept.put(a_page("c", 10))
    assert kept.get(("ann", "a", False)) is None
    assert kept.get(("ann", "b", False)) is not None
