"""What a page asks in dialogs, and what it waits for that nobody wants any more."""

from typing import Any

import pytest

from .acting_user import Refused, Visiting
from .acting_user import visiting as visiting

pytestmark = [pytest.mark.anyio, pytest.mark.real]

ASKS = """<form method=post action=/done onsubmit="return confirm('Sure?')"><input name=a value=1>
<button>Go</button></form><p id=said></p>
<a href=# onclick="said.textContent = String(prompt('Name?', 'ann')); return false">ask</a>
<i onclick="n = 0; while (confirm('again') && n < 50) n++; said.textContent = n">forever</i>"""
PAGE = """<form method=post action=/done><input name=a value=1><button>Go</button></form>
<i onclick="fetch('/done', {method: 'PUT'}).then(told => document.title = told.status)">put</i>"""


async def test_a_question_gets_a_no_and_a_yes_alone_where_it_is_asked_for(
    site: Any, visiting: Visiting
) -> None:
    async with visiting(ASKS) as user:
        acted = await user.call("click", selector="button")
        assert (acted["dialogs"], acted["held"]) == (["confirm: Sure?"], [])
        acted = await user.call("click", selector="button", dialogs="accept")
        assert acted["dialogs"] == ["confirm (accepted): Sure?"]
        # What a yes leads to is held as ever.
        assert [each["method"] for each in acted["held"]] == ["POST"]
        assert site.sent() == []
        await user.call("navigate", go="stop")
        acted = await user.call("click", selector="button")
        assert (acted["dialogs"], acted["held"]) == (["confirm: Sure?"], [])


async def test_a_prompt_gets_the_text_that_is_given_or_what_it_proposes(
    visiting: Visiting,
) -> None:
    async with visiting(ASKS) as user:
        for given, said in (
            ({}, "null"),
            ({"dialogs": "accept"}, "ann"),
            ({"dialogs": "accept", "promptText": "bob"}, "bob"),
            ({"dialogs": "accept", "promptText": ""}, ""),
        ):
            await user.call("click", selector="a", **given)
            assert await user.session.page().inner_text("#said") == said
        with pytest.raises(Refused) as met:
            await user.call("click", selector="a", promptText="bob")
        assert met.value.code == "invalid_argument"


async def test_a_page_that_asks_without_end_gets_a_no_in_the_end(visiting: Visiting) -> None:
    async with visiting(ASKS) as user:
        acted = await user.call("click", selector="i", dialogs="accept")
        assert acted["dialogs"] == [*["confirm (accepted): again"] * 5, "confirm: again"]
        assert await user.session.page().inner_text("#said") == "5"


async def test_what_is_held_is_given_up_and_the_page_stands_and_can_send_anew(
    site: Any, visiting: Visiting
) -> None:
    async with visiting(PAGE) as user:
        (held,) = (await user.call("click", selector="button"))["held"]
        acted = await user.call("navigate", go="stop")
        assert acted["held"] == []
        assert acted["ended"] == [{"heldId": held["heldId"], "how": "given up"}]
        assert (acted["url"], acted["navigated"]) == (f"{site.url}/", False)
        with pytest.raises(Refused, match="given up"):
            await user.call("submitForm", heldId=held["heldId"])
        assert "Go" in (await user.call("snapshot"))["snapshot"]
        (again,) = (await user.call("click", selector="button"))["held"]
        await user.call("submitForm", heldId=again["heldId"])
        assert len(site.sent()) == 1


async def test_one_of_several_is_given_up_and_the_script_that_sent_it_is_told_no(
    site: Any, visiting: Visiting
) -> None:
    async with visiting(PAGE) as user:
        (put,) = (await user.call("click", selector="i"))["held"]
        both = (await user.call("click", selector="button"))["held"]
        (post,) = (each for each in both if each["method"] == "POST")
        for wrong in (["h99"], [put["heldId"], "h99"]):
            with pytest.raises(Refused) as met:
                await user.call("navigate", go="stop", heldIds=wrong)
            assert met.value.code == "not_found"
        assert len(user.session.sending.held()) == 2
        acted = await user.call("navigate", go="stop", heldIds=[put["heldId"]])
        assert [each["heldId"] for each in acted["held"]] == [post["heldId"]]
        await user.call("snapshot")
        await user.session.page().wait_for_function("document.title === '403'")
        with pytest.raises(Refused) as met:
            await user.call("navigate", go="back", heldIds=[post["heldId"]])
        assert met.value.code == "invalid_argument"
        assert site.sent() == []
