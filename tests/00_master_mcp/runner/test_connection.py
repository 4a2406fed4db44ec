"""The connection itself, over a real socket: windows, pieces, beats and ends."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp import web

from flotilla import TimedOut, Unavailable
from master.external.runner.connection import (
    MAX_FRAME_BYTES,
    PIECE_BYTES,
    WINDOW_BYTES,
    Connection,
    Socket,
)
from master.external.runner.messages import Exited, Message, Silent, read_message

pytestmark = pytest.mark.anyio


@dataclass
class End:
    """One end: its connection while that runs, what it heard, and why it ended."""

    connection: Connection
    heard: list[Message] = field(default_factory=list)
    why: str = ""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        self.why = await self.connection.run()
        self.ended.set()


def end_of(socket: Socket, **more: Any) -> End:
    heard: list[Message] = []
    return End(Connection(socket, heard.append, **more), heard)


@asynccontextmanager
async def sockets() -> AsyncGenerator[tuple[Socket, Socket]]:
    """The two ends of a WebSocket on loopback."""
    accepted: asyncio.Future[web.WebSocketResponse] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def accept(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(timeout=1, max_msg_size=MAX_FRAME_BYTES, compress=False)
        await socket.prepare(request)
        accepted.set_result(socket)
        await done.wait()
        return socket

    app = web.Application()
    app.router.add_get("/", accept)
    serving = web.AppRunner(app)
    await serving.setup()
    await web.TCPSite(serving, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{serving.addresses[0][1]}/"
    try:
        async with aiohttp.ClientSession() as session:
            near = await session.ws_connect(url, max_msg_size=MAX_FRAME_BYTES)
            yield near, await accepted
            done.set()
            await near.close()
    finally:
        await serving.cleanup()


@asynccontextmanager
async def two_ends(**more: Any) -> AsyncGenerator[tuple[End, End]]:
    async with sockets() as (near, far), anyio.create_task_group() as tasks:
        ends = end_of(near, **more), end_of(far, **more)
        for each in ends:
            tasks.start_soon(each.run)
        yield ends
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("length", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES, 9_999_999])
async def test_a_line_of_any_length_arrives_whole(length: int) -> None:
    line = bytes(range(256)) * (length // 256) + b"x" * (length % 256)
    async with two_ends() as (near, far):
        with anyio.fail_after(10):
            await near.connection.write(line)
            # Not compared by the assertion itself, which would show what differs, for minutes.
            arrived = await far.connection.next_line() == line
            assert arrived
            await near.connection.write(b"after")
            assert await far.connection.next_line() == b"after"


async def test_many_writers_never_mix_their_lines_and_messages_keep_their_place() -> None:
    async with two_ends() as (near, far):
        async with anyio.create_task_group() as tasks:
            lines = {b"%d" % number * (number * 9_000 + 1) for number in range(40)}
            for line in lines:
                tasks.start_soon(near.connection.write, line)
            with anyio.fail_after(20):
                assert {await far.connection.next_line() for _ in lines} == lines
        await near.connection.tell(Silent())
        await near.connection.write(b"later")
        assert await far.connection.next_line() == b"later"
        assert far.heard == [Silent()]


async def test_who_reads_nothing_gets_a_window_and_no_more_and_the_rest_when_he_reads() -> None:
    piece = b"p" * (WINDOW_BYTES // 8)
    async with two_ends() as (near, far):
        sent = 0
        with pytest.raises(TimedOut):
            while True:
                await near.connection.write(piece, 0.2)
                sent += 1
        assert sent == 8
        # Nothing of the line that found no room was sent.
        for _ in range(sent):
            assert await far.connection.next_line() == piece
        with anyio.fail_after(5):
            await near.connection.write(b"now")
            assert await far.connection.next_line() == b"now"


async def test_the_end_is_heard_although_nobody_reads_lines() -> None:
    async with two_ends() as (near, far):
        with pytest.raises(TimedOut):
            while True:
                await near.connection.write(b"p" * PIECE_BYTES, 0.2)
        await near.connection.tell(Exited(code=3, last_words="over"))
        with anyio.fail_after(5):
            while not far.heard:
                await anyio.sleep(0.01)
        assert far.heard == [Exited(code=3, last_words="over")]


async def test_a_writer_that_is_cancelled_leaves_no_half_line() -> None:
    async with two_ends() as (near, far):
        arrived: list[int] = []

        async def read() -> None:
            while (line := await far.connection.next_line()) != b"last":
                assert line is not None
                arrived.append(len(line))

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                for _ in range(5):
                    with anyio.move_on_after(0.001):
                        await near.connection.write(b"l" * 20_000_000)
                await near.connection.write(b"last")
        assert arrived
        assert set(arrived) == {20_000_000}


async def test_who_says_nothing_is_given_up_and_who_beats_is_not() -> None:
    async with two_ends(beat_s=0.05) as (near, far):
        await anyio.sleep(0.5)
        assert not near.ended.is_set()
        assert not far.ended.is_set()
    async with sockets() as (near_socket, _), anyio.create_task_group() as tasks:
        alone = end_of(near_socket, beat_s=0.05)
        tasks.start_soon(alone.run)
        with anyio.fail_after(5):
            await alone.ended.wait()
        assert alone.why.startswith("not a word in")
        with pytest.raises(Unavailable):
            await alone.connection.write(b"?")
        assert await alone.connection.next_line() is None


async def test_a_closed_connection_ends_those_who_wait_on_it() -> None:
    async with sockets() as (near_socket, far_socket), anyio.create_task_group() as tasks:
        near = end_of(near_socket)
        tasks.start_soon(near.run)
        with pytest.raises(TimedOut):
            while True:
                await near.connection.write(b"p" * PIECE_BYTES, 0.2)

        async def hang_up() -> None:
            await anyio.sleep(0.1)
            await far_socket.close()

        tasks.start_soon(hang_up)
        with anyio.fail_after(5):
            with pytest.raises(Unavailable):
                await near.connection.write(b"waits", 4)
            assert await near.connection.next_line() is None
            await near.ended.wait()
        assert near.why == "the connection was closed"


async def test_a_line_beyond_the_limit_ends_the_connection() -> None:
    async with sockets() as (near_socket, far_socket), anyio.create_task_group() as tasks:
        near, far = end_of(near_socket), end_of(far_socket, max_line_bytes=1000)
        tasks.start_soon(near.run)
        tasks.start_soon(far.run)
        await near.connection.write(b"x" * 1001)
        with anyio.fail_after(5):
            await far.ended.wait()
        assert "longer" in far.why
        tasks.cancel_scope.cancel()


def test_a_message_is_read_as_it_was_written() -> None:
    told = Exited(code=137, last_words="killed")
    assert read_message(told.model_dump_json()) == told
    assert '"lastWords":"killed"' in told.model_dump_json()
