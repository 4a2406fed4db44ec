"""Files in results are found, measured and withheld, however their text comes."""

import base64
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla import FlotillaError, NotAllowed, TooLarge
from flotilla.resilience import Files
from master.files.blocks import SHAPES, Blocks
from master.files.rule import Rule

ANY_SIZE = 10**9


def rule(most: int = ANY_SIZE, types: Iterable[str] = ("*/*",)) -> Rule:
    return Rule.of(Files(max_file_size=most, allowed_types=tuple(types)), "services.web.files")


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def image(size: int, mime_type: str | None = "image/png", **more: Any) -> dict[str, Any]:
    said = {} if mime_type is None else {"mimeType": mime_type}
    return {"type": "image", "data": b64(b"x" * size), **said, **more}


def text(said: str = "hello") -> dict[str, Any]:
    return {"type": "text", "text": said}


def embedded(**resource: Any) -> dict[str, Any]:
    return {"type": "resource", "resource": {"uri": "test://a", **resource}}


def passed(
    member: str, value: Any, rule: Rule, step: int = ANY_SIZE, hold: int = ANY_SIZE
) -> tuple[Any, int]:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    blocks = Blocks(SHAPES[member], rule, hold)
    parts = [blocks.feed(raw[at : at + step]) for at in range(0, len(raw), step)]
    return json.loads(b"".join([*parts, blocks.finish()])), blocks.withheld


def withheld(block: dict[str, Any]) -> bool:
    return block["type"] == "text" and block["text"].startswith("Withheld: ")


def test_a_file_that_is_too_large_gives_way_to_a_text_and_the_rest_stays() -> None:
    content, count = passed("content", [text(), image(11), image(10)], rule(10))
    assert count == 1
    assert content[0] == text() and content[2] == image(10)
    assert withheld(content[1])
    for word in ("11", "10", "image/png", "services.web.files.max_file_size"):
        assert word in content[1]["text"]


@pytest.mark.parametrize(
    ("block", "mime_type"),
    [
        (image(1), "image/png"),
        (image(1, None), "application/octet-stream"),
        ({"type": "audio", "data": "eA==", "mimeType": "Audio/WAV; rate=1"}, "audio/wav"),
        (embedded(text="x"), "text/plain"),
        (embedded(text="x", mimeType="text/html"), "text/html"),
        (embedded(blob="eA=="), "application/octet-stream"),
        (embedded(blob="eA==", mimeType="application/zip"), "application/zip"),
    ],
)
def test_each_kind_of_file_has_its_type(block: dict[str, Any], mime_type: str) -> None:
    assert passed("content", [block], rule(types=[mime_type])) == ([block], 0)
    (stands_in,), count = passed("content", [block], rule(types=["video/mp4"]))
    assert count == 1 and mime_type in stands_in["text"] and "video/mp4" in stands_in["text"]


def test_what_is_no_file_is_never_withheld() -> None:
    content = [
        text("x" * 100),
        {"type": "resource_link", "uri": "test://a", "name": "a", "mimeType": "application/zip"},
        {**text(), "_meta": {"data": "x" * 100, "mimeType": "application/zip", "blob": "y" * 99}},
        {"type": "new_kind", "thing": {"data": "x" * 100, "mimeType": "application/zip"}},
    ]
    assert passed("content", content, rule(10, ["image/*"])) == (content, 0)


@pytest.mark.parametrize(
    "written",
    [
        b'[{"type":"image","d\\u0061ta":"eHh4","mimeType":"image/png"}]',
        b'[{"*":1,"data":"eHh4","mimeType":"image/png"}]',
        b'[{"":1,"data":"eHh4","mimeType":"image/png"}]',
        b'[ { "type" : "image" , "data" : "eHh4" , "mimeType" : "image/png" } ]',
        b'[{"data":"","data":"eHh4","mimeType":"image/png"}]',
        b'[{"data":"eHh4","data":"","mimeType":"image/png"}]',
        b'[{"data":"eHh4","mimeType":"image/png","_meta":{"data":[{"a":{}}]}}]',
        b'[{"_meta":{"a":[1,{"b":"]}"}]},"data":"eHh4","mimeType":"image/png"}]',
        b'[{"type":"\\"}","data":"eHh4"}]',
        b'[{"resource":{"x":{}},"resource":{"blob":"eHh4"}}]',
    ],
)
def test_no_way_of_writing_hides_a_file(written: bytes) -> None:
    for step in (1, 2, 7, ANY_SIZE):
        content, count = passed("content", written, rule(2), step)
        assert count == 1 and withheld(content[0]) and "of 3 bytes" in content[0]["text"]


def test_a_file_with_two_types_needs_both_to_be_allowed() -> None:
    written = b'[{"data":"eA==","mimeType":"application/zip","mimeType":"image/png"}]'
    assert passed("content", written, rule(types=["image/*"]))[1] == 1
    assert passed("content", written, rule(types=["image/*", "application/zip"]))[1] == 0


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (b'"\\u00e9\\n\\"x"', 5),
        (b'"\\ud83d\\ude00"', 4),
        ('"é😀"'.encode(), 6),
        (b'"\\u20ac"', 3),
        (b'"\\\\\\/"', 2),
    ],
)
def test_a_text_counts_as_the_bytes_that_it_stands_for(written: bytes, size: int) -> None:
    raw = b'[{"type":"resource","resource":{"uri":"a:b","text":' + written + b"}}]"
    for step in (1, 3, ANY_SIZE):
        assert passed("content", raw, rule(size), step)[1] == 0
        assert passed("content", raw, rule(size - 1), step)[1] == 1


@pytest.mark.parametrize("size", range(1, 9))
def test_base64_counts_as_what_it_stands_for_however_it_is_written(size: int) -> None:
    plain = b64(b"\xff" * size)
    ways = [
        plain,
        plain.rstrip("="),
        plain.replace("/", "\\/"),
        plain.replace("/", "\\u002f"),
        plain[:2] + "\\n" + plain[2:],
    ]
    for way in ways:
        raw = b'[{"type":"image","data":"' + way.encode() + b'"}]'
        assert passed("content", raw, rule(size))[1] == 0, way
        for step in (1, 2, ANY_SIZE):
            assert passed("content", raw, rule(size - 1) if size > 1 else rule(1), step)[1] == (
                1 if size > 1 else 0
            ), way


def test_the_pictures_of_a_prompt_are_looked_at_too() -> None:
    messages = [
        {"role": "user", "content": image(11)},
        {"role": "assistant", "content": text()},
    ]
    found, count = passed("messages", messages, rule(10))
    assert count == 1
    assert found[0]["role"] == "user" and withheld(found[0]["content"])
    assert found[1] == messages[1]


def test_nothing_can_stand_in_the_place_of_a_resource() -> None:
    contents = [{"uri": "test://a", "blob": b64(b"x" * 11), "mimeType": "image/png"}]
    assert passed("contents", contents, rule(11)) == (contents, 0)
    with pytest.raises(TooLarge):
        passed("contents", contents, rule(10))
    with pytest.raises(NotAllowed):
        passed("contents", contents, rule(types=["text/*"]))
    with pytest.raises(TooLarge):
        passed("contents", [{"uri": "test://a", "text": "x" * 11}], rule(10))


def test_a_block_that_grew_too_large_to_be_held_ends_the_answer() -> None:
    raw = json.dumps([image(3000)]).encode()
    blocks, out = Blocks(SHAPES["content"], rule(2000), hold_bytes=1000), b""
    with pytest.raises(TooLarge, match="over"):
        for at in range(0, len(raw), 100):
            out += blocks.feed(raw[at : at + 100])
    assert 1000 < len(out) < 2000 * 4 / 3 + 200


def test_a_refused_type_ends_the_answer_before_its_file_is_whole() -> None:
    raw = json.dumps([image(3000, "application/zip")]).encode()
    blocks, out = Blocks(SHAPES["content"], rule(types=["image/*"]), hold_bytes=1000), b""
    with pytest.raises(NotAllowed):
        for at in range(0, len(raw), 100):
            out += blocks.feed(raw[at : at + 100])
    assert not out.endswith(b"}]")


def test_no_more_is_held_than_may_be_and_plain_text_not_at_all() -> None:
    blocks = Blocks(SHAPES["content"], rule(10**6, ["image/*"]), hold_bytes=5000)
    most = out = 0
    for block in (image(100_000), text("y" * 100_000)):
        blocks.feed(b"[" if block["type"] == "image" else b",")
        raw = json.dumps(block).encode()
        for at in range(0, len(raw), 500):
            out += len(blocks.feed(raw[at : at + 500]))
            if block["type"] == "text":
                assert blocks.held_bytes == 0 or at == 0
            most = max(most, blocks.held_bytes)
    assert 0 < most <= 5500
    assert out > 230_000


def test_of_a_refused_block_nothing_is_held() -> None:
    blocks = Blocks(SHAPES["content"], rule(10), hold_bytes=10**6)
    raw = json.dumps([image(100_000)]).encode()
    out = b""
    for at in range(0, len(raw), 500):
        out += blocks.feed(raw[at : at + 500])
        assert blocks.held_bytes <= 600
    (stands_in,) = json.loads(out + blocks.finish())
    assert "of 100000 bytes" in stands_in["text"]


names = st.sampled_from(["type", "data", "blob", "text", "mimeType", "resource", "uri", "*", "a\\"])
leaves = st.one_of(
    st.sampled_from(["image", "text", "image/png", "text/html", "application/zip", ""]),
    st.binary(max_size=40).map(b64),
    st.text(max_size=10),
    st.integers(),
    st.none(),
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner), max_leaves=12
)
items = st.dictionaries(names, values, max_size=6) | values
RULES = [rule(12), rule(types=["image/*"]), rule(20, ["image/png", "text/html"])]


def files_of(block: Any) -> list[tuple[int, str]]:
    """What the files of a block are, told in the plainest way."""
    if not isinstance(block, dict):
        return []
    inner = block.get("resource")
    resource = inner if isinstance(inner, dict) else {}
    sizes = [
        *(_size(found) for found in (block.get("data"), resource.get("blob"))),
        len(resource["text"].encode()) if isinstance(resource.get("text"), str) else None,
    ]
    known = [size for size in sizes if size is not None]
    said = [each.get("mimeType") for each in (block, resource)]
    types = [each for each in said if isinstance(each, str)]
    default = "text/plain" if isinstance(resource.get("text"), str) else "application/octet-stream"
    return [(max(known), each) for each in types or [default]] if known else []


def _size(value: Any) -> int | None:
    if not isinstance(value, str):
        return None
    # Texts that are no base64 are measured as if they were.
    return max(0, len(value.encode()) * 3 // 4 - value[-2:].count("="))


@given(st.lists(items, max_size=4), st.sampled_from(RULES), st.integers(1, 60), st.booleans())
def test_a_plain_reading_finds_the_same(
    content: list[Any], rule: Rule, step: int, ascii_only: bool
) -> None:
    raw = json.dumps(content, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    if not _is_measured_alike(content):
        return
    try:
        found, count = passed("content", raw, rule, step)
    except FlotillaError:
        # A block that says it is text and carries a file as well.
        assert any(isinstance(each, dict) and each.get("type") == "text" for each in content)
        return
    expected = [
        any(size > rule.most_bytes or not rule.allows(kind) for size, kind in files_of(each))
        for each in content
    ]
    assert count == sum(expected)
    for each, before, refused in zip(found, content, expected, strict=True):
        assert withheld(each) if refused else each == before


def _is_measured_alike(value: Any) -> bool:
    """Whether both readings must agree to the byte: no text in the place of base64 has escapes."""
    if isinstance(value, dict):
        return all(
            _is_measured_alike(each)
            and not (name in ("data", "blob") and isinstance(each, str) and not _is_plain(each))
            for name, each in value.items()
        )
    return all(map(_is_measured_alike, value)) if isinstance(value, list) else True


def _is_plain(value: str) -> bool:
    return value.isascii() and value.isprintable() and "\\" not in value and '"' not in value
