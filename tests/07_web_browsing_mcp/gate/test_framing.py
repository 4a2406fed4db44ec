"""Bytes that could be read in two ways: what comes out has one reading, or nothing comes out."""

import asyncio

import anyio
import pytest

from tests.conftest import until
from web_browsing.gate.visitor import PASS, Outgoing, Ruling

from .conftest import SITE, Connection, Gated, Serve, answering, recording

pytestmark = pytest.mark.anyio


async def allow(outgoing: Outgoing) -> Ruling:
    del outgoing
    return PASS


SMUGGLING = {
    "two framings": "POST {url} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
    "two lengths": "POST {url} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n"
    "Content-Length: 30\r\n\r\nabcGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
    "a list of lengths": "POST {url} HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 4\r\n\r\nabcd",
    "a signed length": "POST {url} HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
    "another coding": "POST {url} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n"
    "\r\n0\r\n\r\n",
    "two codings": "POST {url} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked"
    "\r\n\r\n0\r\n\r\n",
    "a space before the colon": "POST {url} HTTP/1.1\r\nHost: x\r\nContent-Length : 3\r\n\r\nabc",
    "a bad chunk size": "POST {url} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    "-1\r\nabc\r\n0\r\n\r\n",
    "a chunk that is longer": "POST {url} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    "1\r\nabc\r\n0\r\n\r\n",
    "a null": "GET {url} HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
    "a bare carriage return": "GET {url} HTTP/1.1\r\nHost: x\r\nX: a\rGET: b\r\n\r\n",
    "a space in the target": "GET {url} /x HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": "GET {url} HTTP/1.1\r\nX: y\r\n\r\n",
    "two hosts": "GET {url} HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "another version": "GET {url} HTTP/2.0\r\nHost: x\r\n\r\n",
    "no HTTP": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "HTTP/2 itself": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("what", SMUGGLING)
async def test_what_could_be_read_in_two_ways_is_not_passed_on(gated: Gated, what: str) -> None:
    serve, asked = recording()
    async with gated.site(serve) as site, gated.gate(site, judge=allow) as entrance:
        caller = await entrance.call()
        raw = SMUGGLING[what].format(url=f"http://{SITE}:{site.port}/first")
        status, headers, _ = await caller.ask(raw.encode("latin-1"))
        assert status in {400, 501, 505}
        assert headers["connection"] == "close"
        assert await caller.end() == b""
        assert asked == []


async def test_what_is_odd_but_has_one_reading_goes_out_as_it_was_read(gated: Gated) -> None:
    serve, asked = recording()
    async with gated.site(serve) as site, gated.gate(site, judge=allow) as entrance:
        caller = await entrance.call()
        # Bare line feeds, a folded header, chunk extensions and trailers.
        url = f"http://{SITE}:{site.port}/"
        folded = f"GET {url} HTTP/1.1\nHost: x\nX-Long: a\r\n  b\n\n"
        assert (await caller.ask(folded.encode()))[0] == 200
        trailed = (
            f"POST {url} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: CHUNKED\r\nTrailer: Host\r\n\r\n"
            "3;a=b\r\nabc\r\n0\r\nHost: evil\r\nContent-Length: 9\r\n\r\n"
        )
        assert (await caller.ask(trailed.encode()))[0] == 200
    host = f"{SITE}:{site.port}"
    assert asked[0].decode() == f"GET / HTTP/1.1\r\nHost: {host}\r\nX-Long: a b\r\n\r\n"
    assert asked[1].decode() == f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\r\nabc"


async def test_a_second_request_behind_a_first_is_judged_by_itself(gated: Gated) -> None:
    serve, asked = recording()
    async with gated.site(serve) as site, gated.gate(site) as entrance:
        caller = await entrance.call()
        await caller.send(
            f"GET http://{SITE}:{site.port}/ HTTP/1.1\r\nHost: x\r\n\r\n"
            "GET http://10.0.0.1/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        assert (await caller.answer())[0] == 200
        assert (await caller.answer())[1]["x-flotilla-refused"] == "private_address"
        assert len(asked) == 1


@pytest.mark.parametrize("where", ["target", "header", "many headers", "no end"])
async def test_a_head_that_is_too_large_is_refused(gated: Gated, where: str) -> None:
    serve, asked = recording()
    async with gated.site(serve) as site, gated.gate(site) as entrance:
        caller = await entrance.call()
        url, one = f"http://{SITE}:{site.port}/", "X: a\r\n"
        large = {
            "target": f"GET {url}{'a' * 70_000} HTTP/1.1\r\nHost: x\r\n\r\n",
            "header": f"GET {url} HTTP/1.1\r\nHost: x\r\nX: {'a' * 70_000}\r\n\r\n",
            "many headers": f"GET {url} HTTP/1.1\r\nHost: x\r\n{one * 12_000}\r\n",
            "no end": f"GET {url} HTTP/1.1\r\nHost: x\r\n{one * 90_000}",
        }[where]
        status, headers, _ = await caller.ask(large.encode())
        assert (status, headers["connection"]) == (431, "close")
        assert asked == []


JUNK = {
    "HTTP/0.9": b"<html>hello</html>",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "a null": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000,
    "a large head": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 66_000 + b"\r\nContent-Length: 0\r\n\r\n",
    "informational for ever": b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
}


@pytest.mark.parametrize("what", JUNK)
async def test_an_answer_that_is_none_is_told_as_one(gated: Gated, what: str) -> None:
    async def junk(connection: Connection) -> None:
        await connection.request()
        connection.writer.write(JUNK[what])

    async with gated.site(junk) as site, gated.gate(site, judge=allow) as entrance:
        caller = await entrance.call()
        ask = f"GET http://{SITE}:{site.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        for _ in range(2):
            status, headers, _ = await caller.ask(ask)
            assert (status, headers["x-flotilla-refused"]) == (502, "unreachable")
        assert entrance.reasons() == ["unreachable"] * 2


async def test_an_answer_of_two_framings_comes_out_with_one(gated: Gated) -> None:
    serve, _ = recording(
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nhi\r\n0\r\nX-Trailer: 1\r\n\r\n"
    )
    async with gated.site(serve) as site, gated.gate(site) as entrance:
        caller = await entrance.call()
        ask = f"GET http://{SITE}:{site.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        for _ in range(2):
            assert await caller.ask(ask) == (200, {"transfer-encoding": "chunked"}, b"hi")


async def test_an_answer_to_what_was_not_asked_is_nobodys(gated: Gated) -> None:
    """A server that says a second answer at once would have it taken for the next request's."""

    async def twice(connection: Connection) -> None:
        await connection.request()
        first = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst"
        connection.writer.write(first + first.replace(b"first", b"false"))
        await connection.request()

    async with gated.site(twice) as site, gated.gate(site) as entrance:
        caller = await entrance.call()
        ask = f"GET http://{SITE}:{site.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        for _ in range(3):
            assert (await caller.ask(ask))[2] == b"first"
        assert len(site.connections) == 3


@pytest.mark.parametrize(
    "half",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
    ],
)
async def test_an_answer_that_breaks_off_is_cut_and_not_ended(gated: Gated, half: bytes) -> None:
    async def broken(connection: Connection) -> None:
        await connection.request()
        connection.writer.write(half)

    async with gated.site(broken) as site, gated.gate(site) as entrance:
        caller = await entrance.call()
        await caller.send(f"GET http://{SITE}:{site.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        told = await caller.end()
        assert told.startswith(b"HTTP/1.1 200 OK\r\n")
        assert not told.endswith(b"0\r\n\r\n")
        await until(lambda: entrance.reasons() == ["unreachable"])


def hanging(*said: bytes) -> tuple[Serve, asyncio.Event]:
    """Says that and nothing more; and whether the gate has hung up."""
    gone = asyncio.Event()

    async def serve(connection: Connection) -> None:
        await connection.request()
        for each in said:
            connection.writer.write(each)
        await connection.gone()
        gone.set()

    return serve, gone


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"])
@pytest.mark.parametrize("secure", [False, True])
async def test_a_browser_that_hangs_up_ends_the_servers_connection(
    gated: Gated, said: bytes, secure: bool
) -> None:
    serve, gone = hanging(said)
    tls = gated.authority.context(SITE) if secure else None
    async with gated.site(serve, tls=tls) as site, gated.gate(site, judge=allow) as entrance:
        if secure:
            caller = await entrance.call_into(f"{SITE}:{site.port}")
            await caller.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        else:
            caller = await entrance.call()
            await caller.send(
                f"GET http://{SITE}:{site.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            )
        await until(lambda: site.connections)
        if said:
            await caller.reader.readuntil(b"abc")
        caller.writer.transport.abort()
        with anyio.fail_after(5):
            await gone.wait()
        await until(lambda: entrance.visitor.connections == 0)
        assert entrance.reasons() == []


async def test_a_pause_of_a_page_costs_nobody_else(gated: Gated) -> None:
    serve, _ = hanging()
    async with (
        gated.site(serve) as hung,
        gated.site(answering) as site,
        gated.gate(hung, site) as entrance,
    ):
        waiting, caller = await entrance.call(), await entrance.call()
        ask = "GET http://{}:{}/ HTTP/1.1\r\nHost: x\r\n\r\n"
        await waiting.send(ask.format(SITE, hung.port).encode())
        assert (await caller.ask(ask.format(SITE, site.port).encode()))[2] == b"hi"
