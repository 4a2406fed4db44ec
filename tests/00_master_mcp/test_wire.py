import json

import pytest

from flotilla import UpstreamError
from master import rpc
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


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b"5", b'"x"', b"\xff", b"{"])
def test_what_is_no_message_is_an_upstream_error(raw: bytes) -> None:
    with pytest.raises(UpstreamError):
        wire.received(raw)


@pytest.mark.parametrize("reply", [{}, {"result": []}, {"error": "x"}, {"error": {"code": True}}])
def test_an_answer_with_neither_result_nor_error_is_an_upstream_error(reply) -> None:
    with pytest.raises(UpstreamError):
        wire.Received(reply, {}).result()


def test_a_servers_own_refusal_keeps_its_code_and_data() -> None:
    refused = {"error": {"code": -32042, "message": "m", "data": {"k": [1]}}}
    with pytest.raises(rpc.RpcError) as raised:
        wire.Received(refused, {}).result()
    assert (raised.value.code, raised.value.message, raised.value.data) == (-32042, "m", {"k": [1]})
