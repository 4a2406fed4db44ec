"""web.browse.submitForm: what a page sends once a person has seen it, and nothing else.

What is held goes out as it was shown, byte for byte. A form that is named by an element is read
before anybody is asked, and again before it is sent; of what the page then sends only a request of
the same method, URL and fields goes out, and any other is held.
"""

import asyncio
from typing import TYPE_CHECKING, Annotated

from pydantic import Field as Limits

from flotilla import Conflict, Context, InvalidArgument, Preview, Tool, Unavailable, writes
from web_browsing.browser.doing import Doing, doing, heard
from web_browsing.browser.elements import ACT_S, Ref, Selector, SessionId, Tab, located
from web_browsing.browser.foreseeing import OPERATION
from web_browsing.browser.outcome import Acted
from web_browsing.browser.plans import Plan, fits, plan_of
from web_browsing.browser.sending import HeldRequest
from web_browsing.browser.sessions import Sessions
from web_browsing.browser.settling import MARGIN_S
from web_browsing.browser.shown import key_of
from web_browsing.browser.standing import is_again, send_again

if TYPE_CHECKING:
    from playwright.async_api import Locator

HeldId = Annotated[
    str | None, Limits(max_length=20, description="What `held` of an action's answer names.")
]
_SUBMIT = """(element, isForm) => {
    const form = isForm ? element : element.form ?? element.closest('form');
    const proto = HTMLFormElement.prototype;
    const submitter = isForm || !element.matches('button, input') ||
        !['submit', 'image'].includes(element.type) ? undefined : element;
    const first = () => [...form.elements].find(
        each => ['submit', 'image'].includes(each.type) && !each.disabled);
    proto.requestSubmit.call(form, submitter ?? first());
}"""


class Submitting:
    """The tools of this file."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def tools(self) -> tuple[Tool, ...]:
        return (
            writes(
                "web.browse.submitForm",
                self.submit_form,
                title="Submit a form",
                approval=True,
                untrusted=True,
                open_world=True,
                preview=Preview(
                    operation=OPERATION,
                    taken={
                        name: name for name in ("sessionId", "heldId", "ref", "selector", "tab")
                    },
                    fixed={"action": "submit"},
                    asker="owner",
                ),
                risk="the site acts on what it gets, under whatever account the session has there",
            ),
        )

    async def submit_form(
        self,
        context: Context,
        session_id: SessionId,
        held_id: HeldId = None,
        ref: Ref = None,
        selector: Selector = None,
        tab: Tab = None,
    ) -> Acted:
        """Send what the page has held (`heldId`), or a form named by an element of it.

        A person is shown the method, the URL and every field first. By `heldId` exactly that
        request goes out. By `ref` or `selector`, of a form or of one of its buttons, the form is
        submitted: a request as it was shown goes out, and whatever else the page sends is held
        and listed. Answers where the tab is then, and under `sent` what was answered.
        """
        if held_id is not None and (ref, selector) != (None, None):
            raise InvalidArgument("give `heldId` or an element, not both")
        if held_id is not None:
            return await self._released(context, session_id, held_id, tab)
        async with doing(self._sessions, session_id, tab, context) as done:
            element = await located(done.page, ref, selector)
            plan = await done.act(plan_of(element))
            if not isinstance(plan, Plan):
                raise Conflict("the page sends something by itself; look at what is held")
            done.session.sending.shown.check(key_of(ref, selector, tab), plan.digest)
            with done.session.sending.expecting(lambda out: fits(out, plan)) as expected:
                await done.act(_submit(element, plan))
                await done.effects.rest(done.deadline)
            if plan.sends and expected.met is None:
                done.notes.append(
                    "the page sent nothing that is as the form was shown"
                    + ("; what it wants to send is held" if done.effects.newly_held() else "")
                )
            return await done.outcome()

    async def _released(
        self, context: Context, session_id: str, held_id: str, tab: str | None
    ) -> Acted:
        # The page waits, so it is not asked whether it answers.
        async with self._sessions.acting(session_id, context) as session:
            held = session.sending.find(held_id)
            tab = held.tab if held.tab in session.tabs else tab or session.active
            async with heard(session, session.page(tab), tab, context, []) as done:
                if held.tab is None:
                    session.sending.release(held_id)
                    await done.effects.answered(held.outgoing, done.deadline)
                else:
                    await _sent_again(done, held)
                return await done.outcome()


async def _sent_again(done: Doing, held: HeldRequest) -> None:
    """Send what was set aside. Raises Unavailable where it did not go out."""
    from playwright.async_api import Error

    sending = done.session.sending
    limit_s = max(0.1, done.deadline.remaining_s() - 2 * MARGIN_S)
    with sending.expecting(lambda out: is_again(out, held), held.outgoing) as expected:
        try:
            async with asyncio.timeout(limit_s + 0.5):
                going = send_again(done.page, held, limit_s * 1000)
                await done.effects.until_held(going, documents=True)
        except (Error, TimeoutError):
            # What came of it is told by what the tab shows, and whether it went out below.
            done.notes.append("the tab may not show what was answered")
    if expected.met is None:
        raise Unavailable(
            f"the tab did not send {held.id}, which is still held",
            hint="Do again what made the page send it, and submit what is held then.",
        )
    sending.release(held.id)


async def _submit(element: "Locator", plan: Plan) -> None:
    await element.evaluate(_SUBMIT, plan.is_form, timeout=ACT_S * 1000)
