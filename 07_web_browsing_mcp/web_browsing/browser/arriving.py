"""A tab goes somewhere, and is waited for until it has a document, or waits for what is held."""

import asyncio
from typing import Literal
from urllib.parse import urlsplit

from flotilla import FlotillaError, NotAllowed, TimedOut, UpstreamError
from web_browsing.browser.doing import Doing
from web_browsing.browser.elements import is_closed, translated
from web_browsing.browser.settling import MARGIN_S
from web_browsing.gate.refusing import Refused
from web_browsing.gate.visitor import Refusal

PARSED: Literal["domcontentloaded"] = "domcontentloaded"

Go = Literal["back", "forward", "reload"]


async def arrive(done: Doing, url: str | None, go: Go | None = None) -> None:
    """Go there, until the document is parsed, or something is held that one waits for.

    Raises NotAllowed for what the proxy refused, UpstreamError, TimedOut.
    """
    from playwright.async_api import Error
    from playwright.async_api import TimeoutError as Late

    limit_ms = max(100.0, (done.deadline.remaining_s() - 2 * MARGIN_S) * 1000)
    page = done.page
    try:
        async with asyncio.timeout(limit_ms / 1000 + 0.5):
            if url is not None:
                going = page.goto(url, timeout=limit_ms, wait_until=PARSED)
                # A page may send its visitor on by what is held then: it never arrives.
                await done.effects.until_held(going, documents=True)
            elif go == "reload":
                going = page.reload(timeout=limit_ms, wait_until=PARSED)
                await done.effects.until_held(going, documents=True)
            else:
                move = page.go_back if go == "back" else page.go_forward
                going = move(timeout=limit_ms, wait_until="commit")
                moved = await done.effects.until_held(going, documents=True)
                if moved is None and not done.effects.newly_held(documents=True):
                    done.notes.append(
                        "a document of the history needs no request, or there is none"
                    )
    except (Late, TimeoutError):
        if not done.effects.navigated:
            raise TimedOut("the page did not answer in time") from None
        done.notes.append("the page had not arrived whole when the time was over")
    except Error as error:
        if done.effects.downloads_since() or "Download is starting" in str(error):
            done.notes.append("it is a file: downloadFile hands it out")
        elif not done.effects.newly_held():
            raise _not_reached(done, url, error) from None
    _check_answered(done)


def _check_answered(done: Doing) -> None:
    """Raises NotAllowed where the proxy answered for the document itself."""
    since = done.effects.refused_since()
    for each in since:
        if each.reason == done.effects.refused:
            raise not_let_through(each)


def not_let_through(refusal: Refusal | Refused) -> FlotillaError:
    """What the gate did not let through, as an error."""
    if refusal.reason in ("unreachable", "no_address"):
        return UpstreamError(refusal.told, details={"reason": refusal.reason})
    return NotAllowed(
        refusal.told,
        hint="The operator may except a host inside by WEB_BROWSING_ALLOW_HOSTS."
        if refusal.reason == "private_address"
        else None,
        details={"reason": refusal.reason},
    )


def _not_reached(done: Doing, url: str | None, error: Exception) -> FlotillaError:
    """Why a document did not come: by the proxy's word where it has one."""
    since = done.effects.refused_since()
    if since and "net::" in str(error):
        return not_let_through(since[0])
    if is_closed(error):
        return translated(error)
    said = str(error).partition("net::")[2].split(" ")[0].split("\n")[0]
    where = "the page" if url is None else (urlsplit(url).hostname or "the page")
    return UpstreamError(
        f"{where} cannot be shown: {said or 'the browser gave up'}", details={"reason": said}
    )
