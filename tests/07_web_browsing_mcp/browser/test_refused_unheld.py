"""What a page may not reach it may not ask to send to either: a real Chromium behind the gate."""

from asyncio import sleep
from collections.abc import Sequence
from typing import Any

import pytest

from flotilla import FlotillaError
from flotilla.preview import REJECTED

from .acting_user import Refused, Visiting
from .acting_user import visiting as visiting
from .conftest import answer

pytestmark = [pytest.mark.anyio, pytest.mark.real]

FORM = "<form method=post action='{u}'><input name=a value=1><button>Go</button></form>"
FETCH = "<button onclick=\"fetch('{u}', {{method: 'POST', body: 'a=1'}})\">Go</button>"
AWAY = {
    "http://inside.test/x": "private_address",
    "http://10.0.0.7/x": "private_address",
    "http://nowhere.test/x": "no_address",
    "http://inside.test:81/x": "bad_port",
}


async def resolve(name: str, port: int) -> Sequence[str]:
    if name != "inside.test":
        raise OSError("no such name")
    return ["10.0.0.7"]


async def test_what_cannot_go_out_is_told_as_refused_and_held_for_nobody(
    site: Any, visiting: Visiting
) -> None:
    async with visiting("", resolve=resolve) as user:
        for number, (url, reason) in enumerate(AWAY.items()):
            for how, page in (("form", FORM), ("fetch", FETCH)):
                site.pages[f"/{how}{number}"] = page.format(u=url)
                await user.call("navigate", url=f"{site.url}/{how}{number}")
                acted = await user.call("click", selector="button")
                assert (acted["held"], acted["ended"]) == ([], []), (how, url)
                told = {"reason": reason, "method": "POST", "url": url}
                assert told in acted["refused"], (how, url)


async def test_what_cannot_go_out_is_refused_before_anybody_is_shown_it(
    site: Any, visiting: Visiting
) -> None:
    for number, url in enumerate(AWAY):
        site.pages[f"/{number}"] = (
            f"<form id=post method=post action='{url}'></form><form id=get action='{url}'></form>"
            f"<form id=ann method=post action='{url.replace('//', '//ann:pw@')}'></form>"
        )
    async with visiting("", resolve=resolve) as user:
        for number, (url, reason) in enumerate(AWAY.items()):
            await user.call("navigate", url=f"{site.url}/{number}")
            wanted = "upstream_error" if reason == "no_address" else "not_allowed"
            for action, where in (
                ("submit", {"selector": "#post"}),
                ("submit", {"selector": "#get"}),
                ("submit", {"selector": "#ann"}),
                ("download", {"url": f"{url}#part"}),
            ):
                with pytest.raises(FlotillaError) as caught:
                    await user.foresee(action, **where)
                error = caught.value
                assert (error.code, error.details) == (wanted, {"reason": reason, REJECTED: True})
                if action == "submit":
                    # Nobody saw it, so nothing is sent by somebody's word of before either.
                    with pytest.raises(Refused) as unseen:
                        await user.call("submitForm", **where)
                    assert unseen.value.code == "conflict", where


async def test_what_may_come_from_elsewhere_than_it_seems_is_shown(
    site: Any, visiting: Visiting
) -> None:
    page = """<form id=page method=post action='#part'><button>Go</button></form>
        <a id=none href='#'>a</a><a id=inside href='http://10.0.0.7/x'>b</a>"""
    async with visiting(page, resolve=resolve) as user:
        for action, where, target in (
            ("submit", {"selector": "#page"}, f"{site.url}/"),
            ("download", {"selector": "#none"}, f"{site.url}/"),
            # A script of the page may bring the file.
            ("download", {"selector": "#inside"}, "http://10.0.0.7/x"),
            ("download", {"url": f"{site.url}/done#part"}, f"{site.url}/done"),
            ("download", {"url": "http://bücher.test/x"}, "http://bücher.test/x"),
        ):
            assert target in (await user.foresee(action, **where))["action"], where
        for url in ("ftp://shop.test/x", "http://[::1", "http://ann:pw@shop.test/x"):
            with pytest.raises(FlotillaError) as caught:
                await user.foresee("download", url=url)
            assert caught.value.code == "invalid_argument"
            assert caught.value.details[REJECTED] is True


async def test_a_form_is_shown_where_the_dns_takes_its_time(site: Any, visiting: Visiting) -> None:
    async def slow(name: str, port: int) -> Sequence[str]:
        await sleep(60)
        return []

    page = FORM.format(u="http://slow.test/x")
    async with visiting(page, resolve=slow) as user:
        shown = await user.foresee(selector="form")
        assert shown["action"] == "Send POST http://slow.test/x"


async def test_a_secret_that_was_typed_is_in_no_error_of_a_preview(
    site: Any, visiting: Visiting
) -> None:
    page = "<form method=post action=/done><input name=p type=password><input name=x></form>"
    script = "document.forms[0].action = 'http://hunter2-hunter2.inside.test:81/'"
    async with visiting(page, resolve=resolve) as user:
        typed = {"selector": "[name=p]", "secret": "hunter2-hunter2", "host": "127.0.0.1"}
        await user.call("typeText", **typed)
        await user.foresee("evaluate", script=script)
        await user.call("evaluateScript", script=script)
        with pytest.raises(FlotillaError) as caught:
            await user.foresee(selector="form")
    assert caught.value.details["reason"] == "bad_port"
    assert "hunter2" not in str(caught.value.as_json("c"))


async def test_a_post_that_is_sent_on_to_the_inside_is_refused_and_not_held_anew(
    site: Any, visiting: Visiting
) -> None:
    away = "http://inside.test/x"
    async with visiting("", resolve=resolve) as user:
        for status in (307, 308):
            site.pages["/moved"] = answer("", status, location=away)
            site.pages["/"] = FORM.format(u="/moved")
            site.asked.clear()
            await user.call("navigate", url=f"{site.url}/")
            (held,) = (await user.call("click", selector="button"))["held"]
            sent = await user.call("submitForm", heldId=held["heldId"])
            assert [each.path for each in site.sent()] == ["/moved"]
            assert sent["held"] == []
            assert sent["refused"] == [{"reason": "private_address", "method": "POST", "url": away}]
