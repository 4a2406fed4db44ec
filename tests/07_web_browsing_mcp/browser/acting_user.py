"""Who works in pages by the tools, as a client does."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from flotilla import Context, NotFound, meta
from flotilla.redaction import Redactor
from flotilla.toolbox import Toolbox
from web_browsing.browser.acting import Acting
from web_browsing.browser.concealing import concealing
from web_browsing.browser.contexts import Wants
from web_browsing.browser.downloading import Downloading
from web_browsing.browser.foreseeing import Asked as Question
from web_browsing.browser.foreseeing import Foreseer
from web_browsing.browser.listing import ListingTools
from web_browsing.browser.navigating import Navigating
from web_browsing.browser.pictures import PictureTools
from web_browsing.browser.scripts import Scripts
from web_browsing.browser.sessions import Sessions
from web_browsing.browser.snapshot import SnapshotTools
from web_browsing.browser.submitting import Submitting


class Refused(Exception):
    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(str(body))
        self.code = body["code"]
        self.body = body


@dataclass
class User:
    """Calls the tools as a client does, in a session of hers, with everything approved."""

    sessions: Sessions
    context: Callable[..., Context]
    name: str = "ada"
    session_id: str = ""
    box: Toolbox = field(init=False)

    def __post_init__(self) -> None:
        families = (
            Acting(self.sessions),
            Navigating(self.sessions, 8),
            Submitting(self.sessions),
            Scripts(self.sessions),
            Downloading(self.sessions),
            SnapshotTools(self.sessions),
            PictureTools(self.sessions),
            ListingTools(self.sessions),
        )
        tools = (tool for each in families for tool in each.tools())
        self.box = Toolbox(concealing(tools, self.sessions), Redactor())

    async def result(self, tool: str, deadline_s: float = 30, **arguments: Any) -> dict[str, Any]:
        context = replace(self.context(self.name, deadline_s), approved=True)
        given = {"sessionId": self.session_id, **arguments}
        return await self.box.call(f"web.browse.{tool}", given, context)

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.result(tool, **arguments)
        if result["isError"]:
            raise Refused(result["_meta"][meta.ERROR])
        return result["structuredContent"]

    async def foresee(self, action: str = "submit", **more: Any) -> dict[str, Any]:
        asked = Question.model_validate(
            {"action": action, "owner": self.name, "sessionId": self.session_id, **more}
        )
        return (await Foreseer(self.sessions).foresee(asked)).model_dump(by_alias=True)

    @property
    def session(self) -> Any:
        (session,) = (each for each in self.sessions.of(self.name) if each.id == self.session_id)
        return session

    async def see(self) -> str:
        """As a snapshot does; references are good from here on."""
        return await self.session.page().aria_snapshot(mode="ai")


Visiting = Callable[..., Any]


@pytest.fixture
def visiting(site: Any, browsing: Any, shared_sessions: Sessions, calling: Any) -> Visiting:
    """`async with visiting("<form ...>") as user`: who has that page open.

    In a browser that other tests use too, unless it is to be a particular one.
    """

    @asynccontextmanager
    async def visit(page: str, **more: Any) -> AsyncGenerator[User]:
        site.pages.setdefault("/", page)
        site.pages.setdefault("/done", "<title>Done</title><h1>Thank you</h1>")
        async with browsing(**more) if more else nullcontext(shared_sessions) as sessions:
            session = await sessions.open("ada", Wants())
            user = User(sessions, calling, session_id=session.id)
            await user.call("navigate", url=f"{site.url}/")
            try:
                yield user
            finally:
                # The test may have ended it.
                with suppress(NotFound):
                    await sessions.close(session.id, "ada")

    return visit
