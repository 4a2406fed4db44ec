"""web.browse.evaluateScript: a script that a person has read, run in a page."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, JsonValue

from flotilla import (
    MAX_TEXT_BYTES,
    Context,
    InvalidArgument,
    Preview,
    TimedOut,
    Tool,
    TooLarge,
    writes,
)
from flotilla.sizes import strip_invisible
from web_browsing.browser.doing import Doing, doing
from web_browsing.browser.elements import Ref, Selector, SessionId, Tab, located, translated
from web_browsing.browser.foreseeing import OPERATION
from web_browsing.browser.forms import without
from web_browsing.browser.outcome import Acted
from web_browsing.browser.sessions import Sessions
from web_browsing.browser.settling import MARGIN_S, stopped_running
from web_browsing.browser.shown import Key
from web_browsing.browser.standpoint import script_key, standpoint

if TYPE_CHECKING:
    from playwright.async_api import Locator

MAX_SCRIPT_CHARS = 12_000
"""All of it is shown to the person who decides."""
CLOSE_S = 3.0

# In the page, so that nothing huge crosses to us, whatever the page made of JSON.
_AS_TEXT = """value => {
    const text = JSON.stringify(value === undefined ? null : value) ?? 'null';
    return typeof text !== 'string' ? null : text.length > %d ? text.length : text;
}"""


class Evaluated(Acted):
    """`value` is what the script returned, as JSON; null where it is still under way since
    something that it sent is held."""

    value: JsonValue = None


class Scripts:
    """The tools of this file."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def tools(self) -> tuple[Tool, ...]:
        return (
            writes(
                "web.browse.evaluateScript",
                self.evaluate_script,
                title="Evaluate a script",
                approval=True,
                untrusted=True,
                open_world=True,
                preview=Preview(
                    operation=OPERATION,
                    taken={
                        name: name for name in ("sessionId", "script", "ref", "selector", "tab")
                    },
                    fixed={"action": "evaluate"},
                    asker="owner",
                ),
                risk="it does and reads whatever the session's user may on that site",
            ),
        )

    async def evaluate_script(
        self,
        context: Context,
        session_id: SessionId,
        script: Annotated[
            str,
            Field(
                min_length=1,
                max_length=MAX_SCRIPT_CHARS,
                description="An expression, or a function: `element => element.innerHTML` gets "
                "the element of `ref`. It may be async.",
            ),
        ],
        ref: Ref = None,
        selector: Selector = None,
        tab: Tab = None,
        timeout_s: Annotated[float, Field(gt=0, le=20)] = 5,
    ) -> Evaluated:
        """Run JavaScript in the page and return its value as JSON, at most 48 KB.

        A person reads the script first. What it sends beyond GET is held as of any page. A script
        that does not end is stopped after `timeoutS`, with its tab if need be.
        """
        async with doing(self._sessions, session_id, tab, context) as done:
            element = None
            if ref is not None or selector is not None:
                element = await located(done.page, ref, selector)
            limit_s = min(timeout_s, max(0.1, done.deadline.remaining_s() - 6 * MARGIN_S))
            key = script_key(script, ref, selector, tab)
            text = await self._run(done, script, element, key, limit_s)
            acted = await done.outcome()
            if isinstance(text, str):
                text = without(text, done.session.sending.concealed)
            return Evaluated(**dict(acted), value=_value(text))

    async def _run(
        self, done: Doing, script: str, element: "Locator | None", key: Key, limit_s: float
    ) -> object:
        from playwright.async_api import Error

        try:
            async with asyncio.timeout(limit_s):
                return await done.act(_evaluated(done, script, element, key))
        except TimeoutError:
            if not await stopped_running(done.session, done.page):
                await _closed(done)
                raise TimedOut(
                    f"the script did not end within {limit_s:g} s; its tab was closed"
                ) from None
            raise TimedOut(f"the script did not end within {limit_s:g} s and was stopped") from None
        except Error as error:
            raise translated(error) from None


async def _evaluated(done: Doing, script: str, element: "Locator | None", key: Key) -> object:
    from playwright.async_api import Error

    where = await standpoint(done.page, element)
    done.session.sending.shown.check(
        key, where.digest, "the page", "It went elsewhere: ask anew, if it shall run there."
    )
    try:
        handle: Any = await where.handle.evaluate_handle(script)
    except Error as error:
        said = error.message.partition("\n    at ")[0]
        if any(sign in said for sign in ("has been closed", "context was destroyed", "crashed")):
            raise
        raise InvalidArgument(f"the script failed: {strip_invisible(said)[:500]}") from None
    try:
        return await handle.evaluate(_AS_TEXT % MAX_TEXT_BYTES)
    except Error:
        raise InvalidArgument("what it returned is no JSON") from None
    finally:
        await handle.dispose()


async def _closed(done: Doing) -> None:
    try:
        async with asyncio.timeout(CLOSE_S):
            await done.page.close()
    except TimeoutError:
        done.session.close("a script of a page ran without end, and its tab did not close")


def _value(text: object) -> JsonValue:
    if text is None:
        return None
    if isinstance(text, int):
        raise TooLarge(
            f"the script returned {text} characters; {MAX_TEXT_BYTES} fit",
            hint="Return less: the script ran all the same.",
        )
    try:
        value: JsonValue = json.loads(str(text))
    except ValueError:
        raise InvalidArgument("what it returned is no JSON: the page changed JSON itself") from None
    return value
