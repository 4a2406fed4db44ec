"""One service as the hub sees it: kept connected, its tools kept fresh, its calls sent on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import structlog

from flotilla import FlotillaError, UpstreamError, meta
from flotilla.backoff import delay_s
from master.call import Call
from master.result import Result
from master.upstream import wire
from master.upstream.client import ServiceClient, call_headers

log = structlog.get_logger(__name__)

ASK_S = 10.0
"""How long a list may take."""
SILENCE_S = 45.0
"""A listen stream that says nothing for three of the server's keep-alives is dead."""
MAX_PAGES = 100
_RECONNECT_CAP_S = 5.0
"""A service that is back is found within this, even if nobody calls it."""

_LISTEN = {"notifications": {"toolsListChanged": True}}
_TOKEN = "flotilla"  # noqa: S105  a progress token: each request has a stream of its own
_RESERVED = "io.modelcontextprotocol/"

ToolsSeen = Callable[[list[Mapping[str, Any]]], None]


class Link:
    """Keeps one service connected in `run`, and sends calls to it at any time.

    `on_tools` hears each list of tools, `on_away` that the service went.
    """

    def __init__(
        self, client: ServiceClient, *, on_tools: ToolsSeen, on_away: Callable[[], None]
    ) -> None:
        self._client = client
        self._on_tools = on_tools
        self._on_away = on_away
        self._wake = asyncio.Event()
        self.connected = False
        self.answered_once = False
        self.version: str | None = None
        self.reason: str | None = "not connected yet"

    @property
    def client(self) -> ServiceClient:
        return self._client

    async def run(self) -> None:
        """Connect, listen, reconnect with backoff, for ever; cancel to end."""
        attempt = 0
        while True:
            try:
                await self._listen()
                problem = "the service ended the stream"
            except FlotillaError as error:
                problem = error.message
            if self.connected:
                attempt = 0
            self._lost(problem)
            attempt += 1
            pause_s = delay_s(attempt, cap_s=_RECONNECT_CAP_S)
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), pause_s)
            except TimeoutError:
                continue

    async def call(self, call: Call) -> Result:
        """Send one `tools/call` and relay its progress.

        Raises Unavailable, TimedOut or UpstreamError; a tool's own error comes as a result.
        """
        entry = call.resolved()
        body, headers = wire.call(entry.name, call.arguments_text, _call_meta(call))
        call_headers(headers, call.correlation_id, call.traceparent)
        headers["authorization"] = self._client.sign_call(
            call.principal, entry.name, body, approved=call.approved
        )
        async with self._client.messages(body, headers, call.due()) as replies:
            result = await self._relayed(replies, call)
        if not self.connected:
            self._wake.set()
        return result

    async def _relayed(self, replies: AsyncIterator[wire.Received], call: Call) -> Result:
        async for reply in replies:
            if reply.is_response:
                reply.result()
                return reply.texts
            if reply.values.get("method") == "notifications/progress":
                params = meta.members(reply.values.get("params"))
                await call.report(
                    params.get("progress", 0), params.get("total"), params.get("message")
                )
        raise self._client.broke_off()

    async def _listen(self) -> None:
        """Hold a listen stream and refresh the tools whenever it says so; returns when it ends."""
        body, headers = wire.request("subscriptions/listen", _LISTEN, {})
        headers["authorization"] = self._client.hub_authorization()
        async with self._client.messages(body, headers, None, silence_s=SILENCE_S) as replies:
            async for reply in replies:
                if reply.is_response:
                    reply.result()
                    return
                # The acknowledgement comes first: only now is no change lost any more.
                await self._refresh()

    async def _refresh(self) -> None:
        found = await self._client.ask("server/discover", {}, timeout_s=ASK_S)
        tools = await self._all_tools()
        info = meta.members(meta.marks_of(found).get(f"{_RESERVED}serverInfo"))
        self.version = str(info.get("version", "")) or None
        self.reason = None
        self.answered_once = True
        if not self.connected:
            self.connected = True
            log.info("service_connected", upstream=self._client.service, tools=len(tools))
        self._on_tools(tools)

    async def _all_tools(self) -> list[Mapping[str, Any]]:
        tools: list[Mapping[str, Any]] = []
        params: dict[str, Any] = {}
        for _ in range(MAX_PAGES):
            page = await self._client.ask("tools/list", params, timeout_s=ASK_S)
            listed = page.get("tools")
            if not isinstance(listed, list):
                raise UpstreamError("tools/list answered without a list")
            tools += [tool for tool in listed if isinstance(tool, dict)]  # pyright: ignore
            cursor = page.get("nextCursor")
            if not isinstance(cursor, str):
                return tools
            params = {"cursor": cursor}
        raise UpstreamError(f"tools/list did not end within {MAX_PAGES} pages")

    def _lost(self, problem: str) -> None:
        self.reason = problem
        if self.connected:
            self.connected = False
            log.warning("service_away", upstream=self._client.service, reason=problem)
            self._on_away()


def _call_meta(call: Call) -> dict[str, Any]:
    """The `_meta` of the call upstream; the caller's own passes, but for the era's."""
    passed = {key: value for key, value in call.meta.items() if not key.startswith(_RESERVED)}
    if "progressToken" in passed:
        passed["progressToken"] = _TOKEN
    passed[meta.CORRELATION_ID] = call.correlation_id
    passed[meta.TIMEOUT_MS] = int(call.due().remaining_s() * 1000)
    if call.traceparent is not None:
        passed["traceparent"] = call.traceparent
    return passed
