import json
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla import UpstreamError
from master import rpc
from master.streaming.splitter import split
from master.streaming.transform import SEND_BYTES, Outgoing

pytestmark = pytest.mark.anyio

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT | st.just("x" * 300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
NAME = st.text(st.characters(exclude_categories=["Cs"]), max_size=80) | st.sampled_from(
    ["content", "structuredContent", "isError", "resultType", "ttlMs"]
)


async def cut(raw: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(raw), size):
        yield raw[at : at + size]


def outgoing(
    raw: bytes,
    size: int = 7,
    hold: int = 64,
    drop: Collection[str] = (),
    add_first: Mapping[str, str] | None = None,
) -> Outgoing:
    return Outgoing(
        split(cut(raw, size), hold),
        request_id=b'"mine"',
        drop=drop,
        add_first=add_first or {},
        marks=lambda meta: json.dumps({"theirs": None if meta is None else json.loads(meta)}),
    )


@given(
    st.dictionaries(NAME, JSON),
    st.none() | st.just({"a": [1]}),
    st.integers(1, 400),
    st.integers(16, 400),
    st.booleans(),
)
async def test_the_client_reads_the_services_result_under_its_own_id(
    result: dict[str, Any], meta: Any, size: int, hold: int, last: bool
) -> None:
    result.pop("_meta", None)
    sent = {"_meta": meta, **result} if meta else result
    body = {"result": sent, "jsonrpc": "2.0", "id": 5}
    raw = json.dumps(body if last else dict(reversed(body.items())), ensure_ascii=False).encode()
    response = outgoing(raw, size, hold, ("ttlMs",), {"resultType": '"complete"'})
    assert await response.begin() is None
    written = b"".join([data async for data in response])
    kept = {name: each for name, each in result.items() if name not in ("ttlMs", "resultType")}
    expected = {"resultType": "complete", **kept, "_meta": {"theirs": meta}}
    assert json.loads(written) == {"jsonrpc": "2.0", "id": "mine", "result": expected}
    assert list(json.loads(written)["result"]) == list(expected)
    assert response.is_error == (result.get("isError") is True)
    _, texts = rpc.parse(raw)
    _, passed = rpc.parse(written)
    assert all(passed[name] == texts[name] for name in kept)


@pytest.mark.parametrize("said", [True, False, None])
async def test_a_tool_error_is_seen_while_it_passes(said: bool | None) -> None:
    members = {} if said is None else {"isError": said}
    raw = json.dumps({"result": {"content": ["x" * 99], **members}}).encode()
    response = outgoing(raw)
    assert await response.begin() is None
    written = b"".join([data async for data in response])
    assert response.is_error == bool(said)
    assert json.loads(written)["result"].get("isError") is said


@pytest.mark.parametrize("hold", [16, 10_000])
async def test_an_error_is_handed_over_as_data(hold: int) -> None:
    response = outgoing(b'{"error":{"code":-1},"id":5,"jsonrpc":"2.0"}', hold=hold)
    assert await response.begin() == {"code": -1} == response.error


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'{"id":1}', "neither"),
        (b'{"result":[],"id":1}', "no object"),
        (b'{"result":[' + b"1," * 99 + b'1],"id":1}', "no object"),
        (b'{"error":"' + b"x" * 99 + b'","id":1}', "too large"),
        (b'{"error":"x","id":1}', "no object"),
        (b'{"method":"ping","id":1}', "request"),
        (b'{"error":{},"result":{},"id":1}', "something else"),
        (b'{"id":1,"error', "early"),
        (b"<html>", "no JSON-RPC"),
    ],
)
async def test_what_is_no_response_is_told_before_anything_is_written(
    raw: bytes, says: str
) -> None:
    with pytest.raises(UpstreamError, match=says):
        await outgoing(raw).begin()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'{"result":{"_meta":{"a":"' + b"x" * 99 + b'"}},"id":1}', "too large"),
        (b'{"result":{"content":[]', "early"),
        (b'{"result":{"content":[]},"id":1', "early"),
        (b'{"result":{"content":[]},"id":1} x', "behind"),
        (b'{"result":{},"error":{},"id":1}', "something else"),
        (b'{"result":{},"error":"' + b"x" * 99 + b'","id":1}', "something else"),
        (b'{"result":{"content":[{"text":"' + b"x" * 999 + b'"}', "early"),
    ],
)
async def test_a_response_that_breaks_never_ends_well(raw: bytes, says: str) -> None:
    response = outgoing(raw)
    assert await response.begin() is None
    written = b""
    with pytest.raises(UpstreamError, match=says):
        async for data in response:
            written += data
    with pytest.raises(ValueError, match=r"."):
        json.loads(written)


async def test_many_small_pieces_go_out_in_few_sends() -> None:
    result = {"content": [{"type": "text", "text": "x" * 1_000_000}]}
    result |= {f"m{index}": "y" * 100 for index in range(900)}
    raw = json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()
    response = outgoing(raw, size=100)
    assert await response.begin() is None
    sizes = [len(data) async for data in response]
    assert all(SEND_BYTES <= size <= SEND_BYTES + 1000 for size in sizes[:-1])
    assert len(sizes) <= len(raw) // SEND_BYTES + 1
