"""What either client does with what servers do."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import anyio
import pytest

from flotilla import InvalidArgument, TimedOut, Unavailable, UpstreamError
from master.upstream.transport.client import Client, Unreachable, WentAway
from master.upstream.transport.target import Target

from .conftest import MOSTLY_UVLOOP

pytestmark = pytest.mark.anyio

HEADERS = {"content-type": "application/json", "authorization": "Bearer t"}
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
MIB = 1024 * 1024


def saying(*parts: bytes, after: bytes = b"") -> Callable[[Any], Awaitable[None]]:
    """Answer each request of a connection with these bytes, each in a write of its own."""

    async def serve(peer: Any) -> None:
        while True:
            await peer.request()
            await peer.say(*parts)
            if after == b"close":
                return

    return serve


def with_length(body: bytes) -> bytes:
    return OK + b"content-length: %d\r\n\r\n%s" % (len(body), body)


async def post(client: Client, target: Target, body: bytes = b"{}", **more: Any) -> Any:
    return await client.request("POST", target, HEADERS, body, **more)


async def whole(client: Client, target: Target, method: str = "POST") -> tuple[int, bytes]:
    response = await client.request(method, target, HEADERS, b"{}" if method == "POST" else b"")
    try:
        return response.status, await response.begin(MIB)
    finally:
        response.close()


async def test_a_request_arrives_to_the_byte(client: Client, serving: Any) -> None:
    received: list[bytes] = []

    async def serve(peer: Any) -> None:
        while True:
            received.append(await peer.request())
            await peer.say(with_length(b"{}"))

    with anyio.fail_after(10):
        async with serving(serve) as served:
            target = Target.of(f"http://127.0.0.1:{served.port}/a%20b/mcp?x=1&y=%2F", "spoke")
            response = await client.request("POST", target, HEADERS, b'{"a": "\xc3\xa4"}')
            assert await response.begin(100) == b"{}"
            await client.request("GET", target, {"accept": "text/event-stream"})
    head, _, body = received[0].partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert head.startswith(b"POST /a%20b/mcp?x=1&y=%2F HTTP/1.1\r\n")
    assert body == b'{"a": "\xc3\xa4"}'
    for line in (
        b"host: 127.0.0.1:%d" % served.port,
        b"content-length: 11",
        b"authorization: bearer t",
        b"content-type: application/json",
        b"accept-encoding: identity",
    ):
        assert lines.count(line) == 1, line
    assert b"content-length" not in received[1].lower()


async def test_the_head_of_a_response_is_read(client: Client, serving: Any) -> None:
    answer = (
        b"HTTP/1.1 404 Not Found\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n"
        b"Mcp-Session-Id: abc\r\nX-Many: 1\r\nx-many: 2\r\ncontent-length: 0\r\n\r\n"
    )
    with anyio.fail_after(10):
        async with serving(saying(answer)) as served:
            response = await post(client, served.target)
            assert response.status == 404
            assert response.content_type == "text/event-stream"
            assert response.headers["mcp-session-id"] == "abc"
            assert response.headers["x-many"] == "1, 2"
            assert await response.begin(100) == b""
            assert response.ended


@pytest.mark.parametrize(
    ("parts", "body"),
    [
        ((with_length(b"hello"),), b"hello"),
        ((OK, b"content-length: 5\r\n\r\n", b"he", b"llo"), b"hello"),
        ((OK + b"transfer-encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"), b"hello"),
        (
            (
                OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhe\r\n",
                b"3\r\nllo\r\n0\r\n",
                b"x-after: yes\r\n",
                b"\r\n",
            ),
            b"hello",
        ),
        ((b"HTTP/1.1 100 Continue\r\n\r\n", with_length(b"hello")), b"hello"),
        (
            (b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + with_length(b"hello"),),
            b"hello",
        ),
        ((b"HTTP/1.1 204 No Content\r\n\r\n",), b""),
        ((b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n",), b""),
        ((b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n",), b""),
    ],
)
async def test_every_framing_is_read_and_the_connection_used_again(
    client: Client, serving: Any, parts: tuple[bytes, ...], body: bytes
) -> None:
    with anyio.fail_after(10):
        async with serving(saying(*parts)) as served:
            for _ in range(3):
                assert (await whole(client, served.target))[1] == body
            assert len(served.peers) == 1


async def test_a_body_that_ends_with_the_connection_is_read(client: Client, serving: Any) -> None:
    with anyio.fail_after(10):
        async with serving(saying(OK + b"\r\nhel", b"lo", after=b"close")) as served:
            assert await whole(client, served.target) == (200, b"hello")
            assert await whole(client, served.target) == (200, b"hello")
            assert len(served.peers) == 2


async def test_the_answer_to_head_has_no_body(client: Client, serving: Any) -> None:
    async def serve(peer: Any) -> None:
        assert (await peer.request()).startswith(b"HEAD")
        await peer.say(OK + b"content-length: 500\r\n\r\n")
        await peer.request()
        await peer.say(with_length(b"hello"))

    with anyio.fail_after(10):
        async with serving(serve) as served:
            assert await whole(client, served.target, "HEAD") == (200, b"")
            assert await whole(client, served.target) == (200, b"hello")
            assert len(served.peers) == 1


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"connection: close\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    ],
)
async def test_a_connection_that_the_server_wants_closed_is_closed(
    client: Client, serving: Any, answer: bytes
) -> None:
    async def serve(peer: Any) -> None:
        await peer.request()
        await peer.say(answer)
        await peer.until_gone()

    with anyio.fail_after(10):
        async with serving(serve) as served:
            assert await whole(client, served.target) == (200, b"{}")
            await served.peers[0].gone.wait()
            assert await whole(client, served.target) == (200, b"{}")


async def test_a_large_body_is_begun_and_read_on(client: Client, serving: Any) -> None:
    body = bytes(range(256)) * 4096 * 8
    with anyio.fail_after(20):
        async with serving(saying(with_length(body))) as served:
            response = await post(client, served.target)
            begin = await response.begin(1000)
            assert 1000 < len(begin) < len(body)
            assert not response.ended
            rest = [chunk async for chunk in response.chunks()]
            assert response.ended
            assert begin + b"".join(rest) == body
            response.close()
            again = await post(client, served.target)
            assert await again.begin(len(body)) == body
            assert again.ended
            assert len(served.peers) == 1


async def test_chunks_come_as_soon_as_they_are_sent(client: Client, serving: Any) -> None:
    more = asyncio.Event()

    async def serve(peer: Any) -> None:
        await peer.request()
        await peer.say(OK + b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        await more.wait()
        await peer.say(b"3\r\ntwo\r\n")
        await peer.until_gone()

    with anyio.fail_after(10):
        async with serving(serve) as served:
            response = await post(client, served.target)
            assert await response.chunk() == b"one"
            more.set()
            assert await response.chunk() == b"two"
            assert not response.ended
            response.close()
            await served.peers[0].gone.wait()


async def test_a_server_that_nobody_listens_to_is_slowed_down(client: Client, serving: Any) -> None:
    """The body is far larger than what any socket buffers; nobody reads it for a while."""
    size, sent = 64 * MIB, 0

    async def serve(peer: Any) -> None:
        nonlocal sent
        await peer.request()
        await peer.say(OK + b"content-length: %d\r\n\r\n" % size)
        while sent < size:
            await peer.say(b"x" * MIB)
            sent += MIB
        await peer.until_gone()

    with anyio.fail_after(60):
        async with serving(serve) as served:
            response = await post(client, served.target)
            before = -1
            while sent != before:  # until it does not get rid of any more
                before = sent
                await anyio.sleep(0.2)
            assert sent < 32 * MIB
            received = 0
            async for chunk in response.chunks():
                received += len(chunk)
            assert received == size
            response.close()


async def test_a_large_request_arrives_whole(client: Client, serving: Any) -> None:
    async def serve(peer: Any) -> None:
        received = await peer.request()
        await peer.say(with_length(b"%d" % len(received.partition(b"\r\n\r\n")[2])))

    with anyio.fail_after(20):
        async with serving(serve) as served:
            response = await post(client, served.target, b"y" * (4 * MIB))
            assert await response.begin(100) == b"%d" % (4 * MIB)


async def test_a_redirect_is_an_answer_like_others(client: Client, serving: Any) -> None:
    answer = b"HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    with anyio.fail_after(10):
        async with serving(saying(answer)) as served:
            assert await whole(client, served.target) == (307, b"")


async def test_no_cookie_is_kept(client: Client, serving: Any) -> None:
    received: list[bytes] = []

    async def serve(peer: Any) -> None:
        while True:
            received.append(await peer.request())
            await peer.say(
                b"HTTP/1.1 200 OK\r\nset-cookie: a=b; path=/\r\ncontent-length: 0\r\n\r\n"
            )

    with anyio.fail_after(10):
        async with serving(serve) as served:
            for _ in range(2):
                await whole(client, served.target)
    assert all(b"cookie" not in each.lower() for each in received)


async def test_a_compressed_body_stays_so(client: Client, serving: Any) -> None:
    answer = OK + b"content-encoding: gzip\r\ncontent-length: 5\r\n\r\n\x1f\x8b\x08!!"
    with anyio.fail_after(10):
        async with serving(saying(answer)) as served:
            assert await whole(client, served.target) == (200, b"\x1f\x8b\x08!!")


async def test_nobody_there_is_unreachable(client: Client, free_port: Any) -> None:
    target = Target.of(f"http://127.0.0.1:{free_port()}/mcp", "spoke")
    with anyio.fail_after(10), pytest.raises(Unreachable, match="spoke cannot be reached"):
        await post(client, target)


async def test_a_name_without_an_address_is_unreachable(client: Client) -> None:
    with anyio.fail_after(10), pytest.raises(Unreachable):
        await post(client, Target.of("http://nobody.invalid/mcp", "spoke"))


async def test_a_name_with_an_address_is_reached(client: Client, serving: Any) -> None:
    with anyio.fail_after(10):
        async with serving(saying(with_length(b"{}"))) as served:
            target = Target.of(f"http://localhost:{served.port}/mcp", "spoke")
            assert await whole(client, target) == (200, b"{}")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        OK + b"content-length: 10\r\n\r\n",
        OK + b"content-length: 10\r\n\r\nhalf",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhel",
    ],
)
async def test_an_answer_that_breaks_off_is_no_answer(
    client: Client, serving: Any, answer: bytes
) -> None:
    with anyio.fail_after(10):
        async with serving(saying(answer, after=b"close")) as served:
            with pytest.raises(WentAway):
                await whole(client, served.target)


async def test_what_came_before_a_stream_broke_off_is_given_out(
    client: Client, serving: Any
) -> None:
    async def serve(peer: Any) -> None:
        await peer.request()
        await peer.say(OK + b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n")

    with anyio.fail_after(10):
        async with serving(serve) as served:
            response = await post(client, served.target)
            assert await response.chunk() == b"one"
            with pytest.raises(Unavailable):
                await response.chunk()
            response.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nxx",
        OK + b"content-length: nine\r\n\r\n",
        OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        OK + b"x-large: " + b"x" * 70_000 + b"\r\ncontent-length: 0\r\n\r\n",
        OK + b"".join(b"x-%d: y\r\n" % n for n in range(500)) + b"\r\n",
    ],
)
async def test_what_is_no_http_is_refused_and_the_connection_closed(
    client: Client, serving: Any, answer: bytes
) -> None:
    async def serve(peer: Any) -> None:
        await peer.request()
        await peer.say(answer)
        await peer.until_gone()

    with anyio.fail_after(10):
        async with serving(serve) as served:
            with pytest.raises(UpstreamError, match="spoke broke HTTP"):
                await whole(client, served.target)
            await served.peers[0].gone.wait()


@pytest.mark.parametrize(
    "bad",
    [
        {"x": "a\r\nhost: evil"},
        {"x": "a\nb"},
        {"x": "a\0b"},
        {"x\r\ny": "a"},
        {"x y": "a"},
        {"": "a"},
        {"Content-Length": "5"},
        {"transfer-encoding": "chunked"},
        {"Host": "evil"},
    ],
)
async def test_a_header_that_would_break_the_request_is_refused(
    client: Client, serving: Any, bad: dict[str, str]
) -> None:
    with anyio.fail_after(10):
        async with serving(saying(with_length(b"{}"))) as served:
            with pytest.raises(InvalidArgument):
                await client.request("POST", served.target, {**HEADERS, **bad}, b"{}")
            assert not served.peers


async def test_the_deadline_covers_waiting_for_the_head(client: Client, serving: Any) -> None:
    async def serve(peer: Any) -> None:
        await peer.request()
        await peer.until_gone()

    with anyio.fail_after(10):
        async with serving(serve) as served:
            with pytest.raises(TimedOut):
                await post(client, served.target, due_at=monotonic() + 0.5)
            await served.peers[0].gone.wait()


@pytest.mark.parametrize("framing", [b"transfer-encoding: chunked\r\n", b""])
async def test_the_deadline_covers_reading_the_body(
    client: Client, serving: Any, framing: bytes
) -> None:
    async def serve(peer: Any) -> None:
        await peer.request()
        await peer.say(OK + framing + b"\r\n")
        while not peer.gone.is_set():  # it is never silent
            await peer.say(b"1\r\nx\r\n")
            await anyio.sleep(0.02)

    with anyio.fail_after(10):
        async with serving(serve) as served:
            response = await post(client, served.target, due_at=monotonic() + 1.0)
            with pytest.raises(TimedOut):
                await response.begin(MIB)
            response.close()


async def test_a_deadline_that_has_passed_sends_nothing(client: Client, serving: Any) -> None:
    with anyio.fail_after(10):
        async with serving(saying(with_length(b"{}"))) as served:
            with pytest.raises(TimedOut):
                await post(client, served.target, due_at=monotonic() - 1)
            assert not served.peers


@MOSTLY_UVLOOP
async def test_a_silent_server_is_given_up_and_a_slow_one_is_not(
    client: Client, serving: Any
) -> None:
    async def serve(peer: Any) -> None:
        await peer.request()
        await peer.say(OK + b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(5):  # which takes longer than it may be silent
            await anyio.sleep(0.25)
            await peer.say(b"1\r\nx\r\n")
        await peer.until_gone()

    with anyio.fail_after(10):
        async with serving(serve) as served:
            response = await post(client, served.target, silence_s=1.0)
            received = b""
            with pytest.raises(TimedOut):
                async for chunk in response.chunks():
                    received += chunk
            assert received == b"xxxxx"
            response.close()
            await served.peers[0].gone.wait()


async def test_cancelling_closes_the_connection(client: Client, serving: Any) -> None:
    asked = asyncio.Event()

    async def serve(peer: Any) -> None:
        request = await peer.request()
        if b"body" in request:
            await peer.say(OK + b"content-length: 10\r\n\r\nhalf")
        asked.set()
        await peer.until_gone()

    with anyio.fail_after(10):
        async with serving(serve) as served:
            for body in (b"head", b"body"):
                asked.clear()

                async def ask(body: bytes = body) -> None:
                    response = await post(client, served.target, body)
                    await response.begin(MIB)

                task = asyncio.create_task(ask())
                await asked.wait()
                await anyio.sleep(0.05)
                task.cancel()
                await asyncio.wait({task})
                assert task.cancelled()
                await served.peers[-1].gone.wait()
            assert len(served.peers) == 2


async def test_a_response_that_is_closed_unread_closes_its_connection(
    client: Client, serving: Any
) -> None:
    async def serve(peer: Any) -> None:
        await peer.request()
        await peer.say(OK + b"content-length: 10\r\n\r\nhalf")
        await peer.until_gone()

    with anyio.fail_after(10):
        async with serving(serve) as served:
            (await post(client, served.target)).close()
            await served.peers[0].gone.wait()


async def test_a_connection_that_the_server_closed_while_idle_is_not_used(
    client: Client, serving: Any
) -> None:
    """The server closes just behind its answer, at no moment that it has announced."""
    with anyio.fail_after(30):
        async with serving(saying(with_length(b"{}"), after=b"close")) as served:
            for _ in range(50):
                assert await whole(client, served.target) == (200, b"{}")
                # The peer's close is on its way before the next request: its task has ended.
                await anyio.sleep(0.002)
            assert len(served.peers) == 50


async def test_many_requests_at_once_each_get_their_own_answer(
    client: Client, serving: Any
) -> None:
    async def serve(peer: Any) -> None:
        while True:
            body = (await peer.request()).partition(b"\r\n\r\n")[2]
            await asyncio.sleep(0)
            await peer.say(with_length(body))

    async def ask(number: int) -> None:
        for turn in range(5):
            body = b"%d/%d" % (number, turn)
            response = await post(client, served.target, body)
            assert await response.begin(100) == body
            response.close()

    with anyio.fail_after(30):
        async with serving(serve) as served:
            await asyncio.gather(*(ask(number) for number in range(100)))
            assert len(served.peers) <= 100


async def test_closing_the_client_ends_what_is_in_flight(client: Client, serving: Any) -> None:
    asked = asyncio.Event()

    async def serve(peer: Any) -> None:
        await peer.request()
        asked.set()
        await peer.until_gone()

    with anyio.fail_after(10):
        async with serving(serve) as served:
            task = asyncio.create_task(post(client, served.target))
            await asked.wait()
            await client.close()
            with pytest.raises(Unavailable):
                await task
            await served.peers[0].gone.wait()


async def test_idle_connections_are_dropped_and_those_in_use_are_not(
    client: Client, serving: Any
) -> None:
    more = asyncio.Event()

    async def serve(peer: Any) -> None:
        while True:
            asked = await peer.request()
            if b"slow" in asked:
                await peer.say(OK + b"content-length: 4\r\n\r\nbe")
                await more.wait()
                await peer.say(b"en")
            else:
                await peer.say(with_length(b"{}"))

    with anyio.fail_after(10):
        async with serving(serve) as served:
            slow = await post(client, served.target, b"slow")
            assert (await whole(client, served.target))[0] == 200
            assert (await whole(client, served.target))[0] == 200
            assert len(served.peers) == 2, "the idle one is used again"
            client.drop_idle(served.target)
            assert (await whole(client, served.target))[0] == 200
            assert len(served.peers) == 3
            more.set()
            assert await slow.begin(100) == b"been"
            slow.close()
            client.drop_idle(served.target)
            client.drop_idle(served.target)
