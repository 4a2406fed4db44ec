import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flotilla import UpstreamError
from master import rpc
from master.streaming.splitter import (
    MAX_MEMBERS,
    MAX_NAME_BYTES,
    Begin,
    Chunk,
    End,
    Enter,
    Leave,
    Member,
    Piece,
    Splitter,
    split,
)
from master.streaming.values import MAX_DEPTH, MAX_WORD_BYTES

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.sampled_from(['"', "\\", "\\u0041", "a\n\t\x1f", "]}", "é" * 9, "x" * 300])
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)
# As written, a character takes up to twelve bytes; longer names are refused.
NAME = st.text(max_size=MAX_NAME_BYTES // 12 - 1)
SIZES = st.lists(st.integers(1, 60) | st.just(100_000), min_size=1, max_size=8)
INDENT = st.sampled_from([None, 1, "\t"])

Texts = list[tuple[str, str, bytes]]


def cut(raw: bytes, sizes: list[int]) -> Iterable[bytes]:
    at, turn = 0, 0
    while at < len(raw):
        size = sizes[turn % len(sizes)]
        yield raw[at : at + size]
        at, turn = at + size, turn + 1


def pieces_of(raw: bytes, sizes: list[int], hold: int) -> list[Piece]:
    splitter, pieces = Splitter(hold), list[Piece]()
    for chunk in cut(raw, sizes):
        pieces += splitter.feed(chunk)
        assert splitter.held_bytes <= hold + MAX_WORD_BYTES
    splitter.finish()
    return pieces


def joined(pieces: Iterable[Piece], hold: int) -> Texts:
    """Every member with its whole text; checks the order of the pieces on the way."""
    texts, begun, data = Texts(), None, b""
    for piece in pieces:
        match piece:
            case Member(path, name, text):
                assert begun is None and len(text) <= hold
                texts.append((path, name, text))
            case Begin():
                assert begun is None
                begun, data = piece, b""
            case Chunk():
                assert begun is not None and piece.data
                data += piece.data
            case End():
                assert begun is not None and len(data) > hold
                texts.append((begun.path, begun.name, data))
                begun = None
            case Enter() | Leave():
                assert begun is None
    assert begun is None
    return texts


@given(st.dictionaries(NAME, JSON), JSON, st.booleans(), SIZES, st.integers(1, 400), INDENT)
def test_every_member_comes_out_as_it_was_written(
    result: dict[str, Any], other: Any, last: bool, sizes: list[int], hold: int, indent: Any
) -> None:
    envelope = {"jsonrpc": "2.0", "id": 7, "x": other}
    body = {"result": result, **envelope} if last else {**envelope, "result": result}
    for ascii_only in (True, False):
        text = json.dumps(body, indent=indent, ensure_ascii=ascii_only)
        try:
            raw = text.encode()
        except UnicodeEncodeError:
            continue
        texts = joined(pieces_of(raw, sizes, hold), hold)
        _, expected = rpc.parse(raw)
        inner = {name: each.decode() for path, name, each in texts if path == "result"}
        assert inner == expected
        assert list(inner) == list(expected)
        values, outer, _, _ = rpc.members(text)
        assert [name for path, name, _ in texts if not path] == [n for n in values if n != "result"]
        assert all(outer[name] == each.decode() for path, name, each in texts if not path)


SCRAPS = [*'{}[]:,"\\u0e1-.+ \nés\x01', '"a"', "true", "1", '{"a":']


@given(st.lists(st.sampled_from(SCRAPS)))
@example(["01"])
@example(['"a"', ":", "1"])
def test_what_is_accepted_is_what_the_strict_reader_accepts(parts: list[str]) -> None:
    for around in ('{"a":%s}', '{"a":[%s]}', '{"result":{"a":{"b":[[[%s]]]}}}', "%s", "{%s}"):
        raw = (around % "".join(parts)).encode()
        try:
            values, _ = rpc.parse(raw)
            json.dumps(values)
            valid = True
        except rpc.RpcError:
            valid = False
        for sizes in ([1], [2, 3], [1000]):
            try:
                pieces_of(raw, sizes, 5)
                accepted = True
            except UpstreamError:
                accepted = False
            # Two members `result` are the one thing that is JSON and still refused.
            assert accepted == valid or raw.count(b'"result"') > 1


@given(JSON, st.data())
def test_no_mutation_is_accepted_that_the_strict_reader_refuses(value: Any, data: Any) -> None:
    raw = bytearray(json.dumps({"result": {"content": value}, "id": 1}).encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    scrap = data.draw(st.sampled_from(["", *'{}[]",:\\0e', "]]"]))
    raw[at : at + data.draw(st.integers(0, 2))] = scrap.encode()
    try:
        rpc.parse(bytes(raw))
    except rpc.RpcError:
        for sizes in ([1], [7], [100_000]):
            with pytest.raises(UpstreamError):
                pieces_of(bytes(raw), sizes, 16)
    else:
        joined(pieces_of(bytes(raw), [3], 16), 16)


@given(st.dictionaries(NAME, JSON, min_size=1), st.data())
def test_a_truncated_message_never_looks_complete(result: dict[str, Any], data: Any) -> None:
    raw = json.dumps({"jsonrpc": "2.0", "result": result, "id": 1}).encode()
    until = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(UpstreamError, match=r"early|empty"):
        pieces_of(raw[:until], [13], 32)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_splitter(raw: bytes) -> None:
    try:
        pieces_of(raw, [11], 32)
    except UpstreamError as error:
        assert error.message.startswith("the service sent")


def test_an_empty_result_is_told_from_none_at_all() -> None:
    assert Splitter().feed(b'{"result":{}}') == [Enter("result"), Leave()]
    assert Splitter().feed(b'{"result":[]}') == [Member("", "result", b"[]")]
    assert Splitter().feed(b"{}") == []


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'{"result":{"a":1},"result":{"b":2}}', "two members"),
        (b'{"result":1,"result":{"b":2}}', "two members"),
        (b'{"a":1} {', "behind"),
        (b"[1]", "not an object"),
        (b'\xef\xbb\xbf{"a":1}', "not an object"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b'{"a":"\xc3"}', "UTF-8"),
        (b'{"a":"\xc3', "early"),
        (b'{"a":"\x1f"}', "control"),
        (b'{"a":"\\x"}', "string"),
        (b'{"a":[1}', "brackets"),
        (b'{"a":{"b":1]', "brackets"),
        (b'{"a":[1,]}', "value"),
        (b'{"a":-}', "value"),
        (b'{"a":01}', "value"),
        (b'{"a":NaN}', "value"),
        (b'{"a":{"b":1,}}', "go on"),
        (b'{"a":' + b"1" * (MAX_WORD_BYTES + 1) + b"}", "number"),
        (b'{"' + b"a" * MAX_NAME_BYTES + b'":1}', "name"),
        (b'{"a":' + b"[" * (MAX_DEPTH + 1), "nests"),
        (b'{"a":' + b'{"a":' * (MAX_DEPTH + 1), "nests"),
        (b"{" + b'"a":1,' * (MAX_MEMBERS + 1), "members"),
    ],
)
def test_what_is_no_message_is_told_plainly_however_it_is_cut(raw: bytes, says: str) -> None:
    for size in (1, 2, 7, 100_000):
        with pytest.raises(UpstreamError, match=says):
            pieces_of(raw, [size], 64)


@pytest.mark.parametrize(
    "inner", [b"[]", b"{}", b"1", b'"x"', b"[[]]", b'{"a":{}}', b"[ ]", b"{ }"]
)
def test_the_limit_on_nesting_is_the_same_however_it_is_cut(inner: bytes) -> None:
    opens = inner.count(b"[") + inner.count(b"{")
    for over in (0, 1):
        depth = MAX_DEPTH - opens + over
        halves = depth // 2
        raw = b'{"a":' + b"[" * (depth - halves) + b'{"n":' * halves
        raw += inner + b"}" * halves + b"," + inner + b"]" * (depth - halves) + b"}"
        for size in (1, 3, 100_000):
            if over:
                with pytest.raises(UpstreamError, match="nests"):
                    pieces_of(raw, [size], 64)
            else:
                joined(pieces_of(raw, [size], 64), 64)


def test_a_large_member_passes_in_constant_memory() -> None:
    splitter, passed, most = Splitter(1024), 0, 0
    splitter.feed(b'{"result":{"content":[{"type":"text","text":"')
    block = b"x" * 65_536
    for _ in range(256):
        pieces = splitter.feed(block)
        passed += sum(len(piece.data) for piece in pieces if isinstance(piece, Chunk))
        most = max(most, splitter.held_bytes)
    assert passed >= 256 * 65_536 and most <= 1024
    assert splitter.feed(b'"}]}}')[-2:] == [End(), Leave()]
    splitter.finish()


@pytest.mark.parametrize("endless", [b"1", b" ", b"[", b'"', b"a", b"\\", b'{"a":', b"[[1],", b"t"])
@pytest.mark.parametrize("start", [b"", b"{", b'{"a":', b'{"result":{"', b'{"a":"', b'{"a":[['])
def test_whatever_never_ends_stays_within_bounds(start: bytes, endless: bytes) -> None:
    splitter = Splitter(512)
    try:
        splitter.feed(start)
        for _ in range(40):
            splitter.feed(endless * 1000)
            assert splitter.held_bytes <= 512 + MAX_WORD_BYTES
    except UpstreamError:
        return
    with pytest.raises(UpstreamError):
        splitter.finish()


@pytest.mark.anyio
@settings(max_examples=20)
@given(st.dictionaries(NAME, JSON), SIZES)
async def test_a_stream_of_chunks_becomes_a_stream_of_pieces(
    result: dict[str, Any], sizes: list[int]
) -> None:
    raw = json.dumps({"result": result}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for chunk in cut(raw, sizes):
            yield chunk

    pieces = [piece async for piece in split(chunks(), 32)]
    assert joined(pieces, 32) == joined(pieces_of(raw, [5], 32), 32)


@pytest.mark.anyio
async def test_a_stream_that_breaks_off_is_an_error() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"result":{"content":[]}'

    with pytest.raises(UpstreamError, match="early"):
        async for _ in split(chunks()):
            pass
