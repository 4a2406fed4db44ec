"""web.browse.navigate and waitFor: where a tab goes, and until when it is waited for."""

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from flotilla import Conflict, Context, InvalidArgument, TimedOut, Tool, Unavailable, writes
from web_browsing.browser.arriving import arrive
from web_browsing.browser.doing import Doing, heard
from web_browsing.browser.elements import SessionId, Tab
from web_browsing.browser.opening import WebUrl, check_url
from web_browsing.browser.outcome import Acted
from web_browsing.browser.session import Session
from web_browsing.browser.sessions import Sessions
from web_browsing.browser.settling import MARGIN_S, awake, stopped_loading

if TYPE_CHECKING:
    from playwright.async_api import Page

NEW = "new"
OPEN_S, CLOSE_S = 10.0, 5.0
MAX_WAIT_S = 25.0
_LOOK_S = 0.1

Go = Literal["back", "forward", "reload", "stop", "close"]
HeldIds = Annotated[
    list[Annotated[str, Field(max_length=20)]] | None,
    Field(min_length=1, max_length=20, description="With go=stop: these alone are given up."),
]


class Navigating:
    """The tools of this file."""

    def __init__(self, sessions: Sessions, max_tabs: int) -> None:
        self._sessions = sessions
        self._max_tabs = max_tabs

    def tools(self) -> tuple[Tool, ...]:
        return (
            writes(
                "web.browse.navigate",
                self.navigate,
                title="Navigate",
                untrusted=True,
                open_world=True,
            ),
            writes(
                "web.browse.waitFor",
                self.wait_for,
                title="Wait for something",
                idempotent=True,
                untrusted=True,
                open_world=True,
            ),
        )

    async def navigate(
        self,
        context: Context,
        session_id: SessionId,
        url: WebUrl | None = None,
        go: Annotated[
            Go | None,
            Field(description="Instead of a URL; stop gives up what is held, close the tab."),
        ] = None,
        tab: Annotated[
            str | None,
            Field(max_length=20, description="A tab's ID, which becomes the active one, or `new`."),
        ] = None,
        held_ids: HeldIds = None,
    ) -> Acted:
        """Go to an http or https URL, back, forward, or load anew; in a tab, or a new one.

        With `tab` alone it only becomes the active one. An HTTP error is a result with its
        `status`. Nothing inside the fleet's network is reached: not_allowed says why. As with a
        browser's stop button, after `stop` the tab waits for nothing and nothing that the session
        has held goes out any more, by nobody's approval.
        """
        if url is not None and go is not None:
            raise InvalidArgument("give either `url` or `go`")
        if held_ids is not None and go != "stop":
            raise InvalidArgument("`heldIds` is for go=stop")
        if url is None and go is None and tab is None:
            raise InvalidArgument("say where to: `url`, `go` or `tab`")
        target = None if url is None else check_url(url)
        async with self._sessions.acting(session_id, context) as session:
            if go == "close":
                return await self._closed(session, tab, context)
            page = await self._page(session, tab)
            moves = target is not None or go not in (None, "stop")
            notes = await _awake_or_not(session, page) if moves else []
            async with heard(session, page, session.active, context, notes) as done:
                if go == "stop":
                    await _stopped(done, held_ids)
                elif moves:
                    await arrive(done, target, go)
                return await done.outcome()

    async def _page(self, session: Session, tab: str | None) -> "Page":
        if tab != NEW:
            page = session.page(tab)
            session.active = tab or session.active
            return page
        if len(session.tabs) >= self._max_tabs:
            raise InvalidArgument(
                f"the session has {len(session.tabs)} tabs, and may have {self._max_tabs}",
                hint="Close one: navigate with go=close.",
            )
        from playwright.async_api import Error

        try:
            async with asyncio.timeout(OPEN_S):
                page = await session.context.new_page()
        except (TimeoutError, Error):
            raise Unavailable("the browser opens no tab just now") from None
        session.active = next(
            (name for name, each in session.tabs.items() if each == page), session.active
        )
        return session.page()

    async def _closed(self, session: Session, tab: str | None, context: Context) -> Acted:
        page, closed = session.page(tab), tab or session.active
        if len(session.tabs) == 1:
            raise InvalidArgument("it is the last tab", hint="Close the session by closeSession.")
        try:
            async with asyncio.timeout(CLOSE_S):
                await page.close()
        except TimeoutError:
            raise Unavailable("the tab does not close", hint="Close the session.") from None
        session.tabs.pop(closed, None)
        if session.active not in session.tabs:
            session.active = next(reversed(session.tabs))
        notes = [f"{closed} is closed; {session.active} is the active tab"]
        async with heard(session, session.page(), session.active, context, notes) as done:
            return await done.outcome()

    async def wait_for(
        self,
        context: Context,
        session_id: SessionId,
        text: Annotated[str | None, Field(min_length=1, max_length=500)] = None,
        text_gone: Annotated[str | None, Field(min_length=1, max_length=500)] = None,
        url_contains: Annotated[str | None, Field(min_length=1, max_length=500)] = None,
        seconds: Annotated[
            float | None, Field(gt=0, le=MAX_WAIT_S, description="Simply so long.")
        ] = None,
        timeout_s: Annotated[float, Field(gt=0, le=MAX_WAIT_S)] = 10,
        tab: Tab = None,
    ) -> Acted:
        """Wait until a text is seen or gone, the URL contains something, or for a time.

        Give exactly one of these. Ends early when something is held. Answers timeout after
        `timeoutS`.
        """
        given = [each for each in (text, text_gone, url_contains, seconds) if each is not None]
        if len(given) != 1:
            raise InvalidArgument("give one of `text`, `textGone`, `urlContains` and `seconds`")
        async with self._sessions.acting(session_id, context) as session:
            page = session.page(tab)
            async with heard(session, page, tab or session.active, context, []) as done:
                limit_s = min(seconds or timeout_s, context.deadline.remaining_s() - 2 * MARGIN_S)
                until = monotonic() + limit_s
                while monotonic() < until and not done.effects.newly_held():
                    if session.closed is not None:
                        raise Conflict("the session was closed")
                    if seconds is None and await _holds(page, text, text_gone, url_contains):
                        return await done.outcome()
                    await asyncio.sleep(min(_LOOK_S, max(0.0, until - monotonic())))
                if seconds is None and not done.effects.newly_held():
                    raise TimedOut(
                        f"it did not come within {limit_s:g} s", hint="A snapshot shows what is."
                    )
                return await done.outcome()


async def _stopped(done: Doing, held_ids: list[str] | None) -> None:
    """Raises as `Sending.find`, and then nothing is given up."""
    sending = done.session.sending
    named = [sending.find(each) for each in dict.fromkeys(held_ids or ())]
    for each in named or sending.held():
        sending.give_up(each.id)
    if held_ids is None:
        await stopped_loading(done.session, done.page)


async def _awake_or_not(session: Session, page: "Page") -> list[str]:
    """A tab that nothing helps may still go elsewhere."""
    try:
        return await awake(session, page)
    except Unavailable:
        return ["the tab did not answer"]


async def _holds(
    page: "Page", text: str | None, text_gone: str | None, url_contains: str | None
) -> bool:
    if url_contains is not None:
        return url_contains in page.url
    seen = await _is_seen(page, text or text_gone or "")
    return seen is not None and seen is (text is not None)


async def _is_seen(page: "Page", text: str) -> bool | None:
    """Whether any frame shows it; None where the page does not say just now."""
    from playwright.async_api import Error

    try:
        async with asyncio.timeout(2):
            for frame in page.frames:
                if await frame.get_by_text(text).filter(visible=True).count():
                    return True
    except (TimeoutError, Error):
        return None
    return False
