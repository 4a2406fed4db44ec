"""Large bodies while they arrive: counted, refused where they are too much, and passed on whole."""

import asyncio
import json
from typing import Any

import httpx2
import pytest
from prometheus_client import CollectorRegistry
from starlette.types import Message, Receive, Scope, Send

from flotilla.fleet import HubLimits
from flotilla.serving.gates import MAX_BODY_BYTES, whole_body
from master.load import Load
from master.meters import Meters
from master.north.arriving import SMALL_BYTES, arriving
from tests.conftest import until

pytestmark = pytest.mark.anyio

LARGE = SMALL_BYTES + 1


class Reader:
    """An application that reads the body; `bodies` are those that it got, None for too large."""

    def __init__(self) -> None:
        self.bodies: list[bytes | None] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.bodies.append(await whole_body(receive))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"read"})


class House:
    def __init__(self, most_bytes: int = 10 * MAX_BODY_BYTES) -> None:
        self.registry = CollectorRegistry()
        self.load = Load(HubLimits(), most_bytes=most_bytes)
        self.reader = Reader()
        self.app = arriving(self.reader, self.load, Meters(self.registry))

    def client(self) -> httpx2.AsyncClient:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await self.app(scope, receive, send)

        return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://hub")


class Slow:
    """A request whose parts come one by one, as a test says."""

    def __init__(self, *headers: tuple[bytes, bytes]) -> None:
        self.scope: Scope = {"type": "http", "method": "POST", "headers": list(headers)}
        self.parts: asyncio.Queue[Message] = asyncio.Queue()
        self.sent: list[Message] = []

    def put(self, body: bytes, *, more: bool = True) -> None:
        self.parts.put_nowait({"type": "http.request", "body": body, "more_body": more})

    async def send(self, message: Any) -> None:
        self.sent.append(dict(message))

    def begin(self, house: House) -> "asyncio.Future[None]":
        return asyncio.ensure_future(house.app(self.scope, self.parts.get, self.send))


CHUNKED = (b"transfer-encoding", b"chunked")


@pytest.mark.parametrize("size", [0, 1, SMALL_BYTES, LARGE, MAX_BODY_BYTES])
async def test_a_body_comes_through_as_it_is(size: int) -> None:
    house, body = House(), b"x" * size
    async with house.client() as http:
        assert (await http.post("/", content=body)).status_code == 200
    assert house.reader.bodies == [body]
    assert house.load.held_bytes == 0


async def test_a_body_over_the_limit_is_still_seen_as_one() -> None:
    house = House()
    async with house.client() as http:
        await http.post("/", content=b"x" * (MAX_BODY_BYTES + 1))
    assert house.reader.bodies == [None]


@pytest.mark.parametrize("length", [b"9" * 1000, b"-1", b"x", b"\xb2"])
async def test_a_length_that_is_none_breaks_nothing(length: bytes) -> None:
    house, slow = House(), Slow((b"content-length", length))
    slow.put(b"hello", more=False)
    await slow.begin(house)
    assert house.reader.bodies == [b"hello"]


async def test_what_has_come_counts_and_what_was_announced_does_not() -> None:
    house, slow = House(), Slow((b"content-length", b"4000000"))
    reading = slow.begin(house)
    await asyncio.sleep(0)
    assert house.load.held_bytes == 0
    slow.put(b"x" * 1000)
    await until(lambda: house.load.held_bytes == 1000)
    slow.put(b"x" * 1000, more=False)
    await reading
    assert house.load.held_bytes == 0 and house.reader.bodies == [b"x" * 2000]


async def test_what_is_too_much_to_hold_is_refused_before_it_is_read_and_small_ones_are_not() -> (
    None
):
    house = House(most_bytes=2 * LARGE)
    first, second = Slow(CHUNKED), Slow(CHUNKED)
    reading = first.begin(house)
    first.put(b"x" * LARGE)
    await until(lambda: house.load.held_bytes == LARGE)
    refused = second.begin(house)
    second.put(b"x" * LARGE)
    second.put(b"x")
    await refused
    assert second.sent[0]["status"] == 503
    headers = dict(second.sent[0]["headers"])
    assert int(headers[b"retry-after"]) >= 1
    error = json.loads(second.sent[1]["body"])["error"]
    assert error["code"] == "rate_limited" and error["retryAfterMs"] > 0
    assert house.load.held_bytes == LARGE
    assert house.load.overloaded and house.load.why == "bytes"
    async with house.client() as http:
        assert (await http.post("/", content=b"small")).status_code == 200
    first.put(b"x", more=False)
    await reading
    assert house.reader.bodies == [b"small", b"x" * (LARGE + 1)]
    labels = {"service": "unknown", "reason": "overload"}
    assert house.registry.get_sample_value("mcp_calls_turned_away_total", labels) == 1


async def test_who_hangs_up_holds_nothing_any_more() -> None:
    house, slow, cancelled = House(), Slow(CHUNKED), Slow(CHUNKED)
    tasks = [slow.begin(house), cancelled.begin(house)]
    slow.put(b"x" * LARGE)
    cancelled.put(b"x" * LARGE)
    await until(lambda: house.load.held_bytes == 2 * LARGE)
    slow.parts.put_nowait({"type": "http.disconnect"})
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert house.load.held_bytes == 0
    assert house.reader.bodies == [b"x" * LARGE]
