import re
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flotilla import UpstreamError
from master.streaming.events import (
    MAX_FIELD_BYTES,
    Closing,
    Data,
    Event,
    Opening,
    Part,
    StreamingEvents,
)

VALUE = st.text(alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))
LINE = (
    st.builds("{}{}{}".format, st.sampled_from(["data", "data", "data", "id", "event", "retry", "",
        "dat", "datax", "Data", "unknown"]), st.sampled_from([":", ": ", ":  ", "", " :"]),
        VALUE | st.sampled_from(["7", "x" * 60, "a:b", "\0"]))
    | st.just("")
)  # fmt: skip
ENDS = st.sampled_from(["\n", "\r", "\r\n"])
STREAM = st.lists(st.tuples(LINE, ENDS)).map(lambda lines: "".join(a + b for a, b in lines))
SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=6)

Whole = tuple[bytes, str | None, str, int | None]


def reference(raw: bytes) -> tuple[list[Whole], str]:
    """The standard's algorithm over the whole text, as it is written there; and the last ID."""
    text = raw.decode().removeprefix("\ufeff")
    *lines, _ = re.split(r"\r\n|\n|\r", text)
    events = list[Whole]()
    data, given_id, event, retry = "", None, "", None
    last_id = ""
    for line in lines:
        if line == "":
            if data:
                events.append((data[:-1].encode(), given_id, event or "message", retry))
            last_id = last_id if given_id is None else given_id
            data, given_id, event, retry = "", None, "", None
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data += value + "\n"
        elif name == "id" and "\0" not in value:
            given_id = value
        elif name == "event":
            event = value
        elif name == "retry" and re.fullmatch("[0-9]{1,9}", value):
            retry = int(value)
    return events, last_id


def parts_of(raw: bytes, sizes: list[int], hold: int) -> tuple[list[Part], StreamingEvents]:
    reader, parts, at, turn = StreamingEvents(hold), list[Part](), 0, 0
    while at < len(raw):
        size = sizes[turn % len(sizes)]
        parts += reader.feed(raw[at : at + size])
        assert reader.held_bytes <= hold + MAX_FIELD_BYTES + 1
        at, turn = at + size, turn + 1
    return parts, reader


def wholes(parts: Iterable[Part], hold: int) -> list[Whole]:
    events, opening, data = list[Whole](), None, b""
    for part in parts:
        match part:
            case Event(data=whole):
                assert opening is None and len(whole) <= hold
                events.append((whole, part.id, part.event, part.retry))
            case Opening():
                assert opening is None
                opening, data = part, b""
            case Data():
                assert opening is not None and part.data
                data += part.data
            case Closing():
                assert opening is not None and len(data) > hold
                events.append((data, part.id, part.event, part.retry))
                opening = None
    return events


@given(STREAM, st.sampled_from(["", "\ufeff"]), SIZES, st.integers(1, 50))
@example("data: a\r\n\r\n", "\ufeff", [1], 1)
def test_events_are_those_of_the_standard_however_the_bytes_are_cut(
    stream: str, bom: str, sizes: list[int], hold: int
) -> None:
    raw = (bom + stream).encode()
    parts, reader = parts_of(raw, sizes, hold)
    assert (wholes(parts, hold), reader.last_id) == reference(raw)


@given(st.binary(max_size=200), SIZES)
def test_no_bytes_break_the_reader(raw: bytes, sizes: list[int]) -> None:
    parts_of(raw, sizes, 8)


def test_a_large_event_comes_in_parts_and_its_fields_at_the_end() -> None:
    reader = StreamingEvents(hold=4)
    assert reader.feed(b"event: x\nid: 1\ndata: abc\nda") == []
    assert reader.feed(b"ta:de") == [Opening("1", "x"), Data(b"abc\nde")]
    assert reader.feed(b"f\nid:2\r") == [Data(b"f")]
    assert reader.feed(b"\nretry: 50\n\n") == [Closing("2", "x", 50)]
    assert (reader.last_id, reader.retry_ms) == ("2", 50)
    reader.finish()


def test_an_empty_event_that_only_sets_the_id_is_told_from_a_message() -> None:
    reader = StreamingEvents()
    assert reader.feed(b"id: 7\ndata:\n\n") == [Event(b"", "7")]
    assert reader.feed(b"id: 8\n\n: ping\n\n") == []
    assert reader.last_id == "8"


def test_a_stream_that_breaks_off_inside_a_large_event_is_an_error() -> None:
    reader = StreamingEvents(hold=4)
    reader.feed(b"data: abcdefgh\n")
    with pytest.raises(UpstreamError, match="broke off"):
        reader.finish()
    small = StreamingEvents()
    assert small.feed(b"data: {}\n") == []
    small.finish()


@pytest.mark.parametrize("start", [b"", b":", b"data:", b"unknown:", b"data:x\nunknown"])
@pytest.mark.parametrize("endless", [b"x", b" ", b":", b"data:x", b"\n", b"\r", b"data:\n"])
def test_whatever_never_ends_stays_within_bounds(start: bytes, endless: bytes) -> None:
    reader = StreamingEvents(hold=64)
    reader.feed(start)
    for _ in range(100):
        reader.feed(endless * 1000)
        assert reader.held_bytes <= 64 + MAX_FIELD_BYTES


@pytest.mark.parametrize("name", [b"id", b"event", b"retry"])
def test_a_field_that_never_ends_is_refused(name: bytes) -> None:
    reader = StreamingEvents()
    with pytest.raises(UpstreamError, match="too long"):
        for _ in range(20):
            reader.feed(name + b":" + b"x" * 1000)
