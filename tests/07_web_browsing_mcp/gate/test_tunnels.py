"""A visitor without a judge: plain requests and tunnels that are not looked into."""

import ssl
from datetime import UTC, datetime

import pytest

from tests.conftest import until
from web_browsing.gate.visitor import Refusal, Visitor

from .conftest import SITE, Connection, Gated, Names, answering, basic, connect, recording

pytestmark = pytest.mark.anyio


async def test_a_plain_request_goes_out_written_anew_and_nothing_tells_who_passed_it_on(
    gated: Gated,
) -> None:
    serve, asked = recording()
    async with gated.site(serve) as site, gated.gate(site) as entrance:
        caller = await entrance.call()
        status, headers, body = await caller.ask(
            f"GET http://{SITE}:{site.port}/a?b=c HTTP/1.1\r\nHost: other.test\r\nX-Case: Kept\r\n"
            "Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nTE: trailers\r\n"
            "Connection: X-Drop, keep-alive\r\nX-Drop: 1\r\nKeep-Alive: 5\r\n\r\n".encode()
        )
        assert (status, body) == (200, b"hi")
        assert "via" not in headers
        assert entrance.visitor.requests == 1
        assert entrance.visitor.bytes_in == len(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    (head,) = asked
    assert head.decode().split("\r\n") == [
        "GET /a?b=c HTTP/1.1",
        f"Host: {SITE}:{site.port}",
        "X-Case: Kept",
        "",
        "",
    ]


async def test_a_body_goes_out_whole_and_an_answer_of_any_framing_comes_back(gated: Gated) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"
    chunked += b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX: 1\r\n\r\n"
    serve, asked = recording(
        chunked,
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    )
    async with gated.site(serve) as site, gated.gate(site) as entrance:
        caller = await entrance.call()
        url = f"http://{SITE}:{site.port}/"
        posted = await caller.ask(
            f"POST {url} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            "4\r\na=b&\r\n3\r\nc=d\r\n0\r\n\r\n".encode()
        )
        assert posted[2] == b"abcde"
        assert (await caller.ask(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode()))[0] == 204
        await caller.send(
            f"POST {url} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            "Content-Length: 2\r\n\r\n".encode()
        )
        assert await caller.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 \r\n\r\n"
        assert (await caller.ask(b"ab"))[2] == b"hi"
    assert asked[0].endswith(b"Content-Length: 7\r\n\r\na=b&c=d")
    assert asked[2].endswith(b"Content-Length: 2\r\n\r\nab")
    assert b"Expect" not in asked[2]


async def test_an_answer_that_ends_with_its_connection_comes_whole(gated: Gated) -> None:
    async def old(connection: Connection) -> None:
        await connection.request()
        connection.writer.write(
            b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 70000
        )

    async with gated.site(old) as site, gated.gate(site) as entrance:
        caller = await entrance.call()
        ask = f"GET http://{SITE}:{site.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        for _ in range(2):
            assert await caller.ask(ask) == (
                200,
                {"content-type": "text/plain", "transfer-encoding": "chunked"},
                b"x" * 70000,
            )
        ten = ask.replace(b"HTTP/1.1", b"HTTP/1.0")
        assert len((await caller.ask(ten))[2]) == 70000
        assert await caller.end() == b""


async def test_head_and_not_modified_have_no_body_whatever_they_say(gated: Gated) -> None:
    serve, _ = recording(
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n',
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    )
    async with gated.site(serve) as site, gated.gate(site) as entrance:
        caller = await entrance.call()
        url = f"http://{SITE}:{site.port}/"
        head = f"HEAD {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        status, headers, _ = await caller.ask(head, head=True)
        assert (status, headers["content-length"]) == (200, "99999999999")
        get = f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        assert (await caller.ask(get))[:2] == (304, {"etag": '"a"'})
        assert (await caller.ask(head, head=True))[0] == 200
        refused = f"HEAD http://127.0.0.1:{site.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        status, headers, _ = await caller.ask(refused, head=True)
        assert (status, headers["x-flotilla-refused"]) == (403, "bad_port")
        assert (await caller.ask(head, head=True))[0] == 200


async def test_a_connection_serves_many_requests_over_one_to_the_server(gated: Gated) -> None:
    serve, asked = recording()
    async with gated.site(serve) as site, gated.gate(site) as entrance:
        caller = await entrance.call()
        # All at once: they are answered one after the other.
        one = f"GET http://{SITE}:{site.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        await caller.send(one * 5)
        for _ in range(5):
            assert (await caller.answer())[2] == b"hi"
        assert len(site.connections) == 1
        # What changes something goes out on a connection of its own.
        await caller.ask(one.replace(b"GET", b"PUT"))
        assert len(site.connections) == 2
    assert len(asked) == 6


async def test_a_server_that_closed_an_idle_connection_is_asked_anew(gated: Gated) -> None:
    async def once(connection: Connection) -> None:
        await connection.request()
        connection.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    async with gated.site(once) as site, gated.gate(site) as entrance:
        caller = await entrance.call()
        one = f"GET http://{SITE}:{site.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        for _ in range(3):
            assert (await caller.ask(one))[2] == b"hi"
        assert len(site.connections) == 3
        assert entrance.reasons() == []


async def test_a_tunnel_passes_bytes_both_ways_and_ends_with_either_side(gated: Gated) -> None:
    async def echo(connection: Connection) -> None:
        while data := await connection.reader.read(1000):
            connection.writer.write(data.upper())
            if data == b"bye":
                return

    async with gated.site(echo) as site, gated.gate(site) as entrance:
        caller = await entrance.call()
        # What is said at once with CONNECT is not lost.
        await caller.send(connect(f"{SITE}:{site.port}") + b"early")
        assert (await caller.answer(head=True))[0] == 200
        assert await caller.reader.readexactly(5) == b"EARLY"
        await caller.send(b"bye")
        assert await caller.end() == b"BYE"
        other = await entrance.call()
        assert await other.into(f"{SITE}:{site.port}") == 200
        other.close()
        await until(lambda: len(site.connections) == 2 and site.connections[1].closed.is_set())
        assert entrance.visitor.requests == 2
        assert entrance.visitor.bytes_out == 8


async def test_tls_in_a_tunnel_is_with_the_server_itself(gated: Gated) -> None:
    tls = gated.authority.context(SITE)
    trusting = ssl.create_default_context(cafile=str(gated.authority.file))
    async with gated.site(answering, tls=tls) as site, gated.gate(site) as entrance:
        caller = await entrance.call()
        assert await caller.into(f"{SITE}:{site.port}") == 200
        await caller.secure(SITE, trusting)
        assert (await caller.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))[2] == b"hi"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("10.0.0.1:443", "private_address"),
        ("[::1]:443", "private_address"),
        ("[::ffff:10.0.0.1]:443", "private_address"),
        ("[64:ff9b::10.0.0.1]:443", "private_address"),
        ("169.254.169.254:80", "private_address"),
        ("localhost:443", "private_address"),
        ("metadata.google.internal:80", "private_address"),
        ("2130706433:443", "bad_host"),
        ("0x7f.1:443", "bad_host"),
        ("[fe80::1%25eth0]:443", "bad_host"),
        ("user@example.com:443", "bad_host"),
        ("example.com", "bad_host"),
        ("example.com:99999", "bad_host"),
        ("example.com:22", "bad_port"),
        ("example.com:6379", "bad_port"),
        ("nowhere.test:443", "no_address"),
        ("mixed.test:443", "private_address"),
        ("inside.test:443", "private_address"),
        ("mapped.test:443", "private_address"),
        ("zone.test:443", "private_address"),
        ("empty.test:443", "no_address"),
        ("garbage.test:443", "no_address"),
    ],
)
async def test_a_tunnel_that_leads_inside_is_refused_with_its_reason(
    gated: Gated, target: str, reason: str
) -> None:
    names = Names(
        {
            "mixed.test": [["93.184.216.34", "127.0.0.1"]],
            "inside.test": [["192.168.1.1"]],
            "mapped.test": [["::ffff:10.0.0.1"]],
            "zone.test": [["fe80::1%lo"]],
            "empty.test": [[]],
            "garbage.test": [["no address"]],
        }
    )
    async with gated.gate(names=names) as entrance:
        caller = await entrance.call()
        status, headers, body = await caller.ask(connect(target))
        assert headers["x-flotilla-refused"] == reason
        assert status == (502 if reason == "no_address" else 403)
        assert await caller.end() == b""
        (refusal,) = entrance.visitor.refusals
        assert (refusal.reason, refusal.url) == (reason, f"https://{target}")
        assert refusal.told.encode() in body
        host = target.rpartition(":")[0] or target
        assert entrance.visitor.last_refusal(host) == refusal


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/etc/passwd", "bad_scheme"),
        ("file:///etc/passwd", "bad_scheme"),
        ("https://example.com/", "bad_scheme"),
        ("ftp://example.com/", "bad_scheme"),
        ("example.com:80", "bad_scheme"),
        ("*", "bad_scheme"),
        ("http://example.com/#fragment", "bad_scheme"),
        ("http://", "bad_host"),
        ("http:///etc", "bad_host"),
        ("http://good.example\\@127.0.0.1/", "bad_host"),
        ("http://good.example@127.0.0.1/", "bad_host"),
        ("http://0177.0.0.1/", "bad_host"),
        ("http://127.0.0.1/", "private_address"),
        ("HTTP://[::1]/", "private_address"),
        ("http://LOCALHOST:8080/", "bad_port"),
    ],
)
async def test_a_plain_request_for_something_else_is_refused(
    gated: Gated, target: str, reason: str
) -> None:
    async with gated.gate() as entrance:
        caller = await entrance.call()
        # It may go on: the next one is judged anew.
        for _ in range(2):
            answer = await caller.ask(
                f"GET {target} HTTP/1.1\r\nHost: example.com\r\n\r\n".encode()
            )
            assert answer[1]["x-flotilla-refused"] == reason
        assert entrance.reasons() == [reason] * 2


async def test_what_the_page_is_told_holds_nothing_that_it_could_run(gated: Gated) -> None:
    async with gated.gate() as entrance:
        caller = await entrance.call()
        target = "http://nowhere.test/<script>alert(1)</script>"
        status, headers, body = await caller.ask(
            f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        assert status == 502
        assert b"<script" not in body
        assert headers["content-security-policy"] == "default-src 'none'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


async def test_a_visitor_with_a_token_is_nobody_without_it(gated: Gated) -> None:
    async with gated.site(answering) as site, gated.gate(site, token="s3cret") as entrance:
        wrong = ["", basic("s3cre"), basic(""), "Proxy-Authorization: Basic !!\r\n"]
        wrong += ["Proxy-Authorization: Bearer s3cret\r\n", "Authorization: Basic eDpzM2NyZXQ=\r\n"]
        for header in wrong:
            for ask in (connect(f"{SITE}:{site.port}", header), _get(site.port, header)):
                caller = await entrance.call()
                status, headers, body = await caller.ask(ask)
                assert (status, headers["proxy-authenticate"]) == (407, 'Basic realm="gate"')
                assert b"s3cret" not in body
        assert site.connections == []
        caller = await entrance.call()
        assert (await caller.ask(_get(site.port, basic("s3cret"))))[0] == 200
        # Each request says it.
        assert (await caller.ask(_get(site.port, "")))[0] == 407
        caller = await entrance.call()
        assert (await caller.ask(connect(f"{SITE}:{site.port}", basic("s3cret")), head=True))[
            0
        ] == 200


async def test_two_visitors_are_never_mixed(gated: Gated) -> None:
    async with (
        gated.site(answering) as site,
        gated.gate(site, token="one") as one,
        gated.gate(token="two", proxy=one.proxy) as two,
    ):
        caller = await one.call()
        assert (await caller.ask(_get(site.port, basic("two"))))[0] == 407
        other = await two.call()
        ask = f"GET http://10.0.0.1/ HTTP/1.1\r\nHost: x\r\n{basic('two')}\r\n".encode()
        assert (await other.ask(ask))[0] == 403
        assert (one.reasons(), two.reasons()) == ([], ["private_address"])
        assert (one.visitor.requests, two.visitor.requests) == (0, 1)
        third = await one.call()
        assert (await third.ask(_get(site.port, basic("one"))))[0] == 200
        assert (one.visitor.bytes_in > 0, two.visitor.bytes_in) == (True, 0)


async def test_an_exception_leads_to_its_port_alone(gated: Gated) -> None:
    async with gated.site(answering) as site, gated.site(answering) as other:
        async with gated.gate(site) as entrance:
            caller = await entrance.call()
            assert (await caller.ask(_get(site.port)))[0] == 200
            status, headers, _ = await caller.ask(_get(other.port))
            assert (status, headers["x-flotilla-refused"]) == (403, "bad_port")
        assert other.connections == []


async def test_the_name_of_an_exception_does_not_open_a_clouds_metadata(gated: Gated) -> None:
    names = Names({SITE: [["169.254.169.254"]]})
    async with gated.site(answering) as site, gated.gate(site, names=names) as entrance:
        caller = await entrance.call()
        assert (await caller.ask(_get(site.port)))[1]["x-flotilla-refused"] == "private_address"


async def test_an_address_of_the_inside_is_reached_where_an_exception_names_it(
    gated: Gated,
) -> None:
    async with gated.site(answering, host="::1") as site:
        async with gated.gate(exempt=[f"[::1]:{site.port}"]) as entrance:
            caller = await entrance.call()
            ask = f"GET http://[0:0::1]:{site.port}/ HTTP/1.1\r\nHost: x\r\n\r\n"
            assert (await caller.ask(ask.encode()))[2] == b"hi"
            mapped = ask.replace("[0:0::1]", "[::ffff:127.0.0.1]").encode()
            assert (await caller.ask(mapped))[1]["x-flotilla-refused"] == "bad_port"
        assert len(site.connections) == 1


def test_the_latest_refusal_of_a_host_is_found_and_no_other_hosts() -> None:
    visitor = Visitor("tests")
    for url in (
        "https://a.com/1",
        "http://a.com:8080/2",
        "https://a.com.evil.test/",
        "http://[::1]/",
    ):
        refusal = Refusal(
            at=datetime.now(UTC), reason="sending", method="POST", url=url, told="No."
        )
        visitor.refusals.append(refusal)
    found = [visitor.last_refusal(host) for host in ("A.com", "com", "evil.test", "::1", "[::1]")]
    assert [each and each.url for each in found] == [
        "http://a.com:8080/2",
        None,
        None,
        "http://[::1]/",
        "http://[::1]/",
    ]


async def test_the_next_address_is_tried_where_one_is_dead(gated: Gated) -> None:
    names = Names({SITE: [["127.0.0.9", "::1", "127.0.0.1"]]})
    async with gated.site(answering) as site, gated.gate(site, names=names) as entrance:
        caller = await entrance.call()
        assert (await caller.ask(_get(site.port)))[2] == b"hi"


async def test_nobody_there_is_said_so(gated: Gated) -> None:
    async with gated.site(answering) as site:
        pass
    async with gated.gate(site) as entrance:
        caller = await entrance.call()
        status, headers, body = await caller.ask(_get(site.port))
        assert (status, headers["x-flotilla-refused"]) == (502, "unreachable")
        assert b"connection refused" in body.lower()


def _get(port: int, more: str = "") -> bytes:
    return f"GET http://{SITE}:{port}/ HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode()
