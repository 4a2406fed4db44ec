"""Compressed bodies cost what they may cost, and no more."""

import gzip
import random
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla import TooLarge, UpstreamError
from web_browsing.fetching.decoding import MAX_RATIO, RATIO_FROM_BYTES, Decoder

TEXT = b"".join(b"line %d of a page with words\n" % number for number in range(5000))
MB = 1024 * 1024


def bare(data: bytes) -> bytes:
    packing = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packing.compress(data) + packing.flush()


def in_pieces(decoder: Decoder, data: bytes, size: int) -> bytes:
    return b"".join(decoder.feed(data[at : at + size]) for at in range(0, len(data), size))


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZIP ", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", bare),
        ("", bytes),
        ("identity", bytes),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 7, 1000, 1_000_000])
def test_a_body_comes_back_whole_in_whatever_pieces_it_came(
    coding: str, pack: Callable[[bytes], bytes], size: int
) -> None:
    text = TEXT[:5000] if size == 1 else TEXT
    decoder = Decoder(coding, MB)
    assert in_pieces(decoder, pack(text), size) == text
    assert decoder.finish()


def test_gzip_in_several_members_is_one_body() -> None:
    decoder = Decoder("gzip", MB)
    packed = gzip.compress(b"one ") + gzip.compress(b"two") + b"\x00\x00 padding"
    assert in_pieces(decoder, packed, 3) == b"one two"
    assert decoder.finish()


def test_a_body_that_ends_in_the_middle_is_said_not_to_be_whole() -> None:
    decoder = Decoder("gzip", MB)
    packed = gzip.compress(TEXT)
    made = decoder.feed(packed[: len(packed) // 2])
    assert TEXT.startswith(made)
    assert made
    assert not decoder.finish()


def test_an_empty_body_is_whole_whatever_it_is_called() -> None:
    assert Decoder("gzip", MB).finish()


def test_a_gzip_bomb_costs_a_few_megabytes() -> None:
    bomb = gzip.compress(bytes(50 * MB), 9)
    decoder, made = Decoder("gzip", 1024 * MB), 0
    with pytest.raises(TooLarge) as caught:
        for at in range(0, len(bomb), 65536):
            made += len(decoder.feed(bomb[at : at + 65536]))
    assert caught.value.details["reason"] == "bomb"
    assert made <= RATIO_FROM_BYTES


def test_many_small_members_are_no_way_around_the_ratio() -> None:
    member = gzip.compress(bytes(MB), 9)
    decoder = Decoder("gzip", 1024 * MB)
    with pytest.raises(TooLarge):
        in_pieces(decoder, member * 50, 65536)


def test_what_is_larger_than_may_be_is_refused_though_it_is_no_bomb() -> None:
    noise = random.Random(1).randbytes(3 * MB)
    decoder = Decoder("gzip", 2 * MB)
    with pytest.raises(TooLarge) as caught:
        in_pieces(decoder, gzip.compress(noise), 65536)
    assert caught.value.details["reason"] == "too_many_bytes"
    with pytest.raises(TooLarge):
        in_pieces(Decoder("", 2 * MB), noise, 65536)


def test_one_that_may_be_cut_takes_the_beginning_and_then_nothing() -> None:
    for coding, packed in (("", TEXT), ("gzip", gzip.compress(TEXT))):
        decoder = Decoder(coding, 1000, cut=True)
        assert decoder.feed(packed) == TEXT[:1000]
        assert decoder.full
        assert decoder.feed(packed) == b""


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "gzip,deflate", "rot13"])
def test_a_coding_that_was_not_offered_is_refused(coding: str) -> None:
    with pytest.raises(UpstreamError):
        Decoder(coding, MB)


def test_what_is_not_what_it_says_is_an_error_of_the_site() -> None:
    with pytest.raises(UpstreamError) as caught:
        Decoder("gzip", MB).feed(b"<!doctype html><p>plain after all")
    assert caught.value.details == {"reason": "bad_encoding"}


@given(st.binary(max_size=2000), st.sampled_from(["gzip", "deflate", ""]))
def test_any_bytes_are_decoded_or_refused(data: bytes, coding: str) -> None:
    decoder = Decoder(coding, 100_000)
    try:
        made = in_pieces(decoder, data, 100)
    except (UpstreamError, TooLarge):
        return
    assert len(made) <= max(RATIO_FROM_BYTES, MAX_RATIO * len(data))
    decoder.finish()
