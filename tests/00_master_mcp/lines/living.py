"""Programs as plain child processes, what a link hears of them, and calls to them."""

import asyncio
import json
import os
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from flotilla import Deadline, Principal, Unavailable
from master import rpc
from master.call import Call
from master.catalogue import Entry, View
from master.external.lines import LineSplitter, TooLong
from master.offer import Kind, Offer
from master.upstream.handshake.stdio import StdioSession
from master.upstream.lines.probing import LinesProbing
from master.upstream.lines.speaker import ModernLines

TESTS = Path(__file__).resolve().parents[2]


class Program:
    """A process whose lines can be read and written; `heard` keeps what it was sent."""

    def __init__(self, process: asyncio.subprocess.Process, max_line_bytes: int) -> None:
        self.process = process
        self.too_long: Callable[[TooLong], None] | None = None
        self.sent: list[dict[str, Any]] = []
        self._splitter = LineSplitter(max_line_bytes)
        self._ready: list[bytes] = []

    async def lines(self) -> AsyncIterator[bytes]:
        assert self.process.stdout is not None
        while True:
            while self._ready:
                yield self._ready.pop(0)
            data = await self.process.stdout.read(65_536)
            for line in self._splitter.feed(data):
                if isinstance(line, bytes):
                    self._ready.append(line)
                elif self.too_long is not None:
                    self.too_long(line)
            if not data:
                return

    async def write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        assert b"\n" not in line
        self.sent.append(json.loads(line))
        self.process.stdin.write(line + b"\n")
        try:
            await self.process.stdin.drain()
        except ConnectionError:
            raise Unavailable("it has ended") from None

    def methods(self) -> list[str]:
        return [message["method"] for message in self.sent if "method" in message]


@dataclass
class Notebook:
    """What a speaker tells of its server."""

    offers: list[Offer] = field(default_factory=list)
    uris: list[str] = field(default_factory=list)
    remarks: list[tuple[str, rpc.Texts]] = field(default_factory=list)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    def offered(self, offer: Offer) -> None:
        self.offers.append(offer)
        self._moved.set()

    def updated(self, uri: str, params: rpc.Texts) -> None:
        self.uris.append(uri)
        self._moved.set()

    def said(self, method: str, params: rpc.Texts) -> None:
        self.remarks.append((method, params))
        self._moved.set()

    def names(self, kind: Kind = "tools") -> set[str]:
        return {str(each["name"]) for each in self.offers[-1].of(kind)} if self.offers else set()

    async def until(self, holds: Callable[[], Any]) -> None:
        with anyio.fail_after(20):
            while not holds():
                self._moved.clear()
                await self._moved.wait()


@dataclass
class Client:
    """Hears what comes before an answer."""

    told: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def notify(self, method: str, params: Mapping[str, str]) -> None:
        self.told.append((method, dict(params)))
        self.heard.set()

    async def report(self, progress: float, total: float | None, said: str | None) -> None:
        raise AssertionError("no tool of the hub's own is called here")

    async def pause(self) -> None:
        raise AssertionError("there is no stream to close")

    async def pour(self, pieces: Any) -> bool:
        raise AssertionError("a line is read whole")

    def steps(self) -> list[str]:
        return [params["progress"] for method, params in self.told if method.endswith("progress")]


def call_of(
    name: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    method: str = "tools/call",
    client: Client | None = None,
    within_s: float = 20,
    kind: Kind = "tools",
    marks: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Call:
    """A call as it comes to a speaker; `more` are further members of its params."""
    key = "uri" if method.startswith("resources/") else "name"
    params = {key: name, **(more or {})}
    if arguments is not None:
        params["arguments"] = arguments
    return Call(
        method=method,
        principal=Principal("admin", ("admin",)),
        name=name,
        params={member: rpc.text_of(value) for member, value in params.items()},
        arguments=arguments or {},
        meta=marks or {},
        correlation_id="0195",
        traceparent=None,
        view=View(),
        capabilities=fields.pop("capabilities", {}),
        arrived=0.0,
        hearer=client or Client(),
        target=Entry(name, "toy", {}, kind=kind),
        deadline=Deadline.after(within_s),
        **fields,
    )


class Life:
    """One program after another, under a speaker that is kept."""

    def __init__(self, max_line_bytes: int = 8 * 1024 * 1024, probe_s: float = 3) -> None:
        self.notes = Notebook()
        self.programs: list[Program] = []
        self.modern = ModernLines("toy", self._connect)
        self.probing = LinesProbing("toy", self._connect, probe_s=probe_s)
        self._max_line_bytes = max_line_bytes
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def program(self) -> Program:
        return self.programs[-1]

    def _connect(self) -> StdioSession:
        return StdioSession(self.program)

    async def start(self, *argv: str) -> Program:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=TESTS,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
        )
        self.programs.append(Program(process, self._max_line_bytes))
        return self.program

    async def everything(self, era: str) -> Program:
        return await self.start("-m", "everything", "--transport", "stdio", "--era", era)

    async def script(self, text: str) -> Program:
        return await self.start("-u", "-c", textwrap.dedent(text))

    def hold(self, speaker: LinesProbing | ModernLines) -> asyncio.Task[None]:
        holding = asyncio.create_task(speaker.hold(self.notes))
        self._tasks.append(holding)
        return holding

    async def opened(self, speaker: LinesProbing | ModernLines) -> asyncio.Task[None]:
        """Hold, and return once the server can be called."""
        holding = self.hold(speaker)
        before = len(self.notes.offers)
        heard = asyncio.create_task(self.notes.until(lambda: len(self.notes.offers) > before))
        await asyncio.wait({holding, heard}, return_when=asyncio.FIRST_COMPLETED)
        if not heard.done():
            heard.cancel()
            await holding
            raise AssertionError("it ended before it offered anything")
        await heard
        with anyio.fail_after(5):
            while await _is_away(speaker):
                await asyncio.sleep(0)
        return holding

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for program in self.programs:
            if program.process.returncode is None:
                program.process.kill()
            assert program.process.stdin is not None
            program.process.stdin.close()
            with anyio.fail_after(10):
                await program.process.communicate()


async def _is_away(speaker: LinesProbing | ModernLines) -> bool:
    try:
        await speaker.probe(5)
    except Unavailable:
        return True
    return False
