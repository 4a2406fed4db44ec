"""Asks the running hub how the fleet is, as any client would."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flotilla import __version__
from flotilla.settings import Misconfigured, read_secret

PROTOCOL_VERSION = "2026-07-28"
_READY_S = 2.0
_TOOL_S = 10.0
_HEALTHY = {"status": "healthy"}


class NoAnswer(Exception):
    """The hub did not answer as it should; the message says how."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one service is: `status` as master.getServiceHealth says it."""

    name: str
    status: str
    reason: str | None
    tools: int
    url: str


class Hub:
    """The hub at `url`, asked with the admin's token; it blocks, so ask it from a thread."""

    def __init__(self, url: str, token_file: Path) -> None:
        self._address = urlsplit(url).netloc
        self._token_file = token_file

    def not_ready(self) -> str | None:
        """Why it is not ready, None when it is."""
        try:
            status, body = self._exchange("GET", "/ready", None, {}, _READY_S)
        except NoAnswer as error:
            return str(error)
        return None if status == 200 else str(body.get("reason") or f"it answers {status}")

    def standings(self) -> list[Standing]:
        """All services, in the fleet's order; NoAnswer when the hub cannot say."""
        health = self._call("master.getServiceHealth")
        listed: list[dict[str, Any]] = self._call("master.listServices").get("items", [])
        # The hub itself is not among those it probes: it answered just now.
        return [_standing(each, health.get(str(each.get("name")), _HEALTHY)) for each in listed]

    def _call(self, tool: str) -> dict[str, Any]:
        meta = {
            "io.modelcontextprotocol/protocolVersion": PROTOCOL_VERSION,
            "io.modelcontextprotocol/clientInfo": {"name": "run_fleet", "version": __version__},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = {"name": tool, "arguments": {}, "_meta": meta}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        headers = {
            "authorization": f"Bearer {self._token()}",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": PROTOCOL_VERSION,
            "mcp-method": "tools/call",
            "mcp-name": tool,
        }
        status, reply = self._exchange("POST", "/mcp", json.dumps(body), headers, _TOOL_S)
        result = reply.get("result")
        if status != 200 or not isinstance(result, dict) or "structuredContent" not in result:
            raise NoAnswer(f"{tool} answered {status} without a result")
        return result["structuredContent"]  # pyright: ignore[reportUnknownVariableType]

    def _token(self) -> str:
        try:
            return read_secret(self._token_file, self._token_file.name).strip()
        except Misconfigured as error:
            raise NoAnswer(str(error)) from None

    def _exchange(
        self, method: str, path: str, body: str | None, headers: Mapping[str, str], timeout_s: float
    ) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection(self._address, timeout=timeout_s)
        try:
            # The hub serves this name at whatever address it listens on.
            connection.request(method, path, body, {**headers, "host": "localhost"})
            response = connection.getresponse()
            parsed = json.loads(_message_in(response.read().decode()))
        except OSError as error:
            raise NoAnswer(f"the hub cannot be reached ({error.strerror or error})") from None
        except (http.client.HTTPException, ValueError) as error:
            raise NoAnswer(f"the hub's answer is no JSON ({type(error).__name__})") from None
        finally:
            connection.close()
        return response.status, parsed if isinstance(parsed, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _message_in(text: str) -> str:
    """The JSON of an answer, which may come as the last event of a stream."""
    events = [line[5:] for line in text.splitlines() if line.startswith("data:")]
    return events[-1] if events else text


def _standing(listed: Mapping[str, Any], health: Mapping[str, Any]) -> Standing:
    return Standing(
        name=str(listed.get("name")),
        status=str(health.get("status")),
        reason=health.get("reason"),
        tools=int(listed.get("toolCount", 0)),
        url=str(listed.get("url", "")),
    )
