"""On whose page a script runs or a link is followed: what a person is shown of that, and what must
still be so when they have said yes, for a page may go elsewhere while they decide."""

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from web_browsing.browser.elements import ACT_S
from web_browsing.browser.shown import Key, key_of

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

# In the page's words, which may lie: it is shown, and compared with what it says later.
_LEADS_TO = "element => String(element.closest('a[href], area[href]')?.href ?? '')"
MAX_LINK_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Standpoint:
    """`handle` is bound to the document: what is run by it runs there or not at all."""

    handle: Any
    page_url: str
    frame_url: str

    @property
    def digest(self) -> str:
        return f"{origin_of(self.page_url)} {origin_of(self.frame_url)}"


async def standpoint(page: "Page", element: "Locator | None") -> Standpoint:
    """Where a script runs: in the page itself, or in the frame that the element is in.

    The browser says so, not the page. Raises Playwright's errors.
    """
    if element is None:
        handle: Any = await page.evaluate_handle("undefined")
        return Standpoint(handle, page.url, page.url)
    found = await element.element_handle(timeout=ACT_S * 1000)
    frame = await found.owner_frame()
    return Standpoint(found, page.url, frame.url if frame is not None else "")


async def link_of(element: "Locator") -> str:
    """Where the link of an element leads, "" where it is in none. Raises Playwright's errors."""
    return str(await element.evaluate(_LEADS_TO, timeout=ACT_S * 1000))[:MAX_LINK_CHARS]


def origin_of(url: str) -> str:
    """RFC 6454; of what has none (about:srcdoc) all of it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else url


def script_key(script: str, ref: str | None, selector: str | None, tab: str | None) -> Key:
    digest = sha256(script.encode("utf-8", "surrogatepass")).hexdigest()
    return f"script {digest}", "\n".join((ref or "", selector or "")), tab or ""


def link_key(ref: str | None, selector: str | None, tab: str | None) -> Key:
    return f"link {ref or ''}", *key_of(None, selector, tab)[1:]
