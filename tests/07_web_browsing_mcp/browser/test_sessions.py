"""Sessions of a real Chromium: whose they are, what is written down, and when they end."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from flotilla import Conflict, Context, InvalidArgument, NotAllowed, NotFound, Unavailable
from tests.conftest import until
from web_browsing.browser.contexts import Wants
from web_browsing.browser.opening import SessionTools, Viewport
from web_browsing.browser.session import Session
from web_browsing.browser.sessions import Sessions

pytestmark = [pytest.mark.anyio, pytest.mark.real]


async def test_a_session_opens_a_page_as_its_caller_wants_to_be_seen(
    site: Any, browsing: Any, calling: Callable[..., Context]
) -> None:
    site.pages["/"] = "<title>Quay</title><body>..."
    async with browsing() as sessions:
        tools = SessionTools(sessions, 600)
        opened = await tools.open_session(
            calling(),
            f"{site.url}/",
            viewport=Viewport(width=640, height=480),
            locale="nb-NO",
            timezone="Europe/Oslo",
            color_scheme="dark",
        )
        assert (opened.title, opened.tab, opened.status) == ("Quay", "t1", 200)
        assert opened.url == f"{site.url}/"
        assert len(opened.session_id) >= 22
        async with sessions.acting(opened.session_id, calling()) as session:
            seen = await session.page().evaluate(
                """[innerWidth, innerHeight, navigator.language,
                    Intl.DateTimeFormat().resolvedOptions().timeZone,
                    matchMedia('(prefers-color-scheme: dark)').matches]"""
            )
        assert seen == [640, 480, "nb-NO", "Europe/Oslo", True]


async def test_a_session_without_javascript_runs_none(
    site: Any, browsing: Any, calling: Callable[..., Context]
) -> None:
    site.pages["/"] = "<title>Still</title><script>document.title = 'Moved'</script>"
    async with browsing() as sessions:
        tools = SessionTools(sessions, 600)
        opened = await tools.open_session(calling(), f"{site.url}/", java_script=False)
        assert opened.title == "Still"


async def test_another_finds_no_session_in_the_same_words_as_one_that_never_was(
    browsing: Any, calling: Callable[..., Context]
) -> None:
    async with browsing() as sessions:
        session = await sessions.open("ada", Wants())
        told: list[str] = []
        for session_id in (session.id, "never-was"):
            for use in (sessions.acting, sessions.looking):
                with pytest.raises(NotFound) as refused:
                    async with use(session_id, calling("bob")):
                        pass
                told.append(refused.value.message.replace(session_id, "ID"))
            with pytest.raises(NotFound) as refused:
                await sessions.close(session_id, "bob")
            told.append(refused.value.message.replace(session_id, "ID"))
        assert len(set(told)) == 1
        # Nor once it is closed.
        await sessions.close(session.id, "ada")
        with pytest.raises(NotFound, match="there is no session"):
            await sessions.close(session.id, "bob")
        with pytest.raises(NotFound, match="was closed"):
            await sessions.close(session.id, "ada")


async def test_sessions_share_neither_cookies_nor_storage(
    site: Any, browsing: Any, calling: Callable[..., Context]
) -> None:
    site.pages["/"] = "<title>x</title><body>"
    async with browsing() as sessions:
        ours, theirs = await sessions.open("ada", Wants()), await sessions.open("bob", Wants())
        for each in (ours, theirs):
            await each.page().goto(f"{site.url}/")
        await ours.page().evaluate("document.cookie='a=1'; localStorage.setItem('a', '1')")
        assert await theirs.page().evaluate("document.cookie + localStorage.length") == "0"


async def test_one_has_a_share_of_the_sessions_and_all_have_no_more_than_there_are(
    browsing: Any,
) -> None:
    async with browsing(max_sessions=3) as sessions:
        first = await sessions.open("ada", Wants())
        with pytest.raises(Conflict, match="as many as one may have") as refused:
            await sessions.open("ada", Wants())
        assert first.id in (refused.value.hint or "")
        await sessions.open("bob", Wants())
        await sessions.open("cy", Wants())
        with pytest.raises(Unavailable, match="all 3 sessions"):
            await sessions.open("dee", Wants())
        await sessions.close(first.id, "ada")
        await sessions.open("dee", Wants())


async def test_sessions_that_open_at_once_are_counted_before_they_are_open(browsing: Any) -> None:
    async with browsing(max_sessions=4) as sessions:
        opened = await asyncio.gather(
            *(sessions.open("ada", Wants()) for _ in range(5)), return_exceptions=True
        )
        assert sum(isinstance(each, Session) for each in opened) == 2
        assert sum(isinstance(each, Conflict) for each in opened) == 3


async def test_a_session_that_nobody_uses_is_closed_and_one_in_use_is_not(
    browsing: Any, calling: Callable[..., Context]
) -> None:
    async with browsing(idle_s=0.4) as sessions:
        session = await sessions.open("ada", Wants())
        async with sessions.looking(session.id, calling()):
            await asyncio.sleep(1)
            assert session.closed is None
        await until(lambda: not sessions.of("ada"))
        with pytest.raises(NotFound, match=r"nobody used it for 0\.4 s"):
            async with sessions.acting(session.id, calling()):
                pass


async def test_a_session_ends_in_time_however_much_it_is_used(
    browsing: Any, calling: Callable[..., Context]
) -> None:
    async with browsing(session_s=1.0) as sessions:
        session = await sessions.open("ada", Wants())
        with pytest.raises(NotFound, match="the most that it may be"):
            async with sessions.acting(session.id, calling()) as used:
                await used.page().evaluate("new Promise(() => {})")


async def test_two_at_once_wait_for_one_another_until_the_deadline(
    browsing: Any, calling: Callable[..., Context]
) -> None:
    async with browsing() as sessions:
        session = await sessions.open("ada", Wants())
        async with sessions.acting(session.id, calling()):
            with pytest.raises(Conflict, match="something else"):
                async with sessions.acting(session.id, calling("ada", 0.3)):
                    pass
            async with sessions.looking(session.id, calling()) as seen:
                assert seen is session


async def test_what_a_page_says_asks_and_fetches_is_written_down(site: Any, browsing: Any) -> None:
    site.pages["/"] = """<script>
        console.warn('adrift'); alert('ahoy'); fetch('/none');
        setTimeout(() => { throw Error('sunk') })
        </script>"""
    async with browsing() as sessions:
        session = await sessions.open("ada", Wants())
        await session.page().goto(f"{site.url}/")
        await until(lambda: any("sunk" in each.text for each in session.console))
        await until(lambda: any(each.url.endswith("/none") for each in session.network))
        first = session.console[0]
        assert (first.level, first.text, first.tab) == ("warning", "adrift", "t1")
        assert [(each.kind, each.message) for each in session.dialogs] == [("alert", "ahoy")]
        (missing,) = [each for each in session.network if each.url.endswith("/none")]
        assert (missing.status, missing.kind, missing.tab) == (404, "fetch", "t1")


async def test_a_window_that_a_page_opens_unasked_is_none_and_one_too_many_is_closed(
    site: Any, browsing: Any
) -> None:
    site.pages["/"] = """<script>
        const timer = setInterval(() => { window.open('/quiet'); fetch('/tick') }, 200);
        let clicks = 0;
        function open_one() { window.open('/quiet'); if (++clicks == 2) clearInterval(timer); }
        </script>
        <button onclick="open_one()" style="width: 9em">Open</button>"""
    site.pages["/quiet"] = "<title>q</title>"
    async with browsing(max_tabs=2) as sessions:
        session = await sessions.open("ada", Wants())
        page = session.page()
        await page.goto(f"{site.url}/")
        # Asking the page would count as a person's doing, after which it may open one.
        await until(lambda: sum(each.path == "/tick" for each in site.asked) > 3)
        assert list(session.tabs) == ["t1"]
        await page.click("button", timeout=30_000)
        await page.click("button", timeout=30_000)
        await until(lambda: session.popups_refused >= 1, 30)
        assert list(session.tabs) == ["t1", "t2"]
        await until(lambda: len(session.context.pages) == 2)
        await session.tabs["t2"].close()
        await until(lambda: list(session.tabs) == ["t1"])


async def test_a_page_that_loops_for_ever_holds_neither_its_session_nor_others(
    site: Any, browsing: Any
) -> None:
    site.pages["/loop"] = "<script>setTimeout(() => { while (true); }, 10)</script>"
    site.pages["/"] = "<title>Fine</title>"
    async with browsing() as sessions:
        hung, other = await sessions.open("ada", Wants()), await sessions.open("bob", Wants())
        await hung.page().goto(f"{site.url}/loop")
        await other.page().goto(f"{site.url}/")
        assert await other.page().title() == "Fine"
        async with asyncio.timeout(15):
            await sessions.close(hung.id, "ada")
        assert await other.page().title() == "Fine"


async def test_what_opens_no_page_says_why_and_leaves_no_session(
    site: Any, browsing: Any, calling: Callable[..., Context]
) -> None:
    async with browsing() as sessions:
        tools = SessionTools(sessions, 600)
        with pytest.raises(NotAllowed) as refused:
            await tools.open_session(calling(), "http://127.0.0.1:8080/")
        assert refused.value.details["reason"] == "private_address"
        with pytest.raises(InvalidArgument, match="Mars"):
            await tools.open_session(calling(), timezone="Mars/Olympus")
        await until(lambda: not sessions.of("ada"))


async def test_a_page_is_rendered_for_reading_and_may_send_nothing(
    site: Any, browsing: Any, calling: Callable[..., Context]
) -> None:
    site.pages["/"] = """<body><script>
        fetch('/data').then(r => r.text()).then(t => { document.body.append(t) });
        fetch('/take', {method: 'POST', body: 'all'}).catch(() => {});
        navigator.sendBeacon('/take', 'all');
        </script>"""
    site.pages["/data"] = "seventeen gulls"
    async with browsing() as sessions:
        html, url = await sessions.rendered(f"{site.url}/", calling())
        assert "seventeen gulls" in html
        assert url == f"{site.url}/"
        assert site.sent() == []
        assert sessions.of("ada") == ()


async def test_pages_are_given_no_permissions_and_no_service_workers(
    site: Any, browsing: Any
) -> None:
    site.pages["/"] = "<title>x</title>"
    async with browsing() as sessions:
        session = await sessions.open("ada", Wants())
        await session.page().goto(f"{site.url}/")
        states = await session.page().evaluate(
            """Promise.all(['geolocation', 'notifications', 'camera', 'microphone',
                'clipboard-read', 'midi'].map(name =>
                navigator.permissions.query({name}).then(each => each.state)))"""
        )
        assert set(states) == {"denied"}
        workers = await session.page().evaluate(
            """navigator.serviceWorker.register('/sw.js').catch(() => 0)
                .then(() => navigator.serviceWorker.getRegistrations())
                .then(each => each.length)"""
        )
        assert workers == 0
        assert not [each for each in site.asked if each.path == "/sw.js"]


async def test_a_service_that_stops_closes_all(browsing: Any) -> None:
    async with browsing() as sessions:
        session = await sessions.open("ada", Wants())
        opening = asyncio.create_task(sessions.open("bob", Wants()))
        await asyncio.sleep(0)
    assert session.closed == "the service was stopped"
    with pytest.raises(Unavailable):
        await opening
    assert isinstance(sessions, Sessions)
    assert sessions.engine.running is None
