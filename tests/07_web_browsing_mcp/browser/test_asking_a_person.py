"""A form through the hub: what a person is shown is what goes out, and only after their yes."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import mcp_types as types
import pytest

from flotilla import Spoke, meta
from tests.conftest import StartFleet
from web_browsing.browser.acting import Acting
from web_browsing.browser.foreseeing import Foreseer
from web_browsing.browser.opening import SessionTools
from web_browsing.browser.scripts import Scripts
from web_browsing.browser.submitting import Submitting

pytestmark = [pytest.mark.anyio, pytest.mark.real]

LOGIN = """<title>Login</title><form method=post action=/done><input name=user value=ann>
<input name=password type=password><button>Go</button></form>"""


class Person:
    """Answers what is asked in the client, and remembers it."""

    def __init__(self) -> None:
        self.says = "decline"
        self.asked: list[str] = []

    async def __call__(self, context: Any, params: Any) -> types.ElicitResult:
        self.asked.append(params.message)
        if self.says == "decline":
            return types.ElicitResult(action="decline")
        return types.ElicitResult(action="accept", content={"decision": "allow_once"})


@asynccontextmanager
async def spoke_in(browsing: Any) -> AsyncGenerator[Spoke]:
    async with browsing() as sessions:
        families = (
            SessionTools(sessions, 600),
            Acting(sessions),
            Submitting(sessions),
            Scripts(sessions),
        )
        yield Spoke(
            name="web_browsing",
            version="1",
            instructions="x",
            namespaces=("web.browse",),
            tools=tuple(tool for each in families for tool in each.tools()),
            operations=(Foreseer(sessions).operation(),),
        )


async def test_a_person_is_shown_a_form_and_it_goes_out_once_after_their_yes(
    site: Any, browsing: Any, start_fleet: StartFleet
) -> None:
    site.pages["/"] = LOGIN
    site.pages["/done"] = "<title>Done</title>"
    person = Person()
    async with (
        spoke_in(browsing) as spoke,
        start_fleet([spoke]) as fleet,
        fleet.client(elicitation_callback=person) as client,
    ):

        async def call(tool: str, **arguments: Any) -> dict[str, Any]:
            result = await client.call_tool(f"web.browse.{tool}", arguments)
            assert result.structured_content is not None, result
            return result.structured_content

        opened = await call("openSession", url=f"{site.url}/")
        held_in = {"sessionId": opened["sessionId"]}
        typed = {"selector": "[name=password]", "secret": "hunter2-hunter2", "host": "127.0.0.1"}
        await call("typeText", **held_in, **typed)
        (held,) = (await call("click", **held_in, selector="button"))["held"]
        assert person.asked == []
        wanted = {**held_in, "heldId": held["heldId"]}
        denied = await client.call_tool("web.browse.submitForm", wanted)
        assert denied.is_error
        assert site.sent() == []
        person.says = "accept"
        sent = await call("submitForm", **wanted)
        assert sent["title"] == "Done"
        (first, second) = person.asked
        assert first.splitlines()[1:5] == second.splitlines()[1:5]
        assert f"Send POST {site.url}/done" in second
        assert '"user": (none) -> "ann"' in second
        assert '"password": (none) -> "(15 characters)"' in second
        assert "hunter2" not in "".join(person.asked)
        assert [each.body for each in site.sent()] == [b"user=ann&password=hunter2-hunter2"]
        # Of a session that is not theirs nobody is shown anything, or asked.
        theirs = {"sessionId": "x" * 22, "heldId": "h1"}
        other = await client.call_tool("web.browse.submitForm", theirs)
        assert (other.meta or {})[meta.ERROR]["code"] == "not_found"
        assert len(person.asked) == 2


async def test_nobody_is_asked_about_a_form_that_leads_where_nothing_may_go(
    site: Any, browsing: Any, start_fleet: StartFleet
) -> None:
    site.pages["/"] = LOGIN.replace("/done", "http://10.0.0.7/login")
    person = Person()
    async with (
        spoke_in(browsing) as spoke,
        start_fleet([spoke]) as fleet,
        fleet.client(elicitation_callback=person) as client,
    ):
        opened = await client.call_tool("web.browse.openSession", {"url": f"{site.url}/"})
        assert opened.structured_content is not None
        wanted = {"sessionId": opened.structured_content["sessionId"], "selector": "form"}
        refused = await client.call_tool("web.browse.submitForm", wanted)
    error = (refused.meta or {})[meta.ERROR]
    assert (error["code"], error["reason"]) == ("not_allowed", "private_address")
    assert "WEB_BROWSING_ALLOW_HOSTS" in error["hint"]
    assert person.asked == []
