"""web.browse.click, typeText, selectOption, pressKey: what a person does with hand and keyboard.

None of these is asked about, for none of them sends: what a page then wants to send is held.
"""

from typing import Annotated, Literal

from pydantic import Field

from flotilla import Context, InvalidArgument, Tool, writes
from flotilla.secret_text import SecretText
from web_browsing.browser.doing import doing
from web_browsing.browser.elements import ACT_S, Ref, Selector, SessionId, Tab, located
from web_browsing.browser.outcome import Acted
from web_browsing.browser.sessions import Sessions

MAX_TEXT_CHARS = 20_000
MAX_TYPED_CHARS = 500
"""Typed key by key each takes a while."""
_ACT_MS = ACT_S * 1000

_TAKES_SECRETS = """element => element.matches(
    'input[type=password], input[autocomplete=one-time-code], input[autocomplete^=cc-]')"""


class Acting:
    """The tools of this file."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def tools(self) -> tuple[Tool, ...]:
        told = (
            ("click", self.click, "Click"),
            ("typeText", self.type_text, "Type text"),
            ("selectOption", self.select_option, "Select an option"),
            ("pressKey", self.press_key, "Press a key"),
        )
        return tuple(
            writes(f"web.browse.{name}", run, title=title, untrusted=True, open_world=True)
            for name, run, title in told
        )

    async def click(
        self,
        context: Context,
        session_id: SessionId,
        ref: Ref = None,
        selector: Selector = None,
        tab: Tab = None,
        button: Literal["left", "right", "middle"] = "left",
        count: Annotated[int, Field(ge=1, le=3, description="2 is a double click.")] = 1,
    ) -> Acted:
        """Click an element of the page, by its `ref` in the last snapshot or by a CSS selector.

        Answers where the tab is once it rests; take a snapshot to see the page. Where the click
        makes the page send something (a form), that is held and listed under `held`: it goes out
        by submitForm alone. Answers conflict for an element that is gone, hidden, disabled or
        covered.
        """
        async with doing(self._sessions, session_id, tab, context) as done:
            element = await located(done.page, ref, selector)
            await done.act(
                element.click(button=button, click_count=count, timeout=_ACT_MS, no_wait_after=True)
            )
            return await done.outcome()

    async def type_text(
        self,
        context: Context,
        session_id: SessionId,
        ref: Ref = None,
        selector: Selector = None,
        tab: Tab = None,
        text: Annotated[
            str | None, Field(max_length=MAX_TEXT_CHARS, description="Empty clears the field.")
        ] = None,
        secret: Annotated[
            SecretText | None,
            Field(description="A password or code instead of `text`; a secret:// handle fits."),
        ] = None,
        key_by_key: Annotated[
            bool,
            Field(
                description="Append to what is there, a key at a time, for pages that listen "
                f"to keys; at most {MAX_TYPED_CHARS} characters."
            ),
        ] = False,
    ) -> Acted:
        """Fill a field: what was in it is replaced. Sends nothing; pressKey Enter may then.

        Give a password as `secret`, best as a secret:// handle of leaseSecret: it is shown neither
        in the audit nor in what a person is asked about.
        """
        if (text is None) == (secret is None):
            raise InvalidArgument("give either `text` or `secret`")
        typed = text if secret is None else secret
        if typed is None or (key_by_key and len(typed) > MAX_TYPED_CHARS):
            raise InvalidArgument(f"key by key at most {MAX_TYPED_CHARS} characters are typed")
        async with doing(self._sessions, session_id, tab, context) as done:
            element = await located(done.page, ref, selector)
            if secret is not None or await done.act(
                element.evaluate(_TAKES_SECRETS, timeout=_ACT_MS)
            ):
                done.session.sending.conceal(typed)
            if key_by_key:
                await done.act(
                    element.press_sequentially(typed, timeout=_ACT_MS, no_wait_after=True)
                )
            else:
                await done.act(element.fill(typed, timeout=_ACT_MS))
            return await done.outcome()

    async def select_option(
        self,
        context: Context,
        session_id: SessionId,
        values: Annotated[
            list[Annotated[str, Field(max_length=500)]],
            Field(min_length=1, max_length=100, description="Values or labels of options."),
        ],
        ref: Ref = None,
        selector: Selector = None,
        tab: Tab = None,
    ) -> Acted:
        """Select options of a <select>, by value or label; others are deselected.

        Other lists that only look like one are clicked.
        """
        async with doing(self._sessions, session_id, tab, context) as done:
            element = await located(done.page, ref, selector)
            await done.act(element.select_option(values, timeout=_ACT_MS))
            return await done.outcome()

    async def press_key(
        self,
        context: Context,
        session_id: SessionId,
        key: Annotated[
            str,
            Field(
                min_length=1,
                max_length=40,
                description="Enter, Tab, Escape, ArrowDown, a, Control+a, ...",
            ),
        ],
        ref: Ref = None,
        selector: Selector = None,
        tab: Tab = None,
    ) -> Acted:
        """Press a key, in an element or where the focus is.

        Enter in a form makes the page send it: that is held as after a click.
        """
        async with doing(self._sessions, session_id, tab, context) as done:
            if ref is None and selector is None:
                await done.act(done.page.keyboard.press(key))
            else:
                element = await located(done.page, ref, selector)
                await done.act(element.press(key, timeout=_ACT_MS, no_wait_after=True))
            return await done.outcome()
