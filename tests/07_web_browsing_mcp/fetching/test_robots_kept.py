"""robots.txt is asked for through the wire, once, before each hop."""

import pytest

from .conftest import OpenTools, Site, Tools, answer, article, site_running

pytestmark = pytest.mark.anyio


def robots(text: str, status: int = 200) -> bytes:
    return answer(text.encode(), status, content_type="text/plain")


async def test_a_page_that_robots_txt_forbids_is_not_asked_for(site: Site, tools: Tools) -> None:
    site.pages["/robots.txt"] = robots("User-agent: *\nDisallow: /private")
    site.pages["/private/a"] = answer(article("x"))
    site.pages["/b"] = answer(article("x"))
    error = await tools.fetch(site.url + "/private/a")
    assert (error["code"], error["reason"]) == ("not_allowed", "robots")
    assert "text" in await tools.fetch(site.url + "/b")
    assert [each.path for each in site.asked] == ["/robots.txt", "/b"]


async def test_our_own_group_is_found_by_our_name(site: Site, tools: Tools) -> None:
    site.pages["/robots.txt"] = robots(
        "user-agent: flotilla\nallow: /\n\nuser-agent: *\ndisallow: /"
    )
    site.pages["/a"] = answer(article("x"))
    assert "text" in await tools.fetch(site.url + "/a")


async def test_a_redirect_does_not_lead_around_robots_txt(site: Site, tools: Tools) -> None:
    site.pages["/robots.txt"] = robots("user-agent: *\ndisallow: /private")
    site.pages["/a"] = answer(b"", 302, location="/private")
    assert (await tools.fetch(site.url + "/a"))["reason"] == "robots"
    assert site.paths() == ["/a"]


@pytest.mark.parametrize(
    ("status", "allowed"), [(404, True), (403, True), (500, False), (503, False)]
)
async def test_a_file_that_is_not_there_allows_all_and_one_that_fails_nothing(
    site: Site, tools: Tools, status: int, allowed: bool
) -> None:
    site.pages["/robots.txt"] = robots("user-agent: *\ndisallow: /", status)
    site.pages["/a"] = answer(article("x"))
    page = await tools.fetch(site.url + "/a")
    assert ("text" in page) is allowed
    if not allowed:
        assert page["reason"] == "robots"


async def test_only_its_first_half_megabyte_counts(site: Site, tools: Tools) -> None:
    filler = "# filler\n" * (500 * 1024 // 9)
    site.pages["/robots.txt"] = robots(f"user-agent: *\ndisallow: /a\n{filler}\ndisallow: /b\n" * 2)
    site.pages["/b"] = answer(article("x"))
    assert (await tools.fetch(site.url + "/a"))["reason"] == "robots"
    assert "text" in await tools.fetch(site.url + "/b")


async def test_it_may_be_behind_a_redirect_and_one_without_end_is_like_none(
    site: Site, tools: Tools
) -> None:
    site.pages["/robots.txt"] = answer(b"", 301, location="/other.txt")
    site.pages["/other.txt"] = robots("user-agent: *\ndisallow: /a")
    assert (await tools.fetch(site.url + "/a"))["reason"] == "robots"


async def test_one_that_redirects_in_a_circle_allows_all(site: Site, tools: Tools) -> None:
    site.pages["/robots.txt"] = answer(b"", 301, location="/robots.txt")
    site.pages["/a"] = answer(article("x"))
    assert "text" in await tools.fetch(site.url + "/a")


async def test_it_is_no_way_to_the_inside(site: Site, open_tools: OpenTools) -> None:
    async with site_running() as inside, open_tools(site, ports=(inside.port,)) as tools:
        site.pages["/robots.txt"] = answer(b"", 301, location=inside.url + "/robots.txt")
        assert (await tools.fetch(site.url + "/a"))["reason"] == "private_address"
        assert inside.asked == []


async def test_an_operator_may_have_it_ignored(site: Site, open_tools: OpenTools) -> None:
    site.pages["/robots.txt"] = robots("user-agent: *\ndisallow: /")
    site.pages["/a"] = answer(article("x"))
    async with open_tools(site, robots="ignore") as tools:
        assert "text" in await tools.fetch(site.url + "/a")
    assert [each.path for each in site.asked] == ["/a"]
