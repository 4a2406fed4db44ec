"""A client of 2026-07-28 that costs little, tells the time of each call, and can hang up."""

import itertools
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Self

import aiohttp
import orjson

from flotilla import meta
from tests.conftest import Reachable

VERSION = "2026-07-28"
HOP = "io.modelcontextprotocol/"


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one call, and after how long."""

    result: Mapping[str, Any]
    """Empty where the request itself was refused."""
    took_s: float
    refusal: Mapping[str, Any] | None = None

    @property
    def error(self) -> Mapping[str, Any]:
        """The error object of a tool error; empty where the call succeeded."""
        marked = meta.members(meta.marks_of(self.result).get(meta.ERROR))
        if marked or not self.result.get("isError"):
            return marked
        # Of another hub, whose marks ours takes away as a stranger's, the text alone has it.
        text: str = self.result["content"][0]["text"]
        return meta.members(orjson.loads(text).get("error")) if text.startswith("{") else {}

    @property
    def code(self) -> str | None:
        """The code of its error, None where the call succeeded."""
        if self.refusal is not None:
            return f"refused: {self.refusal}"
        if not self.result.get("isError"):
            return None
        return str(self.error.get("code", f"no code: {self.result}"))

    @property
    def structured(self) -> dict[str, Any]:
        assert self.code is None, (self.code, self.error)
        return self.result["structuredContent"]


class Caller:
    """Calls one hub as one principal; calls at once have a connection each."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str) -> None:
        self._http = http
        self._url = url
        self._token = token
        self._ids = itertools.count(1)

    @classmethod
    @asynccontextmanager
    async def of(cls, hub: Reachable, token: str | None = None) -> AsyncGenerator[Self]:
        """A client of the hub with that token, by default the admin's."""
        token = token or hub.token_file.read_text().strip()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=60)
        ) as http:
            yield cls(http, f"{hub.url}/mcp", token)

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout_ms: float | None = None,
    ) -> Answered:
        """Call a tool; `timeout_ms` is how long the client waits. Cancelled, it hangs up."""
        marks = {} if timeout_ms is None else {meta.TIMEOUT_MS: timeout_ms}
        params = {"name": tool, "arguments": arguments or {}}
        return await self.ask("tools/call", params, marks)

    async def ask(
        self, method: str, params: Mapping[str, Any], marks: Mapping[str, Any] | None = None
    ) -> Answered:
        envelope = {
            f"{HOP}protocolVersion": VERSION,
            f"{HOP}clientInfo": {"name": "chaos", "version": "1"},
            f"{HOP}clientCapabilities": {},
            **(marks or {}),
        }
        body = {
            "jsonrpc": "2.0",
            "id": next(self._ids),
            "method": method,
            "params": {**params, "_meta": envelope},
        }
        headers = {
            "authorization": f"Bearer {self._token}",
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
            "mcp-protocol-version": VERSION,
            "mcp-method": method,
        }
        if "name" in params:
            headers["mcp-name"] = params["name"]
        started = monotonic()
        async with self._http.post(self._url, data=orjson.dumps(body), headers=headers) as response:
            raw = await response.read()
        took_s = monotonic() - started
        if "event-stream" in response.headers.get("content-type", ""):
            raw = _last_event(raw)
        said = orjson.loads(raw)
        if "result" not in said:
            return Answered({}, took_s, {"status": response.status, **said.get("error", said)})
        return Answered(said["result"], took_s)

    async def tools(self) -> dict[str, Mapping[str, Any]]:
        """The listed tools by their canonical names."""
        listed = (await self.ask("tools/list", {})).result["tools"]
        return {meta.marks_of(tool).get(meta.NAME, tool["name"]): tool for tool in listed}


def _last_event(stream: bytes) -> bytes:
    lines = [line for line in stream.splitlines() if line.startswith(b"data:")]
    return lines[-1].removeprefix(b"data:")
