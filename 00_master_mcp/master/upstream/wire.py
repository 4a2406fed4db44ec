"""Requests to a modern server and what comes back, as bytes. Pure.

Source: MCP 2026-07-28, Streamable HTTP: each POST stands alone, the headers repeat the body.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from flotilla import InvalidArgument, UpstreamError, __version__
from flotilla.json_text import TooDeep, from_json, to_json

PROTOCOL_VERSION = "2026-07-28"
MAX_EVENT_BYTES = 16 * 1024 * 1024

_IDENTITY = {
    "io.modelcontextprotocol/protocolVersion": PROTOCOL_VERSION,
    "io.modelcontextprotocol/clientInfo": {"name": "flotilla-hub", "version": __version__},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def request(
    method: str, params: Mapping[str, Any], meta: Mapping[str, Any], request_id: int = 1
) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request; `meta` are further members of `_meta`.

    Raises InvalidArgument for params that no JSON can hold.
    """
    body = {
        "jsonrpc": "2.0",
        "id": request_id,
        "method": method,
        "params": {**params, "_meta": {**meta, **_IDENTITY}},
    }
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": PROTOCOL_VERSION,
        "mcp-method": method,
    }
    if isinstance(name := params.get("name"), str):
        headers["mcp-name"] = name
    try:
        return to_json(body), headers
    except TooDeep:
        raise InvalidArgument("the arguments are nested too deeply") from None


def message(raw: bytes) -> dict[str, Any]:
    """One JSON-RPC message; UpstreamError for anything else."""
    try:
        parsed = from_json(raw)
    except ValueError:
        raise UpstreamError("the service sent something that is not JSON") from None
    if not isinstance(parsed, dict):
        raise UpstreamError("the service sent something that is not a JSON-RPC message")
    return parsed  # pyright: ignore[reportUnknownVariableType]


def result_of(reply: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a response; UpstreamError for an error response or none at all."""
    result, error = reply.get("result"), reply.get("error")
    if isinstance(result, dict):
        return result  # pyright: ignore[reportUnknownVariableType]
    if isinstance(error, dict):
        code, text = error.get("code"), str(error.get("message", ""))[:500]  # pyright: ignore
        raise UpstreamError(f"the service answered with error {code}: {text}")
    raise UpstreamError("the service's answer has neither a result nor an error")


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
