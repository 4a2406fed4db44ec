"""The proxy breaks what it says, when it says so, and nothing else."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import monotonic

import anyio
import pytest

from tests.conftest import until

from .fault_proxy import (
    BlackHole,
    Drip,
    Fault,
    FaultProxy,
    Garbage,
    HalfOpen,
    Latency,
    Pass,
    Refuse,
    Reset,
    Truncate,
    Unaccepting,
)

pytestmark = pytest.mark.anyio

QUESTION = b"POST /mcp HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n" + b"x" * 100


class Server:
    """Answers each whole question on a kept connection, in two parts if there is to be a gap."""

    def __init__(self, gap_s: float = 0.0) -> None:
        self._gap_s = gap_s
        self.heard = 0
        self.gone = 0
        self.came = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readexactly(len(QUESTION)):
                self.heard += 1
                for part in (ANSWER[:60], ANSWER[60:]) if self._gap_s else (ANSWER,):
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(self._gap_s)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self.gone += 1


class Client:
    """One connection; `ask` gives what comes back within a time, empty for nothing."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, within_s: float = 1.0) -> bytes:
        self.writer.write(QUESTION)
        return await self.hear(len(ANSWER), within_s)

    async def hear(self, size: int, within_s: float) -> bytes:
        with anyio.move_on_after(within_s):
            try:
                return await self.reader.readexactly(size)
            except asyncio.IncompleteReadError as error:
                return error.partial
        return b""


@asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncGenerator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def proxied(gap_s: float = 0.0) -> AsyncGenerator[tuple[FaultProxy, Server]]:
    server = Server(gap_s)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with FaultProxy(listening.sockets[0].getsockname()[1]).running() as proxy:
        yield proxy, server
    listening.close()
    await until(lambda: server.gone == server.came)


async def test_all_goes_through_and_is_counted_until_something_is_broken() -> None:
    async with proxied() as (proxy, server), connected(proxy) as client:
        assert [await client.ask() for _ in range(3)] == [ANSWER] * 3
        assert (proxy.connections, proxy.requests, server.heard) == (1, 3, 3)
        assert (proxy.bytes_up, proxy.bytes_down) == (3 * len(QUESTION), 3 * len(ANSWER))
        assert proxy.open_connections == 1


async def three_answers_s(client: Client) -> list[float]:
    """How long each took: one of them may meet a pause of the machine's."""
    took_s: list[float] = []
    for _ in range(3):
        started = monotonic()
        assert await client.ask(within_s=5) == ANSWER
        took_s.append(monotonic() - started)
    return took_s


async def test_latency_delays_each_answer() -> None:
    async with proxied() as (proxy, _), connected(proxy) as client:
        await proxy.suffer(Latency(0.08, jitter_s=0.01))
        took_s = await three_answers_s(client)
        assert 0.08 <= min(took_s) < 0.5


async def test_parts_that_follow_each_other_closely_are_late_by_the_same_time_not_by_its_sum() -> (
    None
):
    async with proxied(gap_s=0.05) as (proxy, _), connected(proxy) as client:
        await proxy.suffer(Latency(0.5))
        took_s = await three_answers_s(client)
        assert 0.55 <= min(took_s) < 1.0


async def test_a_reset_ends_open_connections_and_new_ones_by_rst() -> None:
    async with proxied() as (proxy, _), connected(proxy) as client:
        assert await client.ask() == ANSWER
        await proxy.suffer(Reset())
        with pytest.raises(ConnectionResetError):
            await client.ask()
        async with connected(proxy) as another:
            with pytest.raises(ConnectionResetError):
                await another.ask()
        await proxy.heal()
        async with connected(proxy) as healed:
            assert await healed.ask() == ANSWER


@pytest.mark.parametrize("after_bytes", [0, 10])
async def test_a_reset_after_bytes_lets_the_server_act(after_bytes: int) -> None:
    async with proxied() as (proxy, server), connected(proxy) as client:
        await proxy.suffer(Reset(after_bytes))
        with pytest.raises(ConnectionResetError):
            await client.ask()
        assert (server.heard, proxy.cut_off) == (1, 1)
        assert proxy.bytes_down == after_bytes


async def test_refusing_closes_the_port_and_healing_opens_the_same_one() -> None:
    async with proxied() as (proxy, server), connected(proxy) as client:
        assert await client.ask() == ANSWER
        port = proxy.port
        await proxy.suffer(Refuse())
        with pytest.raises(ConnectionRefusedError):
            async with connected(proxy):
                pass
        with pytest.raises(ConnectionResetError):
            await client.ask()
        await until(lambda: server.gone == 1)
        await proxy.heal()
        assert proxy.port == port
        async with connected(proxy) as healed:
            assert await healed.ask() == ANSWER


async def test_half_open_connections_are_never_answered_again_and_new_ones_are() -> None:
    async with proxied() as (proxy, server), connected(proxy) as old:
        assert await old.ask() == ANSWER
        await proxy.suffer(HalfOpen())
        assert await old.ask(0.05) == b""
        async with connected(proxy) as new:
            assert await new.ask() == ANSWER
        await proxy.heal()
        assert await old.ask(0.05) == b""
        assert server.heard == 2


async def test_a_black_hole_swallows_old_and_new_and_keeps_what_it_has() -> None:
    async with proxied() as (proxy, server), connected(proxy) as old:
        assert await old.ask() == ANSWER
        await proxy.suffer(BlackHole())
        async with connected(proxy) as new:
            assert await old.ask(0.05) == b""
            assert await new.ask(0.05) == b""
            await proxy.heal()
            assert await new.ask(0.05) == b""
        async with connected(proxy) as healed:
            assert await healed.ask() == ANSWER
        assert server.heard == 2


async def test_nobody_answers_a_syn_until_it_is_healed() -> None:
    async with proxied() as (proxy, _):
        await proxy.suffer(Unaccepting())
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2), connected(proxy):
                    pass
        await proxy.heal()
        async with connected(proxy) as healed:
            assert await healed.ask() == ANSWER


async def test_answers_drip_at_their_rate() -> None:
    async with proxied() as (proxy, _), connected(proxy) as client:
        await proxy.suffer(Drip(bytes_per_s=500))
        started = monotonic()
        assert await client.ask(5) == ANSWER
        assert 0.2 < monotonic() - started < 2


@pytest.mark.parametrize(
    ("what", "begin"),
    [("noise", b""), ("json", b"HTTP/1.1 200 OK\r\ncontent-type: application/json"),
     ("html", b"HTTP/1.1 200 OK\r\ncontent-type: text/html")],
    ids=["noise", "json", "html"],
)  # fmt: skip
async def test_garbage_answers_in_the_servers_stead(what: str, begin: bytes) -> None:
    async with proxied() as (proxy, server), connected(proxy) as client:
        await proxy.suffer(Garbage(what))  # pyright: ignore[reportArgumentType]
        for _ in range(2):
            client.writer.write(QUESTION)
            with anyio.fail_after(1):
                said = await client.reader.read(4096)
            assert said.startswith(begin) and said != ANSWER
        assert (server.heard, proxy.requests) == (0, 2)


async def test_an_answer_is_cut_off() -> None:
    async with proxied() as (proxy, server), connected(proxy) as client:
        await proxy.suffer(Truncate(60))
        assert await client.ask() == ANSWER[:60]
        assert server.heard == 1


async def test_a_fault_may_concern_some_connections_alone() -> None:
    async with proxied() as (proxy, _), connected(proxy) as first, connected(proxy) as second:
        assert await first.ask() == await second.ask() == ANSWER
        await proxy.suffer(BlackHole(), only=lambda number: number == 1)
        assert await first.ask(0.05) == b""
        assert await second.ask() == ANSWER


@pytest.mark.parametrize("fault", [Pass(), BlackHole(), HalfOpen(), Drip(10), Unaccepting()])
async def test_a_client_that_goes_leaves_nothing_behind(fault: Fault) -> None:
    async with proxied() as (proxy, server):
        tasks = len(asyncio.all_tasks())
        async with connected(proxy) as client:
            await client.ask()
            await proxy.suffer(fault)
            client.writer.write(QUESTION)
        await until(lambda: proxy.open_connections == 0 and server.gone == 1)
        await until(lambda: len(asyncio.all_tasks()) == tasks)
