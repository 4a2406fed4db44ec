"""What a visitor may take, how long is waited for what, and that nothing is left at the end."""

import asyncio
import gc
import socket
from pathlib import Path

import anyio
import pytest

from tests.conftest import until
from web_browsing.gate.proxy import Proxy
from web_browsing.gate.rules import Rules
from web_browsing.gate.talk import CRUMBS_AT_ONCE, MAX_CRUMBS
from web_browsing.gate.upstream import Times
from web_browsing.gate.visitor import PASS, Allowance, Outgoing, Ruling, Visitor

from .conftest import OK, SITE, Connection, Entrance, Gated, Site, answering, recording

pytestmark = pytest.mark.anyio


def get(site: Site, path: str = "/") -> bytes:
    return f"GET http://{SITE}:{site.port}{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


async def endless(connection: Connection) -> None:
    """A body that never ends, as fast as it is taken."""
    await connection.request()
    connection.writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        connection.writer.write(b"x" * 65536)
        await connection.writer.drain()


async def test_an_endless_answer_is_cut_at_its_bound(gated: Gated) -> None:
    allowance = Allowance(bytes_each=1_000_000)
    async with gated.site(endless) as site, gated.gate(site, allowance=allowance) as entrance:
        caller = await entrance.call()
        await caller.send(get(site))
        told = await caller.end()
        assert 500_000 < len(told) < 1_100_000
        assert not told.endswith(b"0\r\n\r\n")
        assert entrance.reasons() == ["too_many_bytes"]
        await until(lambda: site.connections[0].closed.is_set())


async def test_an_endless_tunnel_is_cut_at_its_bound(gated: Gated) -> None:
    allowance = Allowance(bytes_each=1_000_000)
    async with gated.site(endless) as site, gated.gate(site, allowance=allowance) as entrance:
        caller = await entrance.call()
        assert await caller.into(f"{SITE}:{site.port}") == 200
        await caller.send(b"GET / HTTP/1.1\r\n\r\n")
        assert len(await caller.end()) < 1_100_000
        await until(lambda: entrance.reasons() == ["too_many_bytes"])
        assert entrance.visitor.last_refusal(SITE) is not None


async def test_an_answer_that_says_it_is_too_large_is_not_begun(gated: Gated) -> None:
    serve, _ = recording(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\nabc", OK)
    async with gated.site(serve) as site, gated.gate(site) as entrance:
        caller = await entrance.call()
        status, headers, _ = await caller.ask(get(site))
        assert (status, headers["x-flotilla-refused"]) == (502, "too_many_bytes")
        # The rest of it is nobody's answer.
        assert (await caller.ask(get(site)))[2] == b"hi"


async def test_all_answers_together_have_a_bound_and_then_nothing_more_is_asked(
    gated: Gated,
) -> None:
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n" + b"x" * 40_000
    serve, asked = recording(large)
    allowance = Allowance(bytes_in=100_000)
    async with gated.site(serve) as site, gated.gate(site, allowance=allowance) as entrance:
        caller = await entrance.call()
        for _ in range(2):
            assert len((await caller.ask(get(site)))[2]) == 40_000
        await caller.send(get(site))
        await until(lambda: entrance.reasons() == ["too_many_bytes"])
        other = await entrance.call()
        assert (await other.ask(get(site)))[1]["x-flotilla-refused"] == "too_many_bytes"
        assert len(asked) == 3
        assert entrance.visitor.bytes_in < 150_000


async def test_a_gzip_bomb_passes_as_it_comes_and_counts_as_what_it_is(gated: Gated) -> None:
    bomb = b"\x1f\x8b\x08" + b"\0" * 997
    serve, _ = recording(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1000\r\n\r\n" + bomb
    )
    async with gated.site(serve) as site, gated.gate(site) as entrance:
        caller = await entrance.call()
        assert (await caller.ask(get(site)))[1:] == (
            {"content-encoding": "gzip", "content-length": "1000"},
            bomb,
        )


async def test_a_body_in_crumbs_is_cut_and_holds_up_nobody(gated: Gated) -> None:
    async def crumbs(connection: Connection) -> None:
        await connection.request()
        connection.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.writer.write(b"1\r\nx\r\n" * 10_000)
            await connection.writer.drain()

    async def step() -> None:
        nonlocal steps
        while True:
            await asyncio.sleep(0)
            steps += 1

    steps = 0
    async with gated.site(crumbs) as site, gated.gate(site) as entrance:
        caller = await entrance.call()
        await caller.send(get(site))
        stepping = asyncio.create_task(step())
        with anyio.fail_after(60):
            while await caller.reader.read(65536):
                pass
        stepping.cancel()
        assert entrance.reasons() == ["unreachable"]
        # Others had their turns all the while.
        assert steps > MAX_CRUMBS / CRUMBS_AT_ONCE / 2


async def test_requests_have_a_bound(gated: Gated) -> None:
    async with (
        gated.site(answering) as site,
        gated.gate(site, allowance=Allowance(requests=3)) as entrance,
    ):
        caller = await entrance.call()
        statuses = [(await caller.ask(get(site)))[0] for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        tunnel = await entrance.call()
        assert await tunnel.into(f"{SITE}:{site.port}") == 429
        assert entrance.reasons() == ["too_many_requests"] * 3


async def test_one_connection_too_many_waits_and_is_refused_in_the_end(gated: Gated) -> None:
    async with (
        gated.site(answering) as site,
        gated.gate(site, allowance=Allowance(connections=2), times=Times(slot_s=0.2)) as entrance,
    ):
        held = [await entrance.call() for _ in range(2)]
        for each in held:
            await each.ask(get(site))
        assert entrance.visitor.connections == 2
        third = await entrance.call()
        status, headers, _ = await third.ask(get(site))
        assert (status, headers["x-flotilla-refused"]) == (503, "too_many_connections")
        assert await third.end() == b""
        fourth = await entrance.call()
        await fourth.send(get(site))
        held[0].close()
        assert (await fourth.answer())[0] == 200


async def test_a_flood_of_connections_is_turned_away_at_the_door(gated: Gated) -> None:
    async with gated.gate(allowance=Allowance(connections=2)) as entrance:
        callers = [await entrance.call() for _ in range(40)]
        for each in callers[8:]:
            assert await each.end() == b""
        assert entrance.visitor.connections == 2


# Each bounds what its test is about alone; the way there has the time that it needs.
NO_ANSWER = Times(first_byte_s=0.2, finish_s=0.2)
NO_MORE = Times(idle_s=1.0, finish_s=0.2)
NO_HANDSHAKE = Times(connect_s=0.2, finish_s=0.2)
NO_TRAFFIC = Times(tunnel_idle_s=0.2, finish_s=0.2)
SLOW_CALLER = Times(idle_s=0.2, finish_s=0.2)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
async def test_a_server_that_does_not_answer_is_not_waited_for(gated: Gated, said: bytes) -> None:
    async def silent(connection: Connection) -> None:
        await connection.request()
        connection.writer.write(said)
        await connection.gone()

    async with gated.site(silent) as site, gated.gate(site, times=NO_ANSWER) as entrance:
        caller = await entrance.call()
        status, headers, body = await caller.ask(get(site))
        assert (status, headers["x-flotilla-refused"]) == (502, "unreachable")
        assert b"in time" in body


async def test_a_server_that_stops_in_the_middle_is_cut(gated: Gated) -> None:
    async def stopping(connection: Connection) -> None:
        await connection.request()
        connection.writer.write(OK.replace(b"2", b"9"))
        await connection.gone()

    async with gated.site(stopping) as site, gated.gate(site, times=NO_MORE) as entrance:
        caller = await entrance.call()
        await caller.send(get(site))
        assert (await caller.end()).endswith(b"hi")
        await until(lambda: entrance.reasons() == ["unreachable"])


async def test_a_server_that_does_not_shake_hands_is_unreachable(gated: Gated) -> None:
    async def silent(connection: Connection) -> None:
        await connection.gone()

    async with (
        gated.site(silent) as site,
        gated.gate(site, times=NO_HANDSHAKE, judge=_allow) as entrance,
    ):
        caller = await entrance.call_into(f"{SITE}:{site.port}")
        status, _, body = await caller.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status == 502
        assert b"TLS" in body


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET http://",
        b"POST http://a.b/ HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na",
    ],
)
async def test_one_who_does_not_go_on_is_hung_up_on(gated: Gated, said: bytes) -> None:
    async with gated.gate(times=SLOW_CALLER) as entrance:
        caller = await entrance.call()
        if said:
            await caller.send(said)
        await caller.end()
        await until(lambda: entrance.visitor.connections == 0)


async def test_an_idle_tunnel_ends(gated: Gated) -> None:
    async def silent(connection: Connection) -> None:
        await connection.gone()

    async with gated.site(silent) as site, gated.gate(site, times=NO_TRAFFIC) as entrance:
        caller = await entrance.call()
        assert await caller.into(f"{SITE}:{site.port}") == 200
        assert await caller.end() == b""
        await until(lambda: site.connections[0].closed.is_set())


async def test_one_who_takes_nothing_slows_the_server_down_and_fills_nothing(gated: Gated) -> None:
    sent = 0

    async def eager(connection: Connection) -> None:
        nonlocal sent
        await connection.request()
        connection.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while True:
            connection.writer.write(b"x" * 65536)
            await connection.writer.drain()
            sent += 65536

    times = Times(idle_s=0.5, finish_s=0.2)
    async with gated.site(eager) as site, gated.gate(site, times=times) as entrance:
        raw = socket.create_connection(("127.0.0.1", entrance.port))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        with raw:
            raw.sendall(get(site))
            await until(lambda: entrance.visitor.connections == 0 and sent)
        # What the kernel's buffers on three sockets hold, and ours.
        assert sent < 30_000_000


async def _allow(outgoing: Outgoing) -> Ruling:
    del outgoing
    return PASS


def _descriptors() -> set[str]:
    gc.collect()
    found = (f"{each.name} {_link(each)}" for each in Path("/proc/self/fd").iterdir())
    return {each for each in found if "socket:" in each}


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


@pytest.mark.parametrize("on", ["tcp", "unix"])
async def test_at_the_end_nothing_is_left_whatever_was_under_way(
    gated: Gated, on: str, tmp_path: Path
) -> None:
    started = asyncio.Event()
    given_up = asyncio.Event()

    async def wait(outgoing: Outgoing) -> Ruling:
        del outgoing
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
        return PASS

    async def silent(connection: Connection) -> None:
        await connection.gone()

    async with gated.site(silent) as hung, gated.site(endless) as site:
        before, tasks = _descriptors(), len(asyncio.all_tasks())
        proxy = Proxy(
            Rules.of([80], [f"{SITE}:{hung.port}", f"{SITE}:{site.port}"]), resolve=gated.names
        )
        looked, plain = Visitor("looked", judge=wait), Visitor("plain")
        sockets = [_listening(on, tmp_path / name) for name in ("looked", "plain")]
        writers: list[asyncio.StreamWriter] = []

        async def say(index: int, data: bytes) -> None:
            where = sockets[index].getsockname()
            opened = (
                asyncio.open_unix_connection(where)
                if on == "unix"
                else asyncio.open_connection(*where)
            )
            _, writer = await opened
            writers.append(writer)
            writer.write(data)

        async with proxy.serving(looked, sockets[0]), proxy.serving(plain, sockets[1]):
            await say(0, get(hung).replace(b"GET", b"POST"))  # held
            await say(0, get(hung))  # waits for its answer
            await say(0, b"CONNECT x.test:443 HTTP/1.1\r\nHost: x\r\n\r\n\x16\x03")  # shakes hands
            await say(0, b"GET")  # says nothing more
            await say(1, f"CONNECT {SITE}:{hung.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await say(1, get(site))  # is answered without end
            await say(1, b"")
            with anyio.fail_after(5):
                await started.wait()
            await until(lambda: len(hung.connections) == 2 and len(site.connections) == 1)
            await until(lambda: (looked.connections, plain.connections) == (4, 3))
        assert given_up.is_set()
        assert (looked.connections, plain.connections) == (0, 0)
        assert len(asyncio.all_tasks()) <= tasks + len(hung.connections) + len(site.connections)
        for each in writers:
            each.transport.abort()
        await until(lambda: all(each.closed.is_set() for each in hung.connections))
        await until(lambda: _descriptors() <= before)
        await until(lambda: len(asyncio.all_tasks()) == tasks)


def _listening(on: str, path: Path) -> socket.socket:
    if on == "tcp":
        return socket.create_server(("127.0.0.1", 0))
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()
    return listening


async def test_a_visitor_who_left_is_not_let_in_again(gated: Gated) -> None:
    async with gated.site(answering) as site:
        async with gated.gate(site) as entrance:
            caller = await entrance.call()
            assert (await caller.ask(get(site)))[0] == 200
        with pytest.raises(ConnectionError):
            await Entrance.call(entrance)
