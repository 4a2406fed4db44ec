"""Requests to a modern server and what comes back, as bytes. Pure.

Source: MCP 2026-07-28, Streamable HTTP: each POST stands alone, the headers repeat the body.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flotilla import UpstreamError, __version__
from flotilla.json_text import to_json
from flotilla.meta import members
from master import rpc

PROTOCOL_VERSION = "2026-07-28"
MAX_EVENT_BYTES = 16 * 1024 * 1024

_IDENTITY = {
    "io.modelcontextprotocol/protocolVersion": PROTOCOL_VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "flotilla-hub", "version": __version__},
    "io.modelcontextprotocol/clientCapabilities": {},
}

_HEADERS = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": PROTOCOL_VERSION,
}


def request(
    method: str, params: Mapping[str, Any], meta: Mapping[str, Any], request_id: int = 1
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request; `meta` are further members of `_meta`."""
    body = {
        "jsonrpc": "2.0",
        "id": request_id,
        "method": method,
        "params": {**params, "_meta": {**meta, **_IDENTITY}},
    }
    headers = {**_HEADERS, "mcp-method": method}
    if isinstance(name := params.get("name"), str):
        headers["mcp-name"] = name
    return to_json(body), headers


def call(name: str, arguments: str, meta: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a `tools/call` whose arguments stay as the client wrote them."""
    params = {
        "name": rpc.text_of(name),
        "arguments": arguments,
        "_meta": rpc.text_of({**meta, **_IDENTITY}),
    }
    body = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{rpc.written(params)}}}'
    headers = {**_HEADERS, "mcp-method": "tools/call", "mcp-name": name}
    return body.encode(), headers


@dataclass(frozen=True, slots=True)
class Received:
    """A message from a service: its members, and those of its result as they were written."""

    values: Mapping[str, Any]
    texts: rpc.Texts

    @property
    def is_response(self) -> bool:
        return "id" in self.values and "method" not in self.values

    def result(self) -> Mapping[str, Any]:
        """The result of a response; UpstreamError for an error response or none at all."""
        result, error = self.values.get("result"), members(self.values.get("error"))
        if isinstance(result, dict):
            return members(result)
        if error:
            code, text = error.get("code"), str(error.get("message", ""))[:500]
            raise UpstreamError(f"the service answered with error {code}: {text}")
        raise UpstreamError("the service's answer has neither a result nor an error")


def received(raw: bytes) -> Received:
    """One JSON-RPC message; UpstreamError for anything else."""
    try:
        return Received(*rpc.parse(raw, inside="result"))
    except rpc.RpcError:
        raise UpstreamError("the service sent something that is no JSON-RPC message") from None


class EventReader:
    """Cuts a stream of server-sent events into the data of its events, however the bytes come."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The data of each event that `chunk` completes; UpstreamError for one over 16 MiB."""
        self._rest += chunk
        while (end := self._rest.find(b"\n")) >= 0:
            line = bytes(self._rest[:end]).rstrip(b"\r")
            del self._rest[: end + 1]
            if not line:
                if self._data:
                    yield b"\n".join(self._data)
                self._data, self._size = [], 0
            elif line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
                self._size += len(line)
                self._check(self._size)
        self._check(len(self._rest) + self._size)

    def _check(self, size: int) -> None:
        if size > MAX_EVENT_BYTES:
            raise UpstreamError(f"the service sent an event of over {MAX_EVENT_BYTES} bytes")
