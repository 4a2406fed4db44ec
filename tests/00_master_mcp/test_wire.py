import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla import UpstreamError
from master.upstream import wire


def test_the_headers_repeat_what_the_body_says() -> None:
    body, headers = wire.request("tools/call", {"name": "a.b.c", "arguments": {}}, {"k": 1})
    sent = json.loads(body)
    assert headers["mcp-method"] == sent["method"] == "tools/call"
    assert headers["mcp-name"] == sent["params"]["name"]
    said = sent["params"]["_meta"]
    assert headers["mcp-protocol-version"] == said["io.modelcontextprotocol/protocolVersion"]
    assert said["k"] == 1
    assert "io.modelcontextprotocol/clientCapabilities" in said


def test_a_caller_cannot_speak_for_the_hub_in_meta() -> None:
    forged = {"io.modelcontextprotocol/protocolVersion": "1999-01-01"}
    body, _ = wire.request("tools/call", {"name": "a.b.c"}, forged)
    said = json.loads(body)["params"]["_meta"]
    assert said["io.modelcontextprotocol/protocolVersion"] == wire.PROTOCOL_VERSION


@given(
    st.lists(st.binary().map(lambda raw: raw.replace(b"\n", b"").replace(b"\r", b"")), max_size=5),
    st.lists(st.integers(1, 40), min_size=1),
    st.sampled_from([b"\n", b"\r\n"]),
)
def test_events_are_found_however_the_bytes_are_cut(events, sizes, newline) -> None:
    stream = b": ping" + newline * 2
    for event in events:
        stream += b"event: message" + newline + b"data: " + event + newline * 2
    reader, seen, at, turn = wire.EventReader(), [], 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        seen += reader.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert seen == events


def test_data_over_several_lines_is_joined() -> None:
    assert list(wire.EventReader().feed(b"data: a\ndata:b\nid: 7\n\ndata: c\n\n")) == [
        b"a\nb",
        b"c",
    ]


def test_an_endless_event_is_refused() -> None:
    reader = wire.EventReader()
    with pytest.raises(UpstreamError, match="bytes"):
        for _ in range(20):
            assert not list(reader.feed(b"data: " + b"x" * 2**20 + b"\n"))
    reader = wire.EventReader()
    with pytest.raises(UpstreamError, match="bytes"):
        for _ in range(20):
            assert not list(reader.feed(b"x" * 2**20))


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b"5", b'"x"', b"\xff", b"{"])
def test_what_is_no_message_is_an_upstream_error(raw: bytes) -> None:
    with pytest.raises(UpstreamError):
        wire.received(raw)


@pytest.mark.parametrize(
    "reply", [{}, {"result": []}, {"error": "x"}, {"error": {"code": -32601, "message": "m"}}]
)
def test_an_answer_without_a_result_is_an_upstream_error(reply) -> None:
    with pytest.raises(UpstreamError):
        wire.Received(reply, {}).result()


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    assert all(isinstance(event, bytes) for event in wire.EventReader().feed(raw))
