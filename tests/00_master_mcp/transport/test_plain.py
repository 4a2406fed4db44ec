"""What our own client promises beyond the seam: nothing leaks, nothing is sent twice."""

import asyncio
import random
import socket
from math import inf
from time import monotonic
from typing import Any

import anyio
import psutil
import pytest

from flotilla import FlotillaError, TimedOut
from master.upstream.transport.client import HIGH_WATER_BYTES, Unreachable
from master.upstream.transport.connection import kept_s
from master.upstream.transport.plain import PlainClient
from master.upstream.transport.resolve import Names
from master.upstream.transport.target import Target

from .conftest import MOSTLY_UVLOOP

pytestmark = pytest.mark.anyio

HEADERS = {"content-type": "application/json"}
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


def sockets_to(target: Target) -> int:
    """Those of this process that are connected, or were, with the server."""
    found = psutil.Process().net_connections("tcp")
    return sum(1 for each in found if each.raddr and each.raddr.port == target.port)


async def ask(client: PlainClient, target: Target, body: bytes = b"{}", **more: Any) -> bytes:
    response = await client.request("POST", target, HEADERS, body, **more)
    try:
        return await response.begin(2**20)
    finally:
        response.close()


async def until(holds: Any) -> None:
    while not holds():
        await anyio.sleep(0.01)


@MOSTLY_UVLOOP
@pytest.mark.parametrize(
    "rounds",
    [pytest.param(40, id="some"), pytest.param(150, id="thousands", marks=pytest.mark.real)],
)
async def test_any_number_of_cancellations_leaves_nothing_open(
    plain: PlainClient, serving: Any, rounds: int
) -> None:
    """Cancelled at every moment: while connecting, before the head, within the body, at its end."""
    chance = random.Random(7)

    async def serve(peer: Any) -> None:
        while True:
            body = (await peer.request()).partition(b"\r\n\r\n")[2]
            if chance.random() < 0.5:
                await asyncio.sleep(0.005)
            await peer.say(OK + b"content-length: %d\r\n\r\n" % (len(body) + 4))
            if chance.random() < 0.5:
                await asyncio.sleep(0.005)
            await peer.say(body + b"done")

    answered, cancelled = 0, 0
    with anyio.fail_after(60):
        async with serving(serve) as served:
            for _ in range(rounds):
                tasks = {
                    asyncio.create_task(ask(plain, served.target, b"%d" % number))
                    for number in range(30)
                }
                for task in tasks:
                    if chance.random() < 0.8:
                        asyncio.get_running_loop().call_later(
                            chance.random() * 0.02 * chance.random(), task.cancel
                        )
                await asyncio.wait(tasks)
                for task in tasks:
                    if task.cancelled():
                        cancelled += 1
                    else:
                        assert task.result().endswith(b"done")
                        answered += 1
            assert cancelled > 7 * rounds and answered > 2 * rounds, (cancelled, answered)
            # Those that remain are idle, and good for another request.
            await until(lambda: sockets_to(served.target) == plain.open_connections)
            idle = plain.open_connections
            assert idle <= 30
            await asyncio.gather(*(ask(plain, served.target) for _ in range(idle)))
            assert plain.open_connections == idle == sockets_to(served.target)
            await plain.close()
            assert plain.open_connections == 0
            await until(lambda: sockets_to(served.target) == 0)


async def test_an_answer_is_never_given_to_another_request(
    plain: PlainClient, serving: Any
) -> None:
    """A request that is cancelled just as its answer comes must not close its successor's."""

    async def serve(peer: Any) -> None:
        while True:
            body = (await peer.request()).partition(b"\r\n\r\n")[2]
            await peer.say(OK + b"content-length: %d\r\n\r\n%s" % (len(body), body))

    with anyio.fail_after(30):
        async with serving(serve) as served:
            for number in range(300):
                task = asyncio.create_task(ask(plain, served.target, b"first %d" % number))
                for _ in range(number % 12):
                    await asyncio.sleep(0)
                task.cancel()
                body = b"second %d" % number
                assert await ask(plain, served.target, body) == body
                await asyncio.wait({task})


async def test_what_a_server_says_unasked_costs_it_the_connection(
    plain: PlainClient, serving: Any
) -> None:
    """With the answer, or later: else it would be taken for the answer to the next request."""
    later = asyncio.Event()

    async def serve(peer: Any) -> None:
        await peer.request()
        if len(served.peers) == 1:
            await peer.say(EMPTY + OK + b"content-length: 6\r\n\r\nforged")
        elif len(served.peers) == 2:
            await peer.say(EMPTY)
            await later.wait()
            await peer.say(OK + b"content-length: 6\r\n\r\nforged")
        else:
            await peer.say(OK + b"content-length: 4\r\n\r\ntrue")
        await peer.until_gone()

    with anyio.fail_after(10):
        async with serving(serve) as served:
            assert await ask(plain, served.target) == b""
            await served.peers[0].gone.wait()
            assert await ask(plain, served.target) == b""
            later.set()
            await served.peers[1].gone.wait()
            assert await ask(plain, served.target) == b"true"


async def test_an_end_that_the_loop_has_not_noticed_is(plain: PlainClient, free_port: Any) -> None:
    """Both sides in one thread: the server's close reaches the socket, and nothing of ours runs."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.settimeout(5)
        target = Target.of(f"http://127.0.0.1:{listening.getsockname()[1]}/mcp", "spoke")
        received: list[bytes] = []

        def served() -> socket.socket:
            peer, _ = listening.accept()
            received.append(peer.recv(65536))
            peer.sendall(EMPTY)
            return peer

        with anyio.fail_after(10):
            for number in range(1, 21):
                asking = asyncio.create_task(ask(plain, target))
                peer = await asyncio.to_thread(served)
                await asking
                # Between this and the next request the loop does not look at its sockets.
                peer.close()
                assert len(received) == number


async def test_a_request_that_may_have_been_acted_on_is_not_sent_again(
    plain: PlainClient, serving: Any
) -> None:
    received: list[bytes] = []

    async def serve(peer: Any) -> None:
        received.append(await peer.request())
        await peer.say(EMPTY)
        received.append(await peer.request())  # and goes without a word

    with anyio.fail_after(10):
        async with serving(serve) as served:
            await ask(plain, served.target)
            with pytest.raises(FlotillaError) as raised:
                await ask(plain, served.target)
            assert "went away before it answered" in raised.value.message
            assert len(received) == 2


async def test_idle_connections_are_closed_after_a_while(serving: Any) -> None:
    async def serve(peer: Any) -> None:
        await peer.request()
        await peer.say(EMPTY)
        await peer.until_gone()

    plain = PlainClient(keep_alive_s=1)
    with anyio.fail_after(10):
        async with serving(serve) as served:
            await asyncio.gather(*(ask(plain, served.target) for _ in range(5)))
            assert plain.open_connections == 5
            await until(lambda: plain.open_connections == 0)
            for peer in served.peers:
                await peer.gone.wait()
    await plain.close()


@MOSTLY_UVLOOP
async def test_a_host_that_swallows_everything_is_given_up(free_port: Any) -> None:
    """Its queue of connections is full, so that the system answers nobody."""
    plain = PlainClient(connect_s=0.3)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        target = Target.of(f"http://127.0.0.1:{address[1]}/mcp", "spoke")
        started = monotonic()
        with anyio.fail_after(5), pytest.raises(Unreachable):
            await ask(plain, target)
        assert monotonic() - started < 2
        with anyio.fail_after(5), pytest.raises(TimedOut):
            await ask(plain, target, due_at=monotonic() + 0.1)
        for each in waiting:
            each.close()
    await plain.close()
    assert plain.open_connections == 0


async def test_the_second_address_is_tried_when_the_first_does_not_answer(
    serving: Any,
) -> None:
    async def serve(peer: Any) -> None:
        await peer.request()
        await peer.say(EMPTY)

    async with serving(serve) as served:
        asked = 0

        async def addresses(host: str, port: int, **_: Any) -> list[Any]:
            nonlocal asked
            asked += 1
            return [(0, 0, 0, "", (each, port)) for each in ("::1", "127.0.0.1")]

        plain = PlainClient(names=Names(addresses))
        with anyio.fail_after(10):
            target = Target.of(f"http://both.example:{served.port}/mcp", "spoke")
            assert await ask(plain, target) == b""
            await served.peers[0].until_gone()
            assert await ask(plain, target) == b""
        assert asked == 1
        await plain.close()


@MOSTLY_UVLOOP
async def test_a_paused_stream_is_not_taken_for_a_silent_one(
    plain: PlainClient, serving: Any
) -> None:
    size = 8 * 1024 * 1024

    async def serve(peer: Any) -> None:
        await peer.request()
        await peer.say(OK + b"content-length: %d\r\n\r\n" % size, b"x" * size)
        await peer.until_gone()

    with anyio.fail_after(10):
        async with serving(serve) as served:
            response = await plain.request("POST", served.target, HEADERS, b"", silence_s=1)
            await anyio.sleep(3)
            received = len(await response.chunk())
            assert received < size // 4
            assert received > HIGH_WATER_BYTES
            async for chunk in response.chunks():
                received += len(chunk)
            assert received == size


@MOSTLY_UVLOOP
async def test_later_deadlines_do_not_outlive_earlier_ones(
    plain: PlainClient, serving: Any
) -> None:
    """One timer serves all requests of a connection, whichever way their deadlines lie."""
    answer = asyncio.Event()

    async def serve(peer: Any) -> None:
        while True:
            request = await peer.request()
            if b"wait" in request:
                await answer.wait()
            await peer.say(EMPTY)

    with anyio.fail_after(10):
        async with serving(serve) as served:
            await ask(plain, served.target, due_at=monotonic() + 1.0)
            asking = asyncio.create_task(
                ask(plain, served.target, b"wait", due_at=monotonic() + 60)
            )
            await anyio.sleep(1.2)  # the timer of the first fires, and nothing happens
            answer.set()
            assert await asking == b""
            answer.clear()
            started = monotonic()
            with pytest.raises(TimedOut):
                await ask(plain, served.target, b"wait", due_at=monotonic() + 0.2)
            assert 0.15 < monotonic() - started < 2
            assert len(served.peers) == 1


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("timeout=5", 4.0),
        ("timeout=5, max=100", 4.0),
        ("max=3, Timeout=9", 8.0),
        ("timeout=0", 0.0),
    ],
)
def test_a_server_that_says_how_long_it_keeps_connections_is_believed(
    told: str, kept: float
) -> None:
    assert kept_s(told) == kept


def test_a_server_that_says_nothing_of_it_keeps_them_for_ever() -> None:
    assert kept_s("max=100") == kept_s("xtimeout=5") == inf


async def test_a_connection_that_its_server_is_about_to_close_is_not_used_again(
    plain: PlainClient, serving: Any
) -> None:
    async def serve(peer: Any) -> None:
        while True:
            await peer.request()
            await peer.say(OK + b"keep-alive: timeout=1\r\ncontent-length: 2\r\n\r\n{}")

    with anyio.fail_after(10):
        async with serving(serve) as served:
            for count in (1, 2, 3):
                response = await plain.request("POST", served.target, {}, b"{}")
                assert await response.begin(10) == b"{}"
                assert len(served.peers) == count


async def test_a_name_that_hangs_is_asked_for_once_and_keeps_no_other_waiting() -> None:
    asked: list[str] = []
    hanging: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def ask(host: str, port: int, **_: Any) -> Any:
        asked.append(host)
        if host == "hangs.test":
            await hanging
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    names = Names(ask)
    with anyio.fail_after(5):
        for _ in range(3):
            with anyio.move_on_after(0.01):
                await names.addresses("hangs.test", 80)
        assert await names.addresses("other.test", 80) == ["127.0.0.1"]
        waiting = asyncio.create_task(names.addresses("hangs.test", 80))
        await asyncio.sleep(0)
        hanging.set_result(None)
        assert await waiting == ["127.0.0.1"]
    assert asked == ["hangs.test", "other.test"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "fe80::1%lo"])
async def test_an_address_is_not_asked_for(address: str) -> None:
    async def ask(*_: Any, **__: Any) -> Any:
        raise AssertionError("it is one already")

    assert await Names(ask).addresses(address, 80) == [address]


async def test_the_system_is_asked_beside_the_loop() -> None:
    names = Names()
    assert "127.0.0.1" in await names.addresses("localhost", 80)
    with pytest.raises(UnicodeError):
        await names.addresses("no..name", 80)


async def test_whoever_waits_for_a_name_at_the_end_is_told_so() -> None:
    async def ask(*_: Any, **__: Any) -> Any:
        await anyio.sleep_forever()

    names = Names(ask)
    waiting = asyncio.create_task(names.addresses("hangs.test", 80))
    await asyncio.sleep(0)
    names.close()
    with anyio.fail_after(5), pytest.raises(OSError, match="nobody waits"):
        await waiting
