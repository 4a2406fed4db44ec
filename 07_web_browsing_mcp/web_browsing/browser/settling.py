"""What a page does after something was done to it, until it rests or wants to send something."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from flotilla import Deadline, Unavailable
from web_browsing.browser.elements import is_closed, translated
from web_browsing.browser.session import Session
from web_browsing.gate.visitor import Outgoing, Refusal

if TYPE_CHECKING:
    from playwright.async_api import CDPSession, Frame, Page, Request, Response

QUIET_S = 0.25
"""Pages answer a click by a request at once, or by a timer about as long."""
REST_S = 2.0
"""Pages that poll never rest."""
LOAD_S = 10.0
GATHER_S = 0.15
"""What a page sends comes in company."""
MARGIN_S = 1.0
"""Of the deadline, for telling what came of it."""
REFUSED = "x-flotilla-refused"
_ANSWER_S = 1.0
_STUCK_S = 3.0


class Effects:
    """Hears what one tab and its session do from before an action on, while it is entered."""

    def __init__(self, session: Session, page: "Page") -> None:
        self.session, self.page = session, page
        self.url_before = page.url
        self.held_before = frozenset(each.id for each in session.sending.held())
        self.tabs_before = frozenset(session.tabs)
        self.navigated = False
        self.status: int | None = None
        """Of the document that was navigated to."""
        self.refused: str | None = None
        """Why the proxy answered for that document, where it says that it did."""
        self.answers: list[tuple[str, str, int]] = []
        """Method, URL and status of what was sent and answered."""
        self._dialogs_before = session.dialogs[-1] if session.dialogs else None
        self._downloads_before = frozenset(session.downloads)
        self._refused_before = session.visitor.refusals[-1] if session.visitor.refusals else None
        self._open: dict[Request, None] = {}
        self._changed = asyncio.Event()
        self._ended: set[tuple[str, str]] = set()
        """Method and URL of what was answered or failed."""
        self._moved_at = self._loaded_at = monotonic()

    def __enter__(self) -> Self:
        for event, heard in self._context_events():
            self.session.context.on(event, heard)  # pyright: ignore[reportCallIssue, reportArgumentType]
        self.page.on("framenavigated", self._on_navigated)
        return self

    def __exit__(self, *_: object) -> None:
        for event, heard in self._context_events():
            self.session.context.remove_listener(event, heard)
        self.page.remove_listener("framenavigated", self._on_navigated)

    def _context_events(self) -> tuple[tuple[Any, Callable[[Any], None]], ...]:
        return (
            ("request", self._on_request),
            ("response", self._on_response),
            ("requestfinished", self._on_end),
            ("requestfailed", self._on_end),
            ("page", self._on_page),
        )

    def _on_request(self, request: "Request") -> None:
        self._open[request] = None
        self._move()

    def _on_response(self, response: "Response") -> None:
        request = response.request
        self._ended.add((request.method, request.url))
        if request.method not in ("GET", "HEAD", "OPTIONS"):
            self.answers.append((request.method, response.url, response.status))
        if request.is_navigation_request() and _is_of(request, self.page):
            self.status = response.status
            self.refused = response.headers.get(REFUSED)
        self._move()

    def _on_end(self, request: "Request") -> None:
        self._open.pop(request, None)
        self._ended.add((request.method, request.url))
        self._move()

    def _on_page(self, _: "Page") -> None:
        self._move()

    def _on_navigated(self, frame: "Frame") -> None:
        if frame.parent_frame is None:
            self.navigated, self._loaded_at = True, monotonic()
            self._move()

    def _move(self) -> None:
        self._moved_at = monotonic()
        self._changed.set()

    def newly_held(self, *, documents: bool = False) -> bool:
        return any(
            each.id not in self.held_before and (each.navigates or not documents)
            for each in self.session.sending.held()
        )

    def _under_way(self) -> "list[Request]":
        """What was asked for and is neither answered nor held."""
        held = {(each.outgoing.method, each.outgoing.url) for each in self.session.sending.held()}
        return [
            each for each in self._open if (each.method, each.url.partition("#")[0]) not in held
        ]

    def refused_since(self) -> list[Refusal]:
        """The refusals that came since the beginning, the latest first."""
        since: list[Refusal] = []
        for each in reversed(self.session.visitor.refusals):
            if each is self._refused_before:
                break
            since.append(each)
        return since

    def dialogs_since(self) -> list[str]:
        since: list[str] = []
        for each in reversed(self.session.dialogs):
            if each is self._dialogs_before:
                break
            since.append(f"{each.kind}{' (accepted)' * each.accepted}: {each.message}")
        return since[::-1]

    def downloads_since(self) -> list[str]:
        return [each for each in self.session.downloads if each not in self._downloads_before]

    async def until_held(self, action: Coroutine[Any, Any, Any], *, documents: bool = False) -> Any:
        """Do it, and let it go once something is held, since it may wait for that; of `documents`
        something that a document waits for. None where it was let go. Raises what it raises."""
        doing = asyncio.ensure_future(action)
        arrival = self.session.sending.arrival(self.held_before, documents=documents)
        holding = asyncio.ensure_future(arrival)
        try:
            await asyncio.wait((doing, holding), return_when=asyncio.FIRST_COMPLETED)
            return await doing if doing.done() else None
        finally:
            doing.cancel()
            holding.cancel()
            await asyncio.gather(doing, holding, return_exceptions=True)

    async def act(self, action: Coroutine[Any, Any, Any]) -> Any:
        """Do something to the page until something is held. Raises FlotillaErrors."""
        from playwright.async_api import Error

        try:
            return await self.until_held(action)
        except Error as error:
            if self.newly_held() and not is_closed(error):
                return None
            raise translated(error) from None

    async def answered(self, outgoing: Outgoing, deadline: Deadline) -> None:
        """Return once something came of a request that was let go, or it takes too long."""
        sent = (outgoing.method, outgoing.url)
        until = min(deadline.at - 2 * MARGIN_S, monotonic() + LOAD_S)
        while sent not in self._ended and not self.newly_held():
            left_s = until - monotonic()
            if left_s <= 0:
                return
            await self._moved_or_held(left_s)

    async def rest(self, deadline: Deadline) -> None:
        """Return once nothing is under way, or something is held, or it has taken long enough."""
        began = monotonic()
        until = deadline.at - MARGIN_S
        await self._attended_to(until - began)
        attended = monotonic()
        gathered = False
        while True:
            now = monotonic()
            under_way = self._under_way()
            loading = any(each.is_navigation_request() for each in under_way)
            if self.newly_held() and not loading:
                if gathered:
                    return
                gathered = True
                await asyncio.sleep(GATHER_S)
                continue
            limit = min(until, began + LOAD_S if loading else max(began, self._loaded_at) + REST_S)
            quiet_at = max(attended, self._moved_at) + QUIET_S
            if now >= limit or self.page.is_closed() or (not under_way and now >= quiet_at):
                return
            wait_s = limit - now if under_way else min(limit, quiet_at) - now
            await self._moved_or_held(wait_s)

    async def _attended_to(self, left_s: float) -> None:
        """Return once the page came to what the action left it to do: it is quiet before that, too.

        One that works without end is waited for a second, one that waits for what is held is not.
        """
        if self.page.is_closed() or self.newly_held() or left_s <= 0:
            return
        await self.until_held(answers(self.page, min(_ANSWER_S, left_s)))

    async def _moved_or_held(self, wait_s: float) -> None:
        self._changed.clear()
        known = [each.id for each in self.session.sending.held()]
        moving = asyncio.ensure_future(self._changed.wait())
        holding = asyncio.ensure_future(self.session.sending.arrival(known))
        try:
            await asyncio.wait(
                (moving, holding), timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            moving.cancel()
            holding.cancel()


def _is_of(request: "Request", page: "Page") -> bool:
    from playwright.async_api import Error

    try:
        return request.frame == page.main_frame
    except Error:
        # It belongs to a worker, or to a frame that is gone.
        return False


async def answers(page: "Page", within_s: float = _ANSWER_S) -> bool:
    """Whether the page's scripts run just now; they do not while a document is waited for."""
    from playwright.async_api import Error

    try:
        async with asyncio.timeout(within_s):
            await page.evaluate("1")
    except (TimeoutError, Error):
        return False
    return True


async def awake(session: Session, page: "Page") -> list[str]:
    """See to it that something can be done in the page; what had to be given up for that.

    A document that the page waits for (one that is held, a server that does not answer) is given
    up, and a script that runs without end is stopped. Raises Unavailable where nothing helps.
    """
    if page.is_closed() or await answers(page):
        return []
    waits = any(each.stops_tab for each in session.sending.held())
    if waits and await stopped_loading(session, page):
        return ["the tab no longer waits for the request that was held: it went on without"]
    if await answers(page, _STUCK_S):
        return []
    if not waits and await stopped_loading(session, page):
        return ["the tab no longer waits for the page that it was loading"]
    if await stopped_running(session, page):
        return ["a script of the page ran without end and was stopped"]
    raise Unavailable("the tab does not answer", hint="Close it by navigate with go=close.")


async def stopped_loading(session: Session, page: "Page") -> bool:
    """Give up the document that a tab waits for; whether the tab answers then."""
    return await _told(session, page, "Page.stopLoading")


async def stopped_running(session: Session, page: "Page") -> bool:
    """Stop the script that runs; whether the tab answers then."""
    return await _told(session, page, "Runtime.terminateExecution")


async def _told(session: Session, page: "Page", command: str) -> bool:
    from playwright.async_api import Error

    try:
        async with asyncio.timeout(_STUCK_S):
            devtools: Any = await devtools_of(session, page)
            await devtools.send(command)
    except (TimeoutError, Error):
        return False
    return await answers(page)


async def prepare(session: Session, page: "Page") -> None:
    """See to it that what the page does from here on can be stopped."""
    from playwright.async_api import Error

    # A tab that goes away is told of by what is done in it.
    with suppress(Error, TimeoutError):
        async with asyncio.timeout(_STUCK_S):
            await devtools_of(session, page)


async def devtools_of(session: Session, page: "Page") -> "CDPSession":
    """The way into a tab, kept for as long as it is open."""
    for each in [each for each in session.devtools if each.is_closed()]:
        del session.devtools[each]
    if page not in session.devtools:
        session.devtools[page] = await session.context.new_cdp_session(page)
    return session.devtools[page]
