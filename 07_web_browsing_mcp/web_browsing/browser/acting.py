"""web.browse.click, typeText, selectOption, pressKey: what a person does with hand and keyboard.

None of these is asked about, for none of them sends: what a page then wants to send is held.
"""

from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field

from flotilla import Context, InvalidArgument, NotAllowed, Tool, writes
from flotilla.secret_text import HANDLE, SecretText
from web_browsing.browser.doing import Answers, doing
from web_browsing.browser.elements import ACT_S, Ref, Selector, SessionId, Tab, located, translated
from web_browsing.browser.outcome import Acted
from web_browsing.browser.sessions import Sessions

if TYPE_CHECKING:
    from playwright.async_api import ElementHandle

MAX_TEXT_CHARS = 20_000
MAX_TYPED_CHARS = 500
"""Typed key by key each takes a while."""
_ACT_MS = ACT_S * 1000

Dialogs = Annotated[
    Literal["accept", "dismiss"],
    Field(description="What the page's questions (confirm, prompt) get that this raises."),
]
PromptText = Annotated[
    str | None,
    Field(max_length=2000, description="With dialogs=accept; by default what is proposed."),
]

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
        dialogs: Dialogs = "dismiss",
        prompt_text: PromptText = None,
    ) -> Acted:
        """Click an element of the page, by its `ref` in the last snapshot or by a CSS selector.

        Answers where the tab is once it rests; take a snapshot to see the page. Where the click
        makes the page send something (a form), that is held and listed under `held`: it goes out
        by submitForm alone. A confirm() or prompt() gets a no, unless `dialogs` says accept.
        Answers conflict for an element that is gone, hidden, disabled or covered.
        """
        answers = Answers.of(dialogs, prompt_text)
        async with doing(self._sessions, session_id, tab, context, answers) as done:
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
        host: Annotated[
            str | None,
            Field(max_length=253, description="With `secret`: whose page alone may get it."),
        ] = None,
        key_by_key: Annotated[
            bool,
            Field(
                description="Append to what is there, a key at a time, for pages that listen "
                f"to keys; at most {MAX_TYPED_CHARS} characters."
            ),
        ] = False,
        dialogs: Dialogs = "dismiss",
        prompt_text: PromptText = None,
    ) -> Acted:
        """Fill a field: what was in it is replaced. Sends nothing; pressKey Enter may then.

        Give a password as `secret`, best as a secret:// handle of leaseSecret, with the `host` of
        the site that it is for: not_allowed where the field is another's, for a page reads what is
        typed into it. It is shown neither in the audit nor in what a person is asked about.
        """
        typed = _typed(text, secret, host, key_by_key=key_by_key)
        answers = Answers.of(dialogs, prompt_text)
        async with doing(self._sessions, session_id, tab, context, answers) as done:
            element = await located(done.page, ref, selector)
            # Bound to its document: what comes after a navigation gets nothing.
            field = await done.act(element.element_handle(timeout=_ACT_MS))
            if field is None:
                return await done.outcome()
            if host is not None:
                await _check_host(field, host)
            if secret is not None or await done.act(field.evaluate(_TAKES_SECRETS)):
                done.session.sending.conceal(typed)
            if key_by_key:
                await done.act(field.type(typed, timeout=_ACT_MS, no_wait_after=True))
            else:
                await done.act(field.fill(typed, timeout=_ACT_MS))
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
        dialogs: Dialogs = "dismiss",
        prompt_text: PromptText = None,
    ) -> Acted:
        """Select options of a <select>, by value or label; others are deselected.

        Other lists that only look like one are clicked.
        """
        answers = Answers.of(dialogs, prompt_text)
        async with doing(self._sessions, session_id, tab, context, answers) as done:
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
        dialogs: Dialogs = "dismiss",
        prompt_text: PromptText = None,
    ) -> Acted:
        """Press a key, in an element or where the focus is.

        Enter in a form makes the page send it: that is held as after a click.
        """
        answers = Answers.of(dialogs, prompt_text)
        async with doing(self._sessions, session_id, tab, context, answers) as done:
            if ref is None and selector is None:
                await done.act(done.page.keyboard.press(key))
            else:
                element = await located(done.page, ref, selector)
                await done.act(element.press(key, timeout=_ACT_MS, no_wait_after=True))
            return await done.outcome()


def _typed(text: str | None, secret: str | None, host: str | None, *, key_by_key: bool) -> str:
    """What is typed; raises InvalidArgument for arguments that do not go together."""
    if text is not None and secret is None and host is None:
        if text.startswith(HANDLE):
            raise InvalidArgument("a secret:// handle is given as `secret`, not as `text`")
        typed = text
    elif text is None and secret is not None and host is not None:
        typed = secret
    else:
        raise InvalidArgument("give either `text`, or `secret` with the `host` that it is for")
    if key_by_key and len(typed) > MAX_TYPED_CHARS:
        raise InvalidArgument(f"key by key at most {MAX_TYPED_CHARS} characters are typed")
    return typed


async def _check_host(field: "ElementHandle", host: str) -> None:
    """Raises NotAllowed unless the browser, not the page, says that the field is that host's."""
    from playwright.async_api import Error

    try:
        frame = await field.owner_frame()
    except Error as error:
        raise translated(error) from None
    shown = (urlsplit(frame.url).hostname if frame is not None else None) or "no host"
    if shown != host.strip().lower():
        raise NotAllowed(
            f"the field is on a page of {shown}, not of the host that the secret is for",
            details={"reason": "other_host"},
        )
