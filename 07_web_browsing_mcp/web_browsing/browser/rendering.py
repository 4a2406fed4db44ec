"""A page opened only to be read: its HTML once its scripts have done what they do."""

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from flotilla import Deadline, TimedOut, TooLarge, UpstreamError

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext

REST_S = 5.0
"""A page whose network is never quiet is read as it is after so long."""
MAX_CHARACTERS = 16 * 1024 * 1024


async def render(context: "BrowserContext", url: str, due: Deadline) -> tuple[str, str]:
    """HTML and URL, where it came to rest. Raises TimedOut, TooLarge, UpstreamError."""
    from playwright.async_api import Error
    from playwright.async_api import TimeoutError as NotInTime

    page = await context.new_page()
    try:
        await page.goto(url, wait_until="domcontentloaded", timeout=_left_ms(due))
        with suppress(NotInTime):
            await page.wait_for_load_state("networkidle", timeout=min(REST_S * 1000, _left_ms(due)))
        size = int(await page.evaluate("document.documentElement.outerHTML.length"))
        if size > MAX_CHARACTERS:
            raise TooLarge(f"the page has {size} characters when rendered; {MAX_CHARACTERS} fit")
        return await page.content(), page.url
    except NotInTime:
        raise TimedOut("the page did not open in the browser in time") from None
    except Error as error:
        # What else stands there may be the page's own words.
        told = re.search(r"net::(\w{1,60})", error.message)
        reason = told[1] if told else "it broke off"
        raise UpstreamError(f"the page did not open in the browser: {reason}") from None


def _left_ms(due: Deadline) -> float:
    # Zero is no limit to Playwright.
    return max(1.0, due.remaining_s() * 1000)
