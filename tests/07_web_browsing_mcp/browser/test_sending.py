"""What a page wants to send waits until a person allows it, once."""

import asyncio
from typing import Any

import pytest

from flotilla import Conflict, NotFound
from tests.conftest import until
from web_browsing.browser.sending import MAX_ASIDE_BYTES, Ended, Sending, may_send_to
from web_browsing.gate.visitor import PASS, Outgoing, Ruling

pytestmark = pytest.mark.anyio


def post(url: str = "https://shop.test/buy", body: bytes = b"n=1", **more: Any) -> Outgoing:
    headers = more.pop("headers", (("content-type", "application/x-www-form-urlencoded"),))
    return Outgoing(method="POST", url=url, headers=headers, body=body, **more)


def navigation(body: bytes = b"n=1") -> Outgoing:
    return post(body=body, headers=(("sec-fetch-mode", "navigate"),))


async def test_a_post_waits_until_it_is_released_and_goes_out_once() -> None:
    sending = Sending(())
    judged = asyncio.create_task(sending.judge(post()))
    await sending.arrival(())
    (held,) = sending.held()
    assert held.outgoing == post()
    assert not judged.done()
    assert sending.release(held.id) == held
    assert await judged == PASS
    assert sending.held() == ()
    with pytest.raises(Conflict, match="released"):
        sending.release(held.id)
    again = asyncio.create_task(sending.judge(post()))
    await sending.arrival((held.id,))
    assert not again.done()
    again.cancel()


async def test_one_given_up_is_told_no_and_the_next_caller_hears_of_it() -> None:
    sending = Sending(())
    judged = asyncio.create_task(sending.judge(post()))
    await sending.arrival(())
    sending.give_up("h1")
    assert (await judged).reason == "sending"
    told = Ended(id="h1", method="POST", url="https://shop.test/buy", how="given up")
    assert sending.news() == (told,)
    assert sending.news() == ()


async def test_what_nobody_allows_expires_and_says_so_afterwards() -> None:
    sending = Sending((), hold_s=0.02)
    assert (await sending.judge(post())).reason == "sending"
    with pytest.raises(Conflict, match="expired") as met:
        sending.find("h1")
    assert met.value.details["reason"] == "expired"


async def test_what_the_browser_gives_up_cannot_be_released_any_more() -> None:
    sending = Sending(())
    judged = asyncio.create_task(sending.judge(post()))
    await sending.arrival(())
    judged.cancel()
    await until(lambda: sending.held() == ())
    with pytest.raises(Conflict, match="given up"):
        sending.release("h1")
    with pytest.raises(NotFound):
        sending.release("h2")


@pytest.mark.parametrize(
    "headers",
    [
        (("sec-fetch-mode", "no-cors"),),
        (("content-type", "text/ping"),),
        (("content-type", "application/reports+json"),),
        (("content-type", "application/csp-report; charset=utf-8"),),
    ],
)
async def test_a_beacon_is_refused_at_once(headers: tuple[tuple[str, str], ...]) -> None:
    sending = Sending(())
    assert (await sending.judge(post(headers=headers))).reason == "sending"
    assert sending.held() == ()


async def test_a_websocket_is_refused_but_to_the_hosts_that_may_be_sent_to() -> None:
    sending = Sending(("chat.test",))
    socket = Outgoing(
        method="GET", url="https://other.test/", headers=(), body=b"", upgrade="websocket"
    )
    assert (await sending.judge(socket)).reason == "websocket"
    allowed = Outgoing(
        method="GET", url="https://chat.test/", headers=(), body=b"", upgrade="websocket"
    )
    assert await sending.judge(allowed) == PASS
    assert await sending.judge(post("https://chat.test/say")) == PASS


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://a.test/x", True),
        ("https://A.test:444/x", True),
        ("http://b.test:8080/", True),
        ("http://b.test/", False),
        ("https://c.test/", True),
        ("http://c.test/", False),
        ("https://evil-a.test/", False),
        ("https://a.test.evil/", False),
        ("https://a.test@evil/", False),
        ("https://[::1]:9/", True),
        ("https://x:99999/", False),
        ("nonsense", False),
    ],
)
def test_a_host_is_matched_whole_and_with_its_port_where_that_is_written(
    url: str, allowed: bool
) -> None:
    assert may_send_to(url, ("a.test", "b.test:8080", "C.test:443", "[::1]:9")) is allowed


async def test_an_expected_request_passes_once_and_the_next_is_held() -> None:
    sending = Sending(())
    with sending.expecting(lambda out: out.body == b"n=1") as expected:
        assert await sending.judge(post()) == PASS
        assert expected.met == post()
        second = asyncio.create_task(sending.judge(post()))
        await sending.arrival(())
    assert not second.done()
    second.cancel()


async def test_what_is_set_aside_waits_on_without_its_page_and_goes_out_as_it_was() -> None:
    sending = Sending(())
    judged = asyncio.create_task(sending.judge(navigation()))
    await sending.arrival(())
    assert sending.held()[0].stops_tab
    assert sending.set_aside("h1", "t1")
    assert await judged == Ruling(later=True)
    (held,) = sending.held()
    assert (held.tab, held.stops_tab, sending.news()) == ("t1", False, ())
    # It is set aside once.
    assert not sending.set_aside("h1", "t2")
    with sending.expecting(lambda out: out.body == b"n=1", held.outgoing):
        assert await sending.judge(post()) == Ruling(instead=navigation())
    sending.release("h1")
    assert sending.held() == ()
    with pytest.raises(Conflict, match="released"):
        sending.find("h1")


async def test_what_is_set_aside_expires_too_and_is_not_kept_where_it_is_large() -> None:
    sending = Sending((), hold_s=0.2)
    small = asyncio.create_task(sending.judge(navigation()))
    large = asyncio.create_task(sending.judge(navigation(b"n" * (MAX_ASIDE_BYTES + 1))))
    await sending.arrival(("h1",))
    assert sending.set_aside("h1", "t1")
    assert not sending.set_aside("h2", "t2")
    assert (await small).later
    assert (await large).reason == "sending"
    await until(lambda: sending.held() == ())
    with pytest.raises(Conflict, match="expired"):
        sending.release("h1")


async def test_an_expectation_ends_with_its_call() -> None:
    sending = Sending(())
    with sending.expecting(lambda _: True):
        pass
    judged = asyncio.create_task(sending.judge(post()))
    await sending.arrival(())
    judged.cancel()


async def test_what_pages_send_by_themselves_leaves_room_for_what_an_action_sends() -> None:
    sending = Sending((), most=4)
    alone = [asyncio.create_task(sending.judge(post(body=b"%d" % each))) for each in range(3)]
    await until(lambda: alone[2].done())
    assert (await alone[2]).reason == "sending"
    assert len(sending.held()) == 2
    with sending.acting():
        acted = [asyncio.create_task(sending.judge(navigation(b"%d" % each))) for each in range(4)]
        await until(lambda: all(each.done() for each in alone))
    assert [each.outgoing.body for each in sending.held()] == [b"0", b"1", b"2", b"3"]
    assert [each.how for each in sending.news()] == ["crowded out"] * 2
    with sending.acting():
        assert (await sending.judge(post())).reason == "sending"
    for each in acted:
        each.cancel()


async def test_what_a_person_was_shown_makes_room_for_nothing() -> None:
    sending = Sending((), most=2)
    with sending.acting():
        waiting = [asyncio.create_task(sending.judge(post(body=b"%d" % each))) for each in range(2)]
        await until(lambda: len(sending.held()) == 2)
        sending.find("h1", showing=True)
        third = asyncio.create_task(sending.judge(post(body=b"2")))
        await until(lambda: waiting[1].done())
    assert [each.id for each in sending.held()] == ["h1", "h3"]
    for each in (*waiting, third):
        each.cancel()


async def test_what_is_concealed_does_not_stand_in_the_repr() -> None:
    sending = Sending(())
    sending.conceal("hunter2-and-more")
    assert sending.concealed == ("hunter2-and-more",)
    assert "hunter2" not in repr(sending)
