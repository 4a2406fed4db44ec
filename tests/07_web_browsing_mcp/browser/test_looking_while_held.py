"""While a form is held for a person, the page that it was filled in on can be looked at."""

from typing import Any

import anyio
import pytest

from flotilla.redaction import Redactor
from flotilla.toolbox import Toolbox
from web_browsing.browser.pictures import PictureTools
from web_browsing.browser.snapshot import SnapshotTools

from .acting_user import Refused, User, Visiting
from .acting_user import visiting as visiting

pytestmark = [pytest.mark.anyio, pytest.mark.real]

LOGIN = """<title>Login</title><form method=post action=/done><input name=user value=ann>
<input name=password type=password><button name=go value=1>Go</button></form>"""


async def look(user: User, tool: str, **arguments: Any) -> dict[str, Any]:
    """A look at the page, which takes a few seconds at most."""
    tools = (*SnapshotTools(user.sessions).tools(), *PictureTools(user.sessions).tools())
    given = {"sessionId": user.session_id, **arguments}
    with anyio.fail_after(8):
        box = Toolbox(list(tools), Redactor())
        result = await box.call(f"web.browse.{tool}", given, user.context("ada", 30))
    assert not result["isError"], result
    return result["structuredContent"]


async def test_the_page_is_shown_while_its_form_is_held_which_then_goes_out_as_it_was(
    site: Any, visiting: Visiting
) -> None:
    def welcome(asked: Any) -> bytes:
        headers = "set-cookie: strict=1; SameSite=Strict\r\nset-cookie: lax=1"
        return f"HTTP/1.1 200 OK\r\n{headers}\r\ncontent-length: {len(LOGIN)}\r\n".encode() + (
            b"content-type: text/html\r\n\r\n" + LOGIN.encode()
        )

    site.pages["/"] = welcome
    async with visiting("") as user:
        await user.call("typeText", selector="[name=password]", text="hunter2-hunter2")
        (held,) = (await user.call("click", selector="button"))["held"]
        shown = await look(user, "snapshot")
        assert ("ann" in shown["snapshot"], shown["title"]) == (True, "Login")
        assert "hunter2" not in shown["snapshot"]
        picture = await look(user, "captureScreenshot")
        assert (picture["width"], picture["title"]) == (1280, "Login")
        assert (await look(user, "capturePdf"))["pages"] == 1
        assert site.sent() == []
        foreseen = await user.foresee(heldId=held["heldId"])
        assert foreseen["action"] == f"Send POST {site.url}/done"
        sent = await user.call("submitForm", heldId=held["heldId"])
        assert sent["sent"] == [{"method": "POST", "url": f"{site.url}/done", "status": 200}]
        assert (sent["title"], sent["navigated"], sent["held"]) == ("Done", True, [])
        (arrived,) = site.sent()
        assert arrived.body == b"user=ann&password=hunter2-hunter2&go=1"
        assert arrived.headers["content-type"] == "application/x-www-form-urlencoded"
        assert arrived.headers["origin"] == site.url
        assert arrived.headers["referer"] == f"{site.url}/"
        assert sorted(arrived.headers["cookie"].split("; ")) == ["lax=1", "strict=1"]
        with pytest.raises(Refused, match="released"):
            await user.call("submitForm", heldId=held["heldId"])
        assert len(site.sent()) == 1


async def test_a_form_of_another_site_gains_no_cookies_by_being_looked_at(
    site: Any, visiting: Visiting
) -> None:
    # By its two names loopback is two sites.
    other = f"http://localhost:{site.port}"
    made = b"HTTP/1.1 200 OK\r\nset-cookie: lax=1; SameSite=Lax\r\ncontent-length: 0\r\n\r\n"
    site.pages["/cookie"] = made
    site.pages["/evil"] = f"<form method=post action={other}/done><button>Go</button></form>"
    async with visiting("", allow_hosts=(f"localhost:{site.port}",)) as user:
        await user.call("navigate", url=f"{other}/cookie")
        await user.call("navigate", url=f"{site.url}/evil")
        (held,) = (await user.call("click", selector="button"))["held"]
        await look(user, "snapshot")
        await user.call("submitForm", heldId=held["heldId"])
        (arrived,) = site.sent()
        assert arrived.headers["host"] == f"localhost:{site.port}"
        assert "cookie" not in arrived.headers
        assert arrived.headers["sec-fetch-site"] == "cross-site"


async def test_what_was_set_aside_is_held_anew_where_its_answer_sends_it_on(
    site: Any, visiting: Visiting
) -> None:
    site.pages["/moved"] = b"HTTP/1.1 307 Moved\r\nlocation: /done\r\ncontent-length: 0\r\n\r\n"
    async with visiting(LOGIN.replace("action=/done", "action=/moved")) as user:
        (first,) = (await user.call("click", selector="button"))["held"]
        await look(user, "snapshot")
        acted = await user.call("submitForm", heldId=first["heldId"])
        assert [each.path for each in site.sent()] == ["/moved"]
        (second,) = acted["held"]
        assert second["url"] == f"{site.url}/done"
        assert "ann" in (await look(user, "snapshot"))["snapshot"]
        await user.call("submitForm", heldId=second["heldId"])
        assert [each.path for each in site.sent()] == ["/moved", "/done"]
        assert site.sent()[1].body == b"user=ann&password=&go=1"


async def test_tabs_that_wait_each_send_their_own(site: Any, visiting: Visiting) -> None:
    site.pages["/b"] = LOGIN.replace("/done", "/else").replace("ann", "bob")
    site.pages["/else"] = "<title>Else</title>"
    async with visiting(LOGIN) as user:
        (first,) = (await user.call("click", selector="button"))["held"]
        await user.call("navigate", url=f"{site.url}/b", tab="new")
        acted = await user.call("click", selector="button")
        second = next(each for each in acted["held"] if each["heldId"] != first["heldId"])
        assert "bob" in (await look(user, "snapshot", tab="t2"))["snapshot"]
        assert "ann" in (await look(user, "snapshot", tab="t1"))["snapshot"]
        sent = await user.call("submitForm", heldId=first["heldId"])
        assert (sent["tab"], sent["title"]) == ("t1", "Done")
        sent = await user.call("submitForm", heldId=second["heldId"])
        assert (sent["tab"], sent["title"]) == ("t2", "Else")
        assert [each.path for each in site.sent()] == ["/done", "/else"]


async def test_a_form_is_shown_to_a_person_while_the_page_waits_for_another(
    site: Any, visiting: Visiting
) -> None:
    other = "<form id=b method=post action=/else><input name=b value=2><button>Or</button></form>"
    site.pages["/else"] = "<title>Else</title>"
    async with visiting(LOGIN + other) as user:
        (held,) = (await user.call("click", selector="[name=go]"))["held"]
        with anyio.fail_after(5):
            shown = await user.foresee(selector="#b")
        assert shown["action"] == f"Send POST {site.url}/else"
        sent = await user.call("submitForm", selector="#b")
        assert sent["title"] == "Else"
        assert [(each.path, each.body) for each in site.sent()] == [("/else", b"b=2")]
        # The first one waits on, and is the person's to decide.
        assert [each["heldId"] for each in sent["held"]] == [held["heldId"]]
        await user.call("submitForm", heldId=held["heldId"])
        assert [each.path for each in site.sent()] == ["/else", "/done"]
