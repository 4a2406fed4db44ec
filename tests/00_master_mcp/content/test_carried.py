"""Results whose files are looked at on their way, whole and in pieces."""

import base64
import json
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from flotilla import TooLarge
from flotilla.resilience import Files
from master.files.carried import carried, carried_pieces
from master.files.rule import Rule
from master.result import Result, of_json
from master.streaming.splitter import split
from master.streaming.transform import Outgoing

pytestmark = pytest.mark.anyio

DEFAULT = Rule.of(Files(), "services.web.files")
SMALL = Rule.of(Files(max_file_size=1000), "services.web.files")


def image(size: int) -> dict[str, Any]:
    data = base64.b64encode(b"x" * size).decode()
    return {"type": "image", "data": data, "mimeType": "image/png"}


async def in_parts(raw: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(raw), size):
        yield raw[at : at + size]


async def poured(message: dict[str, Any], rule: Rule) -> dict[str, Any]:
    """The result of a message as it goes to a client."""
    pieces = split(in_parts(json.dumps(message).encode(), 10_000))
    outgoing = Outgoing(
        carried_pieces(pieces, rule),
        request_id=b"1",
        drop=(),
        add_first={},
        marks=lambda text: text or "{}",
    )
    assert await outgoing.begin() is None
    return json.loads(b"".join([data async for data in outgoing]))["result"]


async def test_a_result_that_breaks_no_rule_is_the_very_same() -> None:
    result = of_json({"content": [image(1000)], "_meta": {"theirs": 1}})
    assert await carried(result, SMALL) is result


async def test_a_whole_result_says_how_many_files_were_left_out() -> None:
    result = of_json({"content": [image(1001), image(1), image(2000)], "_meta": {"theirs": 1}})
    found = await carried(result, SMALL)
    assert json.loads(found.texts["_meta"]) == {"theirs": 1, "io.flotilla/withheld": 2}
    assert [each["type"] for each in json.loads(found.texts["content"])] == [
        "text",
        "image",
        "text",
    ]


async def test_a_whole_resource_that_is_too_large_is_refused() -> None:
    result = Result({"contents": json.dumps([{"uri": "test://a", "text": "x" * 1001}])})
    with pytest.raises(TooLarge):
        await carried(result, SMALL)


@pytest.mark.parametrize("size", [100, 200_000], ids=["a_small_member", "a_large_member"])
@pytest.mark.parametrize("first", ["_meta", "content"])
async def test_a_result_in_pieces_says_so_too_wherever_its_meta_stands(
    size: int, first: str
) -> None:
    members = {
        "content": [image(1001), {"type": "text", "text": "y" * size}],
        "_meta": {"theirs": 1},
        "isError": False,
    }
    ordered = {first: members[first], **members}
    result = await poured({"jsonrpc": "2.0", "id": 1, "result": ordered}, SMALL)
    assert result["_meta"] == {"theirs": 1, "io.flotilla/withheld": 1}
    assert result["content"][0]["text"].startswith("Withheld")
    assert len(result["content"][1]["text"]) == size


@pytest.mark.parametrize("size", [100, 200_000])
async def test_a_result_in_pieces_that_breaks_no_rule_stays_as_it_is(size: int) -> None:
    result = {"content": [image(size)], "structuredContent": {"a": "b" * size}, "isError": False}
    for meta in ({}, {"_meta": {"theirs": 1}}):
        found = await poured({"jsonrpc": "2.0", "id": 1, "result": {**result, **meta}}, DEFAULT)
        assert found == {"_meta": {}, **result, **meta}


async def test_a_picture_of_any_size_is_counted_in_constant_memory() -> None:
    chunk = b"QUJD" * 16_384

    async def raw() -> AsyncIterator[bytes]:
        yield b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"image","data":"'
        while True:
            yield chunk

    outgoing = Outgoing(
        carried_pieces(
            split(raw()), Rule.of(Files(max_file_size=24 * 2**20), "services.web.files")
        ),
        request_id=b"1",
        drop=(),
        add_first={},
        marks=lambda _: "{}",
    )
    passed = 0
    tracemalloc.start()
    try:
        await outgoing.begin()
        with pytest.raises(TooLarge):
            async for data in outgoing:
                passed += len(data)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 32 * 2**20 - 2**17 < passed <= 32 * 2**20 + 2**17
    assert most < 2 * 2**20
