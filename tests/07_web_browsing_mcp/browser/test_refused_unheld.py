"""What a page may not reach it may not ask to send to either: a real Chromium behind the gate."""

from collections.abc import Sequence
from typing import Any

import pytest

from .acting_user import Visiting
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
