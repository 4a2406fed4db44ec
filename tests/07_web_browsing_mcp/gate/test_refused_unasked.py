"""What cannot go out is refused before anybody is asked to allow it, and again when it goes out."""

import pytest

from tests.conftest import until
from web_browsing.gate.proxy import Proxy
from web_browsing.gate.resolving import REMEMBERED_S
from web_browsing.gate.rules import Rules
from web_browsing.gate.visitor import PASS, Outgoing, Ruling

from .conftest import SITE, Gated, Names, connect, recording
from .test_judging import POST, Person

pytestmark = pytest.mark.anyio

NAMES = {
    SITE: [["127.0.0.1"]],
    "turned.test": [["10.1.2.3"]],
    "mixed.test": [["198.41.0.4", "192.168.0.1"]],
    "mapped.test": [["::ffff:10.1.2.3"]],
    "cloud.test": [["169.254.169.254"]],
}
REFUSED = [
    ("turned.test:443", "private_address"),
    ("mixed.test:443", "private_address"),
    ("mapped.test:443", "private_address"),
    ("cloud.test:443", "private_address"),
    ("10.0.0.1:443", "private_address"),
    ("[::1]:443", "private_address"),
    ("localhost:443", "private_address"),
    ("nowhere.test:443", "no_address"),
    ("example.com:22", "bad_port"),
    ("turned.test:8022", "bad_port"),
]
GET = b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
WAYS = {
    "post": POST,
    "delete": POST.replace(b"POST", b"DELETE"),
    "override": GET.replace(b"\r\n\r\n", b"\r\nX-HTTP-Method-Override: DELETE\r\n\r\n"),
    "websocket": GET.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
}


@pytest.mark.parametrize(("target", "reason"), REFUSED)
async def test_what_cannot_go_out_is_refused_as_a_page_there_is_and_nobody_is_asked(
    gated: Gated, target: str, reason: str
) -> None:
    person = Person()
    async with gated.gate(judge=person.judge, names=Names(NAMES)) as entrance:
        caller = await entrance.call()
        assert await caller.into(target) == 200
        status, _, body = await caller.ask(GET)
        for way, asks in WAYS.items():
            said, headers, told = await caller.ask(asks)
            assert (said, headers["x-flotilla-refused"], told) == (status, reason, body), way
        assert person.asked == []
        assert entrance.reasons() == [reason] * (1 + len(WAYS))


async def test_a_redirect_that_takes_a_post_inside_is_refused_unasked(gated: Gated) -> None:
    moved = (
        b"HTTP/1.1 308 Permanent Redirect\r\nLocation: https://turned.test/in\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    person = Person()
    person.decide(PASS)
    serve, asked = recording(moved)
    async with (
        gated.site(serve, tls=gated.authority.context(SITE)) as site,
        gated.gate(site, judge=person.judge, names=Names(NAMES)) as entrance,
    ):
        caller = await entrance.call_into(f"{SITE}:{site.port}")
        status, headers, _ = await caller.ask(POST)
        assert (status, headers["location"]) == (308, "https://turned.test/in")
        on = await entrance.call_into("turned.test:443")
        _, headers, _ = await on.ask(POST.replace(b"/send?to=1", b"/in"))
        assert headers["x-flotilla-refused"] == "private_address"
        assert len(person.asked) == len(asked) == 1


async def test_what_turns_inside_while_a_person_decides_does_not_go_out(gated: Gated) -> None:
    """Not even the exception of a name opens a cloud's metadata."""
    person, now = Person(), 0.0
    names = Names({"turning.test": [["127.0.0.1"], ["169.254.169.254"]]})
    serve, asked = recording()
    async with gated.site(serve) as site:
        target = f"turning.test:{site.port}"
        rules = Rules.of((80,), [target])
        proxy = Proxy(rules, resolve=names, clock=lambda: now)
        async with gated.gate(judge=person.judge, proxy=proxy) as entrance:
            caller = await entrance.call()
            await caller.send(connect(target) + POST)
            await until(lambda: person.asked)
            now = REMEMBERED_S + 1
            person.decide(PASS)
            assert (await caller.answer(head=True))[0] == 200
            assert (await caller.answer())[1]["x-flotilla-refused"] == "private_address"
            assert names.asked == ["turning.test"] * 2
            assert (asked, site.connections) == ([], [])


async def test_a_place_that_may_be_reached_is_looked_up_once_for_asking_and_sending(
    gated: Gated,
) -> None:
    names, held = Names(NAMES), list[Outgoing]()

    async def judge(outgoing: Outgoing) -> Ruling:
        # It was looked up before anybody is asked.
        assert names.asked == [SITE]
        held.append(outgoing)
        return PASS

    serve, asked = recording()
    async with gated.site(serve) as site, gated.gate(site, judge=judge, names=names) as entrance:
        caller = await entrance.call()
        assert await caller.into(f"{SITE}:{site.port}") == 200
        assert (await caller.ask(POST))[0] == 200
        assert names.asked == [SITE]
        assert len(held) == len(asked) == 1
