"""The parts put together as the hub does: events, pieces, the client's message, no secrets."""

import json
import tracemalloc
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla import UpstreamError
from flotilla.redaction import REDACTED
from master.streaming.events import Closing, Data, Event, Opening, StreamingEvents
from master.streaming.scrub import scrubbed
from master.streaming.splitter import split
from master.streaming.transform import Outgoing

pytestmark = pytest.mark.anyio

SECRET = 'Q-secret "value" ß'


async def body_of(stream: AsyncIterator[bytes], hold: int) -> AsyncIterator[bytes]:
    """The data of the last event of a stream, in whatever parts it comes."""
    reader = StreamingEvents(hold)
    async for chunk in stream:
        for part in reader.feed(chunk):
            match part:
                case Event(data) | Data(data):
                    yield data
                case Opening() | Closing():
                    pass
    reader.finish()


async def answered(stream: AsyncIterator[bytes], hold: int) -> AsyncIterator[bytes]:
    response = Outgoing(
        split(body_of(stream, hold), hold),
        request_id=b"9",
        drop=("resultType",),
        add_first={},
        marks=lambda _: "{}",
    )
    assert await response.begin() is None
    async for data in scrubbed(aiter(response), [SECRET]):
        yield data


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.just(SECRET)),
    st.integers(1, 200),
    st.booleans(),
)
async def test_a_result_comes_through_without_secrets(
    texts: list[str], size: int, ascii_only: bool
) -> None:
    body = {"result": {"resultType": "complete", "content": texts}, "jsonrpc": "2.0", "id": 1}
    raw = json.dumps(body, indent=1, ensure_ascii=ascii_only).encode()
    event = b"".join(b"data: " + line + b"\r\n" for line in raw.split(b"\n")) + b"\r\n"

    async def stream() -> AsyncIterator[bytes]:
        for at in range(0, len(event), size):
            yield event[at : at + size]

    written = b"".join([data async for data in answered(stream(), 64)])
    shown = [REDACTED if text == SECRET else text for text in texts]
    assert json.loads(written)["result"] == {"content": shown, "_meta": {}}


async def test_a_result_of_64_mib_passes_in_constant_memory() -> None:
    block = b"All work and no play.\\n" * 2_000

    async def stream() -> AsyncIterator[bytes]:
        yield b'data: {"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"'
        for _ in range(64 * 2**20 // len(block)):
            yield block
        yield b'"}]}}\n\n'

    passed = 0
    tracemalloc.start()
    try:
        async for data in answered(stream(), 64 * 1024):
            passed += len(data)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert passed > 63 * 2**20
    assert most < 2 * 2**20


async def test_a_result_cut_off_by_the_service_never_looks_whole() -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield b'data: {"jsonrpc":"2.0","id":1,"result":{"content":[{"text":"' + b"x" * 99_999

    written = b""
    with pytest.raises(UpstreamError):
        async for data in answered(stream(), 1024):
            written += data
    assert not written.endswith(b"}")
