"""Requests to a server and what comes back, as bytes. Pure.

Source: MCP 2026-07-28, Streamable HTTP: each POST stands alone, the headers repeat the body; and
2025-11-25 for what the handshake revisions leave out of that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcp.shared.inbound import encode_header_value, mcp_param_headers, x_mcp_header_map

from flotilla import UpstreamError, __version__, correlation, meta
from flotilla.json_text import to_json
from master import rpc
from master.call import Call
from master.result import HOP

PROTOCOL_VERSION = "2026-07-28"
LOG_LEVEL = f"{HOP}logLevel"
DEFAULT_LEVEL = "info"
"""What a client of the handshake revisions is told that has not said what it wants to hear."""
CLIENT_INFO = f"{HOP}clientInfo"
CLIENT_CAPABILITIES = f"{HOP}clientCapabilities"

EARLIER_S = 0.02
"""A server is told to be done this much before the deadline: its own `timeout` says more, and if it
is a hub, those behind it are told to be done before it is."""
LAST_WORD_S = 0.02
"""What the hub waits beyond a deadline for that answer."""

REQUEST_ID = 1
"""Of every request that has a response of its own."""
HUB_INFO = {"name": "flotilla-hub", "title": "Flotilla", "version": __version__}
_IDENTITY = {
    f"{HOP}protocolVersion": PROTOCOL_VERSION,
    CLIENT_INFO: HUB_INFO,
    CLIENT_CAPABILITIES: {},
}
_ACCEPT = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
_HEADERS = {**_ACCEPT, "mcp-protocol-version": PROTOCOL_VERSION}
_NAMED_BY: Mapping[str, str] = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "resources/subscribe": "uri",
    "resources/unsubscribe": "uri",
}
"""Which member of its params names what a request is about."""


def request(
    method: str, params: Mapping[str, Any], marks: Mapping[str, Any], request_id: int = REQUEST_ID
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request of the hub's own; `marks` are further members of `_meta`."""
    body = {
        "jsonrpc": "2.0",
        "id": request_id,
        "method": method,
        "params": {**params, "_meta": {**marks, **_IDENTITY}},
    }
    return to_json(body), _routing(method, params.get("name"))


def forwarded(call: Call) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a client's request, whose params stay as the client wrote them.

    Raises rpc.RpcError where the client refused to answer what the server must know.
    """
    body = _enveloped(call, REQUEST_ID, _passed(call.meta))
    entry = call.resolved()
    headers = _routing(call.method, entry.upstream_name)
    if entry.declares_headers:
        headers |= mcp_param_headers(
            x_mcp_header_map(entry.listed.get("inputSchema")), call.arguments
        )
    return body, headers


def on_lines(call: Call, request_id: int) -> bytes:
    """A client's request as `forwarded` has it, for a stream that many requests share."""
    return _enveloped(call, request_id, _passed_under(call.meta, request_id))


def on_a_session(call: Call, request_id: int) -> bytes:
    """A client's request as a server of the handshake revisions takes it."""
    marks = _passed_under(call.meta, request_id)
    marks |= _ours(call)
    texts = params_of(call, marks)
    for name in ("inputResponses", "requestState"):
        texts.pop(name, None)
    return rpc.request(request_id, call.method, rpc.written(texts))


def params_of(call: Call, marks: Mapping[str, Any]) -> rpc.Texts:
    """The texts of the params of a request under the name that its server knows."""
    name = rpc.text_of(call.resolved().upstream_name)
    texts = {**call.params, "_meta": rpc.text_of(marks)}
    if call.method == "completion/complete":
        kind = "prompt" if call.resolved().kind == "prompts" else "resource"
        key = "name" if kind == "prompt" else "uri"
        texts["ref"] = f'{{"type":"ref/{kind}","{key}":{name}}}'
    else:
        texts[_NAMED_BY[call.method]] = name
    return texts


def call_headers(call: Call) -> dict[str, str]:
    """What lets a server log under the same ID and trace."""
    headers = {correlation.HEADER: call.correlation_id}
    if call.traceparent is not None:
        headers["traceparent"] = call.traceparent
        if isinstance(state := call.meta.get("tracestate"), str) and state.isprintable():
            headers["tracestate"] = state
    return headers


def told_ms(left_s: float) -> int:
    """What a server is told that it has, of so much; of very little it is left nine tenths."""
    return int((left_s - min(EARLIER_S, left_s / 10)) * 1000)


def _enveloped(call: Call, request_id: int, marks: dict[str, Any]) -> bytes:
    """The request with the envelope of 2026-07-28 added to `marks`, which go on to the server."""
    if (level := call.log_level or (None if call.modern else DEFAULT_LEVEL)) is not None:
        marks[LOG_LEVEL] = level
    marks |= _ours(call)
    marks |= _IDENTITY
    marks[CLIENT_CAPABILITIES] = call.capabilities
    if call.client_info is not None:
        marks[CLIENT_INFO] = call.client_info
    texts = params_of(call, marks)
    if call.refused:
        texts["inputResponses"] = _with_refusals(call)
    return rpc.request(request_id, call.method, rpc.written(texts))


def _with_refusals(call: Call) -> str:
    """The client's answers, those that are errors as this revision has them.

    A refused elicitation is one that was cancelled; for the rest there is nothing to say, and the
    call ends with the client's own error.
    """
    answers = rpc.members(call.params.get("inputResponses", "{}"))[1]
    for key, refusal in call.refused.items():
        if refusal.method != "elicitation/create":
            raise refusal.error
        answers[key] = '{"action":"cancel"}'
    return rpc.written(answers)


def _passed(marks: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a client's `_meta` that go on to a server."""
    passed = {key: value for key, value in marks.items() if not key.startswith(HOP)}
    if not isinstance(passed.get("progressToken", ""), (str, int)):
        del passed["progressToken"]
    return passed


def _passed_under(marks: Mapping[str, Any], request_id: int) -> dict[str, Any]:
    """As `_passed`; the ID is also the progress token, where the client asked for progress.

    The clients' own tokens may be the same ones.
    """
    passed = _passed(marks)
    if "progressToken" in passed:
        passed["progressToken"] = request_id
    return passed


def _ours(call: Call) -> dict[str, Any]:
    marks: dict[str, Any] = {
        meta.CORRELATION_ID: call.correlation_id,
        meta.TIMEOUT_MS: told_ms(call.due().remaining_s()),
    }
    if call.traceparent is not None:
        marks["traceparent"] = call.traceparent
    return marks


def _routing(method: str, name: object) -> dict[str, str]:
    headers = {**_HEADERS, "mcp-method": method}
    if isinstance(name, str) and method in ("tools/call", "prompts/get", "resources/read"):
        headers["mcp-name"] = encode_header_value(name)
    return headers


@dataclass(slots=True)
class Received:
    """A message from a server: its members, and those of its result or params as written."""

    values: Mapping[str, Any]
    texts: rpc.Texts

    @property
    def is_response(self) -> bool:
        return "method" not in self.values

    @property
    def method(self) -> str:
        return str(self.values.get("method", ""))

    @property
    def params(self) -> Mapping[str, Any]:
        return meta.members(self.values.get("params"))

    def result(self) -> Mapping[str, Any]:
        """The result of a response.

        Raises rpc.RpcError with which the server refused, or UpstreamError where it answered with
        neither.
        """
        result = self.values.get("result")
        if isinstance(result, dict):
            return meta.members(result)
        error = meta.members(self.values.get("error"))
        code, message = error.get("code"), error.get("message")
        if isinstance(code, int) and not isinstance(code, bool):
            raise rpc.RpcError(code, str(message or "the server gave no reason"), error.get("data"))
        raise UpstreamError("the server's answer has neither a result nor an error")


def received(raw: bytes | bytearray) -> Received:
    """One JSON-RPC message; UpstreamError for anything else."""
    try:
        return Received(*rpc.parse(raw))
    except rpc.RpcError:
        raise UpstreamError("the server sent something that is no JSON-RPC message") from None
