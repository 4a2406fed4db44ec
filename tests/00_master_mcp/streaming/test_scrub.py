import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flotilla.redaction import REDACTED, forms_of
from master.streaming.scrub import Scrubber, scrubbed
from master.upstream.incoming import read

# Nothing of the replacement and of what stands around the secrets is in them, so that none can
# come about by chance.
SECRET = st.text(alphabet='QXZ 0123789"\\/+=%üß€😀\n\x01', min_size=8, max_size=30)
AROUND = st.text(alphabet='mnop \n"\\/é😀', max_size=40)
SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=6)


def clean(raw: bytes, secrets: list[str], sizes: list[int]) -> bytes:
    scrubber, written, at, turn = Scrubber(secrets), b"", 0, 0
    while at < len(raw):
        size = sizes[turn % len(sizes)]
        written += scrubber.feed(raw[at : at + size])
        assert scrubber.held_bytes <= scrubber.longest_bytes + len("\\u0000")
        at, turn = at + size, turn + 1
    return written + scrubber.finish()


def spelled(text: str, ways: list[int]) -> str:
    """A JSON string of this text, each character escaped in one of the ways that JSON allows."""
    written = ""
    for index, character in enumerate(text):
        units = character.encode("utf-16-be")
        long = "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
        ascii_only, short = json.dumps(character)[1:-1], json.dumps(character, ensure_ascii=False)
        slashed = "\\/" if character == "/" else short[1:-1]
        all_ways = (short[1:-1], ascii_only, long, long.upper().replace("\\U", "\\u"), slashed)
        written += all_ways[ways[index % len(ways)]]
    return f'"{written}"'


WAYS = st.lists(st.integers(0, 4), min_size=1, max_size=7)


@given(SECRET, AROUND, AROUND, WAYS, SIZES, st.data())
def test_a_secret_is_taken_out_wherever_it_stands_and_the_rest_stays(
    secret: str, before: str, after: str, ways: list[int], sizes: list[int], data: Any
) -> None:
    form = data.draw(st.sampled_from(sorted(set(forms_of(secret)), key=len)))
    assume(form not in before + after)
    rest = json.dumps({"a": [before, after, 1.5, "\\", '"'], "é": None}, ensure_ascii=False)
    around = spelled(before, ways)[:-1], spelled(after, ways)[1:]
    raw = f"[{rest}, {around[0]}{spelled(form, ways)[1:-1]}{around[1]}, {rest}]".encode()
    shown = clean(raw, [secret], sizes)
    value = json.loads(shown)
    assert value[0] == value[2] == json.loads(rest)
    assert form not in value[1]
    if form == secret:
        # A backslash before it may be that of an escape, in a JSON text within, and goes with it.
        least = len(before.rstrip("\\"))
        expected = [
            f"[{rest}, {spelled(before[:end], ways)[:-1]}{REDACTED}{around[1]}, {rest}]".encode()
            for end in range(least, len(before) + 1)
        ]
        # Where the secret repeats itself, the first of two that overlap is taken.
        assert (
            shown in expected
            or (secret + after).find(secret, 1) >= 0
            or secret in before + secret[:-1]
        )


@given(SECRET, AROUND, SIZES, st.booleans())
def test_a_secret_in_json_inside_json_is_taken_out(
    secret: str, before: str, sizes: list[int], ascii_only: bool
) -> None:
    # A letter first: digits could be those of an escape of the inner JSON.
    secret = f"Q{secret}"
    inner = json.dumps({"a": before + secret}, ensure_ascii=ascii_only)
    shown = clean(json.dumps({"text": inner}).encode(), [secret], sizes)
    assert secret not in json.loads(json.loads(shown)["text"])["a"]


@given(SECRET, st.integers(0, 3), SIZES)
def test_a_secret_in_base64_is_taken_out(secret: str, before: int, sizes: list[int]) -> None:
    assume(len(secret.encode()) > 12)
    coded = base64.b64encode(b"a" * before + secret.encode() + b"zz").decode()
    shown = clean(json.dumps([coded]).encode(), [secret], sizes)
    assert REDACTED in json.loads(shown)[0]


VALUE = st.recursive(
    AROUND | st.none() | st.integers(-99, 99),
    lambda inner: st.lists(inner) | st.dictionaries(AROUND, inner),
    max_leaves=9,
)


@given(st.lists(SECRET, max_size=3), VALUE, SIZES)
def test_a_text_without_a_secret_passes_to_the_letter(
    secrets: list[str], value: Any, sizes: list[int]
) -> None:
    raw = json.dumps(value).encode()
    assert clean(raw, [f"Q{secret}" for secret in secrets], sizes) == raw


@given(st.binary(), SIZES)
def test_without_secrets_every_byte_passes_at_once(raw: bytes, sizes: list[int]) -> None:
    assert Scrubber().feed(raw) is raw
    assert clean(raw, ["short"], sizes) == raw


@given(st.binary(max_size=200), st.lists(SECRET, min_size=1, max_size=3), SIZES)
def test_no_bytes_break_the_scrubber(raw: bytes, secrets: list[str], sizes: list[int]) -> None:
    clean(raw, secrets, sizes)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize("number", ["31415926", "131415926", "-31415926.5e+7", "31415926314159265"])
def test_a_secret_that_is_a_number_is_taken_out_of_numbers_too(size: int, number: str) -> None:
    raw = f'{{"a":[{number},"{number}",12],"31415926":true}}'.encode()
    shown = clean(raw, ["31415926"], [size])
    assert b"31415926" not in shown
    value = json.loads(shown)
    assert value["a"][2] == 12 and REDACTED in value
    assert len(str(value["a"][0])) == len(str(json.loads(number)))


def test_the_secret_that_looks_like_json_leaves_the_json_whole() -> None:
    secret = '","b":"secret'
    raw = json.dumps({"a": "x", "b": "secret", "c": secret}, separators=(",", ":")).encode()
    assert json.loads(clean(raw, [secret], [5])) == {"a": "x", "b": "secret", "c": REDACTED}


def test_what_only_looks_like_a_secret_within_an_escape_stays() -> None:
    raw = rb'["\u0041bcdefgh", "\\u0041bcdefgh", "\nsecret-word"]'
    assert clean(raw, ["u0041bcdefgh", "nsecret-word"], [4]) == (
        rb'["\u0041bcdefgh", "\\[redacted]", "\nsecret-word"]'
    )


def test_a_beginning_that_is_no_secret_after_all_goes_on() -> None:
    scrubber = Scrubber(["topsecretvalue"])
    shown = scrubber.feed(b'["topsecretval')
    assert b"top" not in shown
    shown += scrubber.feed(b'id","topsecretvalue"]') + scrubber.finish()
    assert shown == b'["topsecretvalid","[redacted]"]'


@pytest.mark.anyio
@pytest.mark.parametrize("secrets", [[], ["topsecretvalue"]])
async def test_a_stream_is_scrubbed_chunk_by_chunk(secrets: list[str]) -> None:
    chunks = [b'["' + b"x" * 99_999, b"topsecret", b'value", "tops', b'ecret"]']

    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    passed = [data async for data in scrubbed(stream(), secrets)]
    whole = b"".join(chunks)
    assert b"".join(passed) == (
        whole.replace(b"topsecretvalue", b"[redacted]") if secrets else whole
    )
    assert secrets or passed == chunks


@pytest.mark.anyio
async def test_a_message_full_of_secrets_lets_other_work_have_its_turn() -> None:
    secret, turns = "topsecretvalue", 0
    raw = json.dumps({"id": 1, "result": {"text": f"{secret}, " * 65_536}}).encode()
    done = asyncio.Event()

    async def other_work() -> None:
        nonlocal turns
        while not done.is_set():
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(other_work())
    received = await read(raw, lambda: Scrubber([secret]))
    done.set()
    await other
    assert received.values["result"]["text"] == f"{REDACTED}, " * 65_536
    # Of 64 windows; one that is quick need not give way.
    assert turns > 16
