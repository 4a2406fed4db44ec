"""What a page is opened by, and where none gets by itself."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flotilla import Context, InvalidArgument
from web_browsing.browser.contexts import Wants
from web_browsing.browser.engine import clear_leftovers
from web_browsing.browser.opening import SessionTools, check_url

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "view-source:https://example.org/",
        "chrome://settings",
        "devtools://devtools/bundled/inspector.html",
        "about:blank",
        "data:text/html,<h1>x",
        "blob:https://example.org/1",
        "javascript:alert(1)",
        "ftp://example.org/",
        "example.org",
        "//example.org/",
        "http://",
        "http://[::1",
        "https://ada:secret@example.org/",
        "https://ada@example.org/",
    ],
)
def test_only_whole_web_addresses_without_passwords_are_opened(url: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        check_url(url)
    assert "secret" not in refused.value.message


def test_web_addresses_are_opened() -> None:
    for url in ("https://example.org", "HTTP://example.org:8080/a?b#c", "http://[2001:db8::1]/"):
        assert check_url(url) == url


def test_what_a_killed_service_left_is_cleared_away_and_what_is_in_use_is_not(
    tmp_path: Path,
) -> None:
    dead, alive, other = (tmp_path / f"flotilla-browser-{each}" for each in ("1", "2", "3"))
    for each in (dead, alive, other):
        each.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(dead / "life.sock"))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(alive / "life.sock"))
        listening.listen()
        clear_leftovers(tmp_path)
    # That without a socket may be about to get one.
    assert sorted(tmp_path.iterdir()) == [alive, other]


@pytest.mark.real
@pytest.mark.parametrize(
    "away",
    [
        "file:///etc/hostname",
        "view-source:http://127.0.0.1/",
        "chrome://version",
        "devtools://devtools/bundled/inspector.html",
        "data:text/html,<title>Away</title>",
    ],
)
async def test_a_page_gets_nowhere_but_to_the_web(site: Any, browsing: Any, away: str) -> None:
    site.pages["/"] = f"""<title>Here</title><body><a href='{away}'>Go</a>
        <iframe src='{away}'></iframe>
        <script>
        setTimeout(() => {{ window.tried = 1; location.href = {away!r} }}, 50);
        </script>"""
    async with browsing() as sessions:
        session = await sessions.open("ada", Wants())
        page = session.page()
        await page.goto(f"{site.url}/")
        await page.wait_for_function("window.tried")
        await page.click("a")
        assert page.url == f"{site.url}/"
        assert await page.title() == "Here"


@pytest.mark.real
async def test_a_session_opens_at_once_on_a_page_that_submits_itself_and_on_a_file(
    site: Any, browsing: Any, calling: Callable[..., Context]
) -> None:
    site.pages["/"] = """<form method=post action=/done><input name=a value=1></form>
        <script>document.forms[0].submit()</script>"""
    site.pages["/file"] = (
        b"HTTP/1.1 200 OK\r\ncontent-disposition: attachment\r\ncontent-length: 1\r\n\r\nx"
    )
    async with browsing() as sessions:
        tools = SessionTools(sessions, 600)
        opened = await asyncio.wait_for(tools.open_session(calling(), f"{site.url}/"), 15)
        (held,) = opened.held
        assert (held.method, held.url, opened.title) == ("POST", f"{site.url}/done", None)
        assert site.sent() == []
        opened = await asyncio.wait_for(tools.open_session(calling(), f"{site.url}/file"), 15)
        assert len(opened.downloads) == 1
