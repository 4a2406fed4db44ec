"""Calls of tools that need no server, and a server that answers on cue."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from flotilla import Deadline, Principal, meta
from flotilla.resilience import Resilience
from master.call import Call
from master.catalogue import Entry, Origin, View
from master.meters import Meters
from master.result import Result
from master.streaming.splitter import Piece

ANN = Principal("ann", ("operator", "reader"))
OUTSIDE = Origin(external=True)
SPEC = "io.modelcontextprotocol/"


def entry(
    name: str = "test.shop.list",
    *,
    read_only: bool | None = True,
    ttl_ms: Any = 60_000,
    origin: Origin = Origin(),  # noqa: B008  frozen
    **marks: Any,
) -> Entry:
    told = {**marks, **({} if ttl_ms is None else {meta.TTL_MS: ttl_ms})}
    hints = {} if read_only is None else {"readOnlyHint": read_only}
    listed = {"name": name, "annotations": hints, "_meta": told}
    return Entry(name, "shop", listed, given=name, safe=name, origin=origin)


class Heard:
    """What a client is told before the answer."""

    def __init__(self) -> None:
        self.methods: list[str] = []
        self.poured = asyncio.Event()
        self.read = asyncio.Event()

    async def notify(self, method: str, params: Mapping[str, str]) -> None:
        self.methods.append(method)

    async def report(self, progress: float, total: float | None, said: str | None) -> None:
        self.methods.append("report")

    async def pause(self) -> None:
        self.methods.append("pause")

    async def pour(self, pieces: AsyncIterator[Piece]) -> bool:
        """A client that reads when the test says so."""
        self.poured.set()
        await self.read.wait()
        return False


def call(
    target: Entry | None = None,
    arguments: str = '{"page":1}',
    *,
    principal: Principal = ANN,
    within_s: float = 30.0,
    marks: Mapping[str, Any] | None = None,
    capabilities: Mapping[str, Any] | None = None,
    method: str = "tools/call",
    **texts: str,
) -> Call:
    target = target or entry()
    told = {f"{SPEC}protocolVersion": "2026-07-28", **(marks or {})}
    params = {
        "name": json.dumps(target.name),
        "arguments": arguments,
        "_meta": json.dumps(told),
        **texts,
    }
    return Call(
        method=method,
        principal=principal,
        name=target.name,
        params=params,
        arguments=json.loads(arguments),
        meta=told,
        correlation_id="c-1",
        traceparent=None,
        view=View(),
        capabilities=capabilities or {},
        arrived=monotonic(),
        hearer=Heard(),
        target=target,
        deadline=Deadline.after(within_s),
    )


TEXTS = {
    "content": '[ {"type":"text", "text":"\\u00e4 1e2"} ]',
    "structuredContent": '{"n": 12345678901234567890123, "n": 1.0}',
    "isError": "false",
    "odd member": "[ ]",
}
"""An answer that comes back changed wherever anything of it is written anew."""


@dataclass
class Server:
    """Counts its calls, and answers each as `answer` says."""

    answer: Callable[[Call], Any] = lambda _: Result(dict(TEXTS))
    asked: list[Call] = field(default_factory=list[Call])
    cancelled: int = 0

    async def __call__(self, call: Call) -> Result:
        self.asked.append(call)
        try:
            found = self.answer(call)
            return await found if asyncio.iscoroutine(found) else found
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Counted:
    """Meters of the hub, and what they say."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.meters = Meters(self._registry)

    @property
    def lookups(self) -> dict[str, int]:
        lines = generate_latest(self._registry).decode().splitlines()
        found = [line for line in lines if line.startswith("mcp_cache_lookups_total{")]
        return {
            line.split('outcome="')[1].split('"')[0]: int(float(line.split()[1])) for line in found
        }


def settings(**cache: float) -> Callable[[str], Resilience]:
    """Those of every service; a tool's dots are written `__`."""
    known = Resilience(cache={name.replace("__", "."): kept for name, kept in cache.items()})
    return lambda _: known
