"""A visitor with a judge: tunnels are looked into, and nothing is sent that was not allowed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import pytest

from tests.conftest import until
from web_browsing.gate.visitor import PASS, Allowance, Outgoing, Ruling

from .conftest import OK, SITE, Caller, Entrance, Gated, Site, answering, connect, recording

pytestmark = pytest.mark.anyio


@dataclass
class Person:
    """A judge who takes the time that a test gives, and says what it tells."""

    says: Ruling = field(default_factory=lambda: Ruling("sending", "Nobody allowed it."))
    asked: list[Outgoing] = field(default_factory=list[Outgoing])
    decided: asyncio.Event = field(default_factory=asyncio.Event)
    given_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def judge(self, outgoing: Outgoing) -> Ruling:
        self.asked.append(outgoing)
        try:
            await self.decided.wait()
        except asyncio.CancelledError:
            self.given_up.set()
            raise
        return self.says

    def decide(self, ruling: Ruling) -> None:
        self.says = ruling
        self.decided.set()


@dataclass
class Looked:
    """A site in TLS, a browser's way to it, who judges, and what the site was asked."""

    site: Site
    entrance: Entrance
    person: Person
    asked: list[bytes]

    async def caller(self) -> Caller:
        return await self.entrance.call_into(f"{SITE}:{self.site.port}")


@asynccontextmanager
async def looked_into(gated: Gated, *answers: bytes, **visitor: object) -> AsyncGenerator[Looked]:
    person = Person()
    serve, asked = recording(*answers)
    tls = gated.authority.context(SITE)
    async with (
        gated.site(serve, tls=tls) as site,
        gated.gate(site, judge=person.judge, **visitor) as entrance,
    ):
        yield Looked(site, entrance, person, asked)


GET = b"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /send?to=1 HTTP/1.1\r\nHost: x\r\nCookie: c=1\r\nContent-Length: 3\r\n\r\na=b"


async def test_a_page_in_tls_passes_unasked(gated: Gated) -> None:
    async with looked_into(gated) as looked:
        caller = await looked.caller()
        for _ in range(2):
            assert (await caller.ask(GET))[2] == b"hi"
        await caller.ask(GET.replace(b"GET", b"OPTIONS"))
        await caller.ask(GET.replace(b"GET", b"HEAD"), head=True)
        assert looked.person.asked == []
        assert looked.asked[0].startswith(f"GET /a?b HTTP/1.1\r\nHost: {SITE}:".encode())
        assert len(looked.site.connections) == 1
        assert looked.entrance.visitor.requests == 4


async def test_what_is_sent_is_held_until_it_is_allowed_and_goes_out_once(gated: Gated) -> None:
    async with looked_into(gated) as looked:
        caller = await looked.caller()
        await caller.send(POST)
        await until(lambda: looked.person.asked)
        (outgoing,) = looked.person.asked
        url = f"https://{SITE}:{looked.site.port}/send?to=1"
        assert (outgoing.method, outgoing.url, outgoing.body) == ("POST", url, b"a=b")
        assert outgoing.header("cookie") == "c=1"
        assert outgoing.header("host") == f"{SITE}:{looked.site.port}"
        # Not a byte of it has gone out, not even a connection.
        assert looked.site.connections == []
        looked.person.decide(PASS)
        assert (await caller.answer())[2] == b"hi"
        (asked,) = looked.asked
        assert asked.startswith(b"POST /send?to=1 HTTP/1.1\r\n")
        assert asked.endswith(b"\r\n\r\na=b")


async def test_what_goes_out_later_leaves_the_browser_where_it_is(gated: Gated) -> None:
    async with looked_into(gated) as looked:
        looked.person.decide(Ruling(later=True))
        caller = await looked.caller()
        status, headers, body = await caller.ask(POST)
        assert (status, body) == (204, b"")
        assert "x-flotilla-refused" not in headers
        assert (looked.asked, looked.site.connections) == ([], [])
        assert looked.entrance.reasons() == []
        # The same connection goes on, and what was asked for goes out in another's stead.
        (held,) = looked.person.asked
        looked.person.decide(Ruling(instead=held))
        assert (await caller.ask(POST.replace(b"c=1", b"c=2").replace(b"a=b", b"x=y")))[0] == 200
        (asked,) = looked.asked
        assert asked.startswith(b"POST /send?to=1 HTTP/1.1\r\n")
        assert b"cookie: c=1\r\n" in asked
        assert asked.endswith(b"\r\n\r\na=b")


async def test_what_nobody_allows_does_not_go_out(gated: Gated) -> None:
    async with looked_into(gated) as looked:
        looked.person.decided.set()
        caller = await looked.caller()
        for method in (b"POST", b"PUT", b"DELETE", b"PATCH", b"TRACE", b"get", b"PROPFIND", b"X"):
            status, headers, body = await caller.ask(POST.replace(b"POST", method))
            assert (status, headers["x-flotilla-refused"]) == (403, "sending")
            assert b"Nobody allowed it." in body
        assert (looked.asked, looked.site.connections) == ([], [])
        assert looked.entrance.reasons() == ["sending"] * 8
        assert looked.entrance.visitor.refusals[0].url.endswith("/send?to=1")
        # The same connection goes on.
        assert (await caller.ask(GET))[0] == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 3\r\n\r\na=b",
        "Transfer-Encoding: chunked\r\n\r\n3\r\na=b\r\n0\r\n\r\n",
    ],
)
async def test_a_body_cannot_hide_in_a_request_that_only_reads(
    gated: Gated, method: str, framing: str
) -> None:
    async with looked_into(gated) as looked:
        caller = await looked.caller()
        ask = f"{method} / HTTP/1.1\r\nHost: x\r\n{framing}".encode()
        _, headers, _ = await caller.ask(ask, head=method == "HEAD")
        assert headers["x-flotilla-refused"] == "sending"
        assert looked.site.connections == []


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "x-http-method", "X-Method-Override"])
async def test_a_request_that_wants_to_be_taken_for_another_is_judged(
    gated: Gated, header: str
) -> None:
    async with looked_into(gated) as looked:
        looked.person.decided.set()
        caller = await looked.caller()
        ask = f"GET / HTTP/1.1\r\nHost: x\r\n{header}: DELETE\r\n\r\n"
        assert (await caller.ask(ask.encode()))[0] == 403
        assert looked.site.connections == []


async def test_a_browser_that_gives_up_ends_the_question(gated: Gated) -> None:
    async with looked_into(gated) as looked:
        caller = await looked.caller()
        await caller.send(POST)
        await until(lambda: looked.person.asked)
        caller.writer.transport.abort()
        with anyio.fail_after(5):
            await looked.person.given_up.wait()
        looked.person.decide(PASS)
        await until(lambda: looked.entrance.visitor.connections == 0)
        assert looked.asked == []


async def test_a_redirect_that_keeps_the_method_is_judged_anew(gated: Gated) -> None:
    moved = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"
    async with looked_into(gated, moved, OK) as looked:
        looked.person.decide(PASS)
        caller = await looked.caller()
        status, headers, _ = await caller.ask(POST)
        assert (status, headers["location"]) == (307, "/other")
        looked.person.says = Ruling("sending", "No.")
        assert (await caller.ask(POST.replace(b"/send?to=1", b"/other")))[0] == 403
        assert [each.url.rpartition("/")[2] for each in looked.person.asked] == [
            "send?to=1",
            "other",
        ]
        assert len(looked.asked) == 1


async def test_a_request_without_tls_is_judged_the_same(gated: Gated) -> None:
    person = Person()
    person.decided.set()
    async with gated.site(answering) as site, gated.gate(site, judge=person.judge) as entrance:
        url = f"http://{SITE}:{site.port}"
        whole = await entrance.call()
        assert (await whole.ask(POST.replace(b"/send", f"{url}/send".encode())))[0] == 403
        # As browsers do for ws:// and some proxies for all: a tunnel, and no TLS in it.
        tunnel = await entrance.call()
        assert await tunnel.into(f"{SITE}:{site.port}") == 200
        assert (await tunnel.ask(POST))[0] == 403
        assert (await tunnel.ask(GET))[0] == 200
        early = await entrance.call()
        await early.send(connect(f"{SITE}:{site.port}") + GET)
        assert (await early.answer(head=True))[0] == 200
        assert (await early.answer())[2] == b"hi"
        assert {each.url for each in person.asked} == {f"{url}/send?to=1"}


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("10.0.0.1:443", "private_address"),
        ("localhost:443", "private_address"),
        ("nowhere.test:443", "no_address"),
        ("example.com:22", "bad_port"),
    ],
)
async def test_a_page_inside_is_refused_in_words_that_the_browser_can_show(
    gated: Gated, target: str, reason: str
) -> None:
    async with gated.gate(judge=Person().judge) as entrance:
        caller = await entrance.call_into(target)
        _, headers, body = await caller.ask(GET)
        assert headers["x-flotilla-refused"] == reason
        assert b"<h1>" in body
        (refusal,) = entrance.visitor.refusals
        host = target.rpartition(":")[0]
        assert refusal.url.startswith(f"https://{host}")
        assert entrance.visitor.last_refusal(host) == refusal


@pytest.mark.parametrize("target", ["http://10.0.0.1/", "//x", "x", "*", "https://site.test/"])
async def test_a_tunnel_leads_to_one_server_alone(gated: Gated, target: str) -> None:
    async with looked_into(gated) as looked:
        caller = await looked.caller()
        status, headers, _ = await caller.ask(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        if target == "//x":
            assert looked.asked[0].startswith(b"GET //x HTTP/1.1\r\nHost: site.test:")
        else:
            assert (status, headers["x-flotilla-refused"]) == (403, "bad_scheme")


async def test_a_tunnel_in_a_tunnel_is_none(gated: Gated) -> None:
    async with looked_into(gated) as looked:
        caller = await looked.caller()
        for target in ("10.0.0.1:443", "/"):
            status, headers, _ = await caller.ask(connect(target))
            assert (status, headers["x-flotilla-refused"]) == (403, "bad_scheme")
        assert looked.person.asked == []


async def test_what_leads_past_the_gate_or_plays_it_is_taken_out_of_an_answer(gated: Gated) -> None:
    told = (
        b'HTTP/1.1 200 OK\r\nAlt-Svc: h3=":443"\r\nX-Flotilla-Refused: private_address\r\n'
        b"Proxy-Authenticate: Basic\r\nKeep-Alive: timeout=5\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
        b"Strict-Transport-Security: max-age=1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        b"Refresh: 0;url=http://10.0.0.1/\r\nContent-Length: 2\r\n\r\nhi"
    )
    asking = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    async with looked_into(gated, told, asking) as looked:
        caller = await looked.caller()
        await caller.send(GET)
        raw = await caller.reader.readuntil(b"hi")
        assert raw.decode().split("\r\n") == [
            "HTTP/1.1 200 OK",
            "Strict-Transport-Security: max-age=1",
            "Set-Cookie: a=1",
            "Set-Cookie: b=2",
            "Refresh: 0;url=http://10.0.0.1/",
            "Content-Length: 2",
            "",
            "hi",
        ]
        status, headers, _ = await caller.ask(GET)
        assert (status, headers["x-flotilla-refused"]) == (502, "unreachable")


async def test_a_body_beyond_its_bound_is_refused_and_nobody_is_asked(gated: Gated) -> None:
    async with looked_into(gated, allowance=Allowance(sent_each=1000)) as looked:
        caller = await looked.caller()
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
        status, headers, _ = await caller.ask(head % 5000 + b"x" * 5000)
        assert (status, headers["x-flotilla-refused"]) == (502, "too_many_bytes")
        assert headers["connection"] == "close"
        # Four of the largest are kept at once, and not one more.
        callers = [await looked.caller() for _ in range(5)]
        for each in callers:
            await each.send(head % 900 + b"x" * 900)
        await until(lambda: len(looked.person.asked) == 4 and len(looked.entrance.reasons()) == 2)
        looked.person.decide(PASS)
        statuses = [(await each.answer())[0] for each in callers]
        assert sorted(statuses) == [200, 200, 200, 200, 502]
        again = await looked.caller()
        assert (await again.ask(head % 900 + b"x" * 900))[0] == 200


async def test_a_judge_that_fails_lets_nothing_out_and_others_go_on(gated: Gated) -> None:
    async def judge(outgoing: Outgoing) -> Ruling:
        raise RuntimeError(f"broken {outgoing.method}")

    async with gated.site(answering) as site, gated.gate(site, judge=judge) as entrance:
        caller = await entrance.call()
        await caller.send(POST.replace(b"/send", f"http://{SITE}:{site.port}/send".encode()))
        assert await caller.end() == b""
        assert site.connections == []
        other = await entrance.call()
        ask = GET.replace(b"/a", f"http://{SITE}:{site.port}/a".encode())
        assert (await other.ask(ask))[0] == 200
