"""How every tool acts in a tab: alone in its session, heard from before to after, in time."""

from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from flotilla import Context, Deadline, InvalidArgument
from web_browsing.browser.outcome import Acted, outcome
from web_browsing.browser.session import Answering, Session
from web_browsing.browser.sessions import Sessions
from web_browsing.browser.settling import Effects, awake, prepare

if TYPE_CHECKING:
    from playwright.async_api import Page


@dataclass(frozen=True, slots=True)
class Answers:
    """To what a page asks in dialogs."""

    accept: bool
    text: str | None = None

    @classmethod
    def of(cls, dialogs: Literal["accept", "dismiss"], text: str | None) -> Self:
        """Raises InvalidArgument for a text that no prompt would get."""
        if text is not None and dialogs == "dismiss":
            raise InvalidArgument("`promptText` is for dialogs=accept")
        return cls(dialogs == "accept", text)


@dataclass
class Doing:
    session: Session
    tab: str
    page: "Page"
    effects: Effects
    deadline: Deadline
    notes: list[str]

    async def act(self, action: Coroutine[Any, Any, Any]) -> Any:
        """As `Effects.act`."""
        return await self.effects.act(action)

    async def outcome(self) -> Acted:
        """Once the tab rests."""
        await self.effects.rest(self.deadline)
        return await outcome(self.effects, self.notes, self.tab)


@asynccontextmanager
async def doing(
    sessions: Sessions,
    session_id: str,
    tab: str | None,
    context: Context,
    answers: Answers | None = None,
) -> AsyncGenerator[Doing]:
    """The tab, able to do something. Raises as `Sessions.acting`, `Session.page` and `awake`."""
    async with sessions.acting(session_id, context) as session:
        page = session.page(tab)
        notes = await awake(session, page)
        async with heard(session, page, tab or session.active, context, notes) as done:
            if answers is not None and answers.accept:
                session.answering = Answering(page, answers.text)
            try:
                yield done
            finally:
                session.answering = None


@asynccontextmanager
async def heard(
    session: Session, page: "Page", tab: str, context: Context, notes: list[str]
) -> AsyncGenerator[Doing]:
    """What is sent meanwhile is of this action."""
    await prepare(session, page)
    with session.sending.acting(), Effects(session, page) as effects:
        yield Doing(session, tab, page, effects, context.deadline, notes)
