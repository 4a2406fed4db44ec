"""Which element is meant, and why something could not be done to it."""

import asyncio
import re
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from flotilla import Conflict, FlotillaError, InvalidArgument, TimedOut

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

FIND_S = 5.0
ACT_S = 5.0
"""A person would have seen by then that a button cannot be pressed."""
_REF = re.compile(r"(?:f\d{1,6})?e\d{1,9}")

Ref = Annotated[
    str | None, Field(max_length=20, description="The element's reference in the last snapshot.")
]
Selector = Annotated[
    str | None,
    Field(max_length=500, description="A CSS selector instead of `ref`; it must fit one element."),
]
Tab = Annotated[str | None, Field(max_length=20, description="By default the active tab.")]
SessionId = Annotated[str, Field(min_length=1, max_length=100)]

_REASONS = (
    ("intercepts pointer events", "covered", "something lies over it"),
    ("element is not visible", "hidden", "it is not visible"),
    ("element is not enabled", "disabled", "it is disabled"),
    ("element is not editable", "read_only", "it is read-only"),
    ("outside of the viewport", "outside", "it cannot be scrolled into view"),
    ("element is not stable", "moving", "it keeps moving"),
    ("did not find some options", "no_option", "it has no such option"),
)
"""What Playwright's log of a call ends with, and what that is called here."""


async def located(page: "Page", ref: str | None, selector: str | None) -> "Locator":
    """The one element that is meant.

    Raises InvalidArgument for names that are none, Conflict where the page has no such element any
    more, or several.
    """
    from playwright.async_api import Error

    if (ref is None) == (selector is None):
        raise InvalidArgument("name the element by `ref` or by `selector`")
    if ref is not None and _REF.fullmatch(ref) is None:
        raise InvalidArgument(
            f"{ref!r} is no reference", hint="A snapshot shows them: e12, in frames f1e2."
        )
    if selector is not None and ">>" in selector:
        raise InvalidArgument("the selector must be plain CSS, without >>")
    found = page.locator(f"aria-ref={ref}" if ref is not None else f"css={selector}")
    try:
        async with asyncio.timeout(FIND_S):
            count = await found.count()
    except TimeoutError:
        raise TimedOut(
            "the page does not answer", hint="It may wait for a request that is held."
        ) from None
    except Error as error:
        if ref is not None or is_closed(error):
            raise translated(error) from None
        raise InvalidArgument("the selector is not valid CSS") from None
    if count == 1:
        return found
    if count > 1:
        raise Conflict(f"the selector fits {count} elements", hint="Use a `ref` of a snapshot.")
    named = f"reference {ref}" if ref is not None else "element that the selector fits"
    raise Conflict(
        f"the page has no {named} (any more)",
        hint="The page changed: take a new snapshot.",
        details={"reason": "stale"},
    )


def is_closed(error: Exception) -> bool:
    return "has been closed" in str(error) or "crashed" in str(error)


def translated(error: Exception) -> FlotillaError:
    """An error of Playwright's in words of ours, without what the page itself says."""
    text = str(error)
    for sign, reason, told in _REASONS:
        if sign in text:
            return Conflict(
                f"the element cannot be used: {told}",
                hint="Take a new snapshot, or wait for what the page is doing.",
                details={"reason": reason},
            )
    if is_closed(error):
        return Conflict("the tab was closed or crashed", hint="Open a new tab with navigate.")
    if "Unknown key" in text:
        return InvalidArgument(
            "there is no such key", hint="Keys are as in Enter, ArrowDown, a, Control+a."
        )
    if "Element is not" in text or "not of type" in text or "Cannot type" in text:
        return InvalidArgument("the element is not of a kind that takes this")
    if "context was destroyed" in text or "is not attached" in text:
        return Conflict(
            "the page changed meanwhile", hint="Take a new snapshot.", details={"reason": "stale"}
        )
    if "Timeout" in type(error).__name__:
        return TimedOut("the page did not react in time")
    # What else stands there may be the page's own words.
    return Conflict("the page did not let it be done", details={"reason": "unknown"})
