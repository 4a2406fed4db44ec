"""A service that breaks the protocol hurts its own caller alone."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import anyio
import orjson
import pytest

from flotilla import Context, Deadline, FlotillaError, Principal
from flotilla.identity import Signer, open_signing_key
from master.call import Call
from master.catalogue import Entry, View
from master.streaming.splitter import Piece
from master.upstream.authority import Signed
from master.upstream.http import Http
from master.upstream.modern import Modern
from master.upstream.pool import ConnectionPool
from tests.listening import stop_listening

pytestmark = pytest.mark.anyio

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


def json_body(body: bytes) -> bytes:
    return JSON % (len(body), body)


@asynccontextmanager
async def link_to(answer: Answer, tmp_path) -> AsyncGenerator[Modern]:
    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = ConnectionPool()
    async with pool.running():
        http = Http("bad", f"http://127.0.0.1:{port}/mcp", pool)
        yield Modern(http, Signed("bad", Signer(open_signing_key(tmp_path))))
    await stop_listening(server)
    for task in serving:
        assert task is not None
        task.cancel()
    await server.wait_closed()


class Ears:
    """A client that only counts what it hears."""

    def __init__(self) -> None:
        self.heard = 0

    async def notify(self, method: str, params: Mapping[str, str]) -> None:
        self.heard += 1

    async def report(self, progress: float, total: float | None, said: str | None) -> None:
        self.heard += 1

    async def pour(self, pieces: AsyncIterator[Piece]) -> bool:
        async for _ in pieces:
            self.heard += 1
        return False


def call(timeout_s: float = 1.0) -> Call:
    return Call(
        principal=Principal("ann"),
        name="a.b.c",
        params={},
        arguments={},
        meta={},
        correlation_id="c",
        traceparent=None,
        view=View(),
        capabilities={},
        arrived=0,
        hearer=Ears(),
        target=Entry("a.b.c", "bad", {}),
        deadline=Deadline.after(timeout_s),
    )


def sends(raw: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    return answer


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "unavailable"),
        (b"garbage that is no HTTP\r\n\r\n", "upstream_error"),
        (json_body(b"<html>"), "upstream_error"),
        (json_body(b"[1,2]"), "upstream_error"),
        (json_body(b'{"jsonrpc":"2.0","id":1}'), "upstream_error"),
        (JSON % (5000, b'{"jsonrpc":'), "unavailable"),
        (SSE, "unavailable"),
        (SSE + b'data: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n', "unavailable"),
        (SSE + b'data: {"jsonrpc":"2.0","id":1,"resu', "unavailable"),
        (SSE + b"data: nonsense\n\n", "upstream_error"),
        (b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", "upstream_error"),
        (b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\nno", "upstream_error"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n", "upstream_error"),
    ],
)
async def test_each_way_to_answer_wrongly_has_its_code(raw, code, tmp_path) -> None:
    with anyio.fail_after(5):
        async with link_to(sends(raw), tmp_path) as link:
            with pytest.raises(FlotillaError) as raised:
                await link.send(call())
    assert raised.value.code == code


async def test_a_service_that_never_answers_ends_at_the_deadline(tmp_path) -> None:
    async def hang(writer: asyncio.StreamWriter) -> None:
        await anyio.sleep_forever()

    with anyio.fail_after(5):
        async with link_to(hang, tmp_path) as link:
            with pytest.raises(FlotillaError) as raised:
                await link.send(call(timeout_s=0.1))
    assert raised.value.code == "timeout"


async def test_a_million_notifications_end_at_the_deadline_in_little_memory(tmp_path) -> None:
    event = b'data: {"jsonrpc":"2.0","method":"notifications/message","params":{}}\n\n' * 1000

    async def flood(writer: asyncio.StreamWriter) -> None:
        writer.write(SSE)
        for _ in range(1000):
            writer.write(event)
            await writer.drain()
        await anyio.sleep_forever()

    with anyio.fail_after(20):
        async with link_to(flood, tmp_path) as link:
            with pytest.raises(FlotillaError) as raised:
                await link.send(call(timeout_s=0.5))
    assert raised.value.code == "timeout"


async def test_a_port_where_nobody_listens_is_unavailable_at_once(tmp_path) -> None:
    pool = ConnectionPool()
    async with pool.running():
        signer = Signer(open_signing_key(tmp_path))
        gone = Modern(Http("gone", "http://127.0.0.1:1/mcp", pool), Signed("gone", signer))
        with anyio.fail_after(1), pytest.raises(FlotillaError) as raised:
            await gone.ask("tools/list", {}, timeout_s=5)
    assert raised.value.code == "unavailable"


async def test_a_result_under_another_shape_still_reaches_the_caller(tmp_path) -> None:
    result = {"content": [], "isError": False, "extra": {"kept": 1}, "resultType": "complete"}
    body = orjson.dumps({"result": result, "jsonrpc": "2.0", "id": 1})
    async with link_to(sends(json_body(body)), tmp_path) as link:
        answered = await link.send(call())
    assert answered.texts["extra"] == '{"kept":1}'


def test_a_context_is_made_of_data_alone() -> None:
    made = Context(principal=Principal("a"), correlation_id="c", deadline=Deadline.after(0))
    assert made.deadline.remaining_s() == 0
    assert made.deadline.no_later_than(5).remaining_s() == 0
