"""A page that still stands while its tab waits for what is held: looked at, and left later.

Chromium passes nothing on to a page whose tab waits for another document, which a held form may
make it do for minutes.
"""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from flotilla import TimedOut
from web_browsing.browser.arriving import PARSED
from web_browsing.browser.sending import HeldRequest
from web_browsing.browser.session import Session
from web_browsing.browser.settling import answers
from web_browsing.gate.visitor import Outgoing

if TYPE_CHECKING:
    from playwright.async_api import Page, Route

STAND_S = 3.0
UNROUTE_S = 0.5


async def standing(session: Session, tab: str) -> "Page":
    """The page of a tab, able to answer: a document that is held for it is set aside.

    Raises NotFound as `Session.page`, TimedOut where the page goes on waiting.
    """
    page = session.page(tab)
    held = waited_for(session, tab)
    if held is None:
        return page
    if not session.sending.set_aside(held.id, tab) or not await answers(page, STAND_S):
        raise TimedOut(
            f"the tab waits for {held.id}, which is held",
            hint="Submit it by submitForm, or leave the page by navigate.",
            details={"reason": "waits_for_held"},
        )
    return page


def waited_for(session: Session, tab: str) -> HeldRequest | None:
    """The held document that a tab waits for."""
    asked = session.documents.get(tab)
    return next(
        (
            each
            for each in session.sending.held()
            if each.stops_tab and (each.outgoing.method, each.outgoing.url) == asked
        ),
        None,
    )


async def send_again(page: "Page", held: HeldRequest, limit_ms: float) -> None:
    """Have a tab ask for what was set aside, as its next document; the gate, which knows the
    request, sends that one. Raises Playwright's errors.

    The tab asks as if a person had typed the address, and so with cookies that another site's
    form is not sent with: what goes out is the request as it was held, and never this one.
    """
    out = held.outgoing

    def is_it(url: str) -> bool:
        return url.partition("#")[0] == out.url

    async def asks(route: "Route") -> None:
        if route.request.is_navigation_request() and route.request.frame == page.main_frame:
            await route.continue_(method=out.method, post_data=out.body)
        else:
            await route.fallback()

    await page.route(is_it, asks)
    try:
        await page.goto(out.url, timeout=limit_ms, wait_until=PARSED)
    finally:
        # The tab may wait for what is held by now, and answers nothing then; what is intercepted
        # for nobody goes on as it is.
        with suppress(TimeoutError):
            async with asyncio.timeout(UNROUTE_S):
                await page.unroute(is_it, asks)


def is_again(asked: Outgoing, held: HeldRequest) -> bool:
    """Whether a request is what `send_again` has a tab ask for."""
    out = held.outgoing
    return (asked.method, asked.url, asked.body) == (out.method, out.url, out.body)
