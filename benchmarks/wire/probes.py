"""What of the protocol passes a gateway, as the SDK's client sees it in the handshake era.

Each probe connects anew, is bounded in time, and tells what it saw as the cell of a table.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, cast

import anyio
import httpx2
import mcp_types as types
from mcp.client.client import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from wire.callers import CallFailed
from wire.peers.peer import Door, Echo, find_tool

PROBE_S = 45.0
CONNECT_S = 15.0
ANSWER_S = 15.0
"""A call that is not answered by then hangs."""
NOTICE_S = 5.0
HUNG = 20

FAILURES = (
    MCPError,
    CallFailed,
    httpx2.HTTPError,
    OSError,
    TimeoutError,
    ExceptionGroup,
    anyio.ClosedResourceError,
    anyio.BrokenResourceError,
)
"""What a call through a strange gateway fails with."""


class Probes:
    """The probes of one gateway before one echo; `server_down` comes last, it takes that away."""

    def __init__(self, door: Door, echo: Echo, stdio: bool) -> None:
        self._door = door
        self._echo = echo
        self._stdio = stdio
        self._verdict = ""

    async def all(self) -> dict[str, str]:
        probes: dict[str, Callable[[], Awaitable[None]]] = {
            "progress": self.progress,
            "elicitation": self.elicitation,
            "cancel reaches the server": self.cancel,
            f"{HUNG} hung calls, then one more": self.hung,
            "tools changed: told / seen": self.changed,
            "server down, then back": self.server_down,
        }
        found: dict[str, str] = {}
        for name, probe in probes.items():
            self._verdict = ""
            try:
                async with asyncio.timeout(PROBE_S):
                    await probe()
            except TimeoutError:
                # A gateway may let the client hang that closes its session.
                self._verdict = self._verdict or f"no end in {PROBE_S:.0f} s"
            except FAILURES as error:
                self._verdict = self._verdict or f"no ({_brief(error)})"
            found[name] = self._verdict
        return found

    async def progress(self) -> None:
        seen: list[float] = []

        async def heard(progress: float, total: float | None, message: str | None) -> None:
            del total, message
            seen.append(progress)

        async with self._client() as client:
            tool = await _tool(client, "step")
            async with asyncio.timeout(ANSWER_S):
                await client.call_tool(tool, {"text": "x"}, progress_callback=heard)
            self._verdict = "yes" if seen else "no"

    async def elicitation(self) -> None:
        async def answer(context: Any, params: Any) -> types.ElicitResult:
            del context, params
            return types.ElicitResult(action="accept", content={"word": "blue"})

        async with self._client(elicitation_callback=answer) as client:
            tool = await _tool(client, "ask")
            async with asyncio.timeout(ANSWER_S):
                result = await client.call_tool(tool, {})
            self._verdict = "yes" if "accept blue" in str(result.content) else "no"

    async def cancel(self) -> None:
        async with self._client() as client:
            tool = await _tool(client, "hang")
            before = self._echo.books.total()
            call = asyncio.create_task(client.call_tool(tool, {}))
            if await self._counted("hung", before["hung"] + 1, ANSWER_S) is None:
                self._verdict = "no (the call never came)"
                await _ended(call)
                return
            call.cancel()
            took_s = await self._counted("cancelled", before["cancelled"] + 1, NOTICE_S)
            self._verdict = "no" if took_s is None else f"yes, {took_s:.2f} s"
            await _ended(call)

    async def hung(self) -> None:
        """Twenty calls of one client that never end, then one of another."""
        async with self._client() as client, self._client() as other:
            tool, say = await _tool(client, "hang"), await _tool(other, "say")
            before = self._echo.books.total()["hung"]
            calls = [asyncio.create_task(client.call_tool(tool, {})) for _ in range(HUNG)]
            came = await self._counted("hung", before + HUNG, NOTICE_S) is not None
            started = perf_counter()
            try:
                async with asyncio.timeout(ANSWER_S):
                    await other.call_tool(say, {"text": "x"})
                told = f"{perf_counter() - started:.2f} s"
            except TimeoutError:
                told = f"hangs over {ANSWER_S:.0f} s"
            self._verdict = told if came else f"{told}; not all {HUNG} came"
            await _ended(*calls)

    async def changed(self) -> None:
        told = asyncio.Event()

        async def heard(message: object) -> None:
            if isinstance(message, types.ToolListChangedNotification):
                told.set()

        async with self._client(message_handler=heard) as client:
            await client.list_tools()
            # The stream that would tell is opened beside the handshake, and nothing says when.
            await asyncio.sleep(1)
            self._echo.books.signal(signal.SIGUSR1)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(told.wait(), NOTICE_S)
            seen = await _listed_within(client, "added", NOTICE_S)
            self._verdict = f"{'yes' if told.is_set() else 'no'} / {'yes' if seen else 'no'}"

    async def server_down(self) -> None:
        """Kill the echo under a gateway that was just used, and start it again."""
        tool, failed, started, took_s = "", "", 0.0, 0.0
        try:
            async with self._client() as client:
                tool = await _tool(client, "say")
                await client.call_tool(tool, {"text": "x"})
                self._echo.books.signal(signal.SIGKILL)
                started = perf_counter()
                failed = await _failure(client, tool)
                took_s = perf_counter() - started
        except FAILURES:
            if not started:
                raise
            # A client whose stream breaks ends its calls, or fails once more as it closes.
            failed, took_s = failed or "error", took_s or perf_counter() - started
        after = f"{failed} {took_s:.2f} s"
        if not self._stdio:
            self._echo.stop()
            await self._echo.start()
        back = perf_counter()
        while perf_counter() - back < ANSWER_S:
            with contextlib.suppress(*FAILURES):
                async with asyncio.timeout(NOTICE_S), self._client() as client:
                    if not (await client.call_tool(tool, {"text": "x"})).is_error:
                        self._verdict = f"{after}, back in {perf_counter() - back:.1f} s"
                        return
            await asyncio.sleep(0.2)
        self._verdict = f"{after}, not back in {ANSWER_S:.0f} s"

    @asynccontextmanager
    async def _client(self, **options: Any) -> AsyncGenerator[Client]:
        headers = dict(self._door.headers)
        if self._door.transport == "sse":
            async with Client(
                sse_client(self._door.url, headers=headers), mode="legacy", cache=None, **options
            ) as client:
                yield client
            return
        timeout = httpx2.Timeout(CONNECT_S, read=None)
        async with (
            httpx2.AsyncClient(headers=headers, timeout=timeout, follow_redirects=True) as http,
            Client(
                streamable_http_client(self._door.url, http_client=http),
                mode="legacy",
                cache=None,
                **options,
            ) as client,
        ):
            yield client

    async def _counted(self, what: str, count: int, within_s: float) -> float | None:
        """Seconds until the echo has seen so many, None when it does not in time."""
        started = perf_counter()
        while (took_s := perf_counter() - started) < within_s:
            if self._echo.books.total()[what] >= count:
                return took_s
            await asyncio.sleep(0.005)
        return None


async def _tool(client: Client, tool: str) -> str:
    async with asyncio.timeout(CONNECT_S):
        listed = await client.list_tools()
    return find_tool([each.name for each in listed.tools], tool)


async def _listed_within(client: Client, tool: str, within_s: float) -> bool:
    until = perf_counter() + within_s
    while perf_counter() < until:
        with contextlib.suppress(CallFailed):
            return bool(await _tool(client, tool))
        await asyncio.sleep(0.2)
    return False


async def _failure(client: Client, tool: str) -> str:
    try:
        async with asyncio.timeout(ANSWER_S):
            result = await client.call_tool(tool, {"text": "x"})
    except TimeoutError:
        return "hangs"
    except FAILURES:
        return "error"
    return "error" if result.is_error else "answers"


async def _ended(*calls: "asyncio.Task[Any]") -> None:
    for call in calls:
        call.cancel()
    await asyncio.wait(calls, timeout=NOTICE_S)
    for call in calls:
        if call.done() and not call.cancelled():
            call.exception()  # looked at, or asyncio would log it as lost


def _brief(error: Exception) -> str:
    found: Exception = error
    while isinstance(found, ExceptionGroup):
        found = cast("ExceptionGroup[Exception]", found).exceptions[0]
    return f"{type(found).__name__}: {found}".replace("|", "/").replace("\n", " ")[:80]
