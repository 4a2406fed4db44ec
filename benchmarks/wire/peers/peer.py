"""What a gateway must tell of itself to be measured beside the hub."""

import re
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from wire.book import Books
from wire.callers import CallFailed, HandshakeCaller, OldSseCaller
from wire.connection import ask
from wire.processes import MODULE_ENV, NotYet, Program, Programs, free_port


class Skipped(Exception):
    """A peer that cannot be measured here; the message is the reason."""


@dataclass(frozen=True)
class Door:
    """Where the clients of a gateway go, in the handshake era."""

    url: str
    transport: Literal["http", "sse"] = "http"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def caller(self, tool_of: Callable[[str], str] = str) -> HandshakeCaller | OldSseCaller:
        kind = HandshakeCaller if self.transport == "http" else OldSseCaller
        return kind(self.url, lambda: self.headers, tool_of)

    async def tools(self) -> list[str]:
        """The names that are listed now; CallFailed or an OSError when the door is shut."""
        caller = self.caller()
        try:
            await caller.open()
            return await caller.tools()
        finally:
            await caller.close()


@dataclass(frozen=True)
class Behind:
    """The echo, over HTTP and as a program, and perhaps a server that nobody reaches."""

    url: str
    argv: Sequence[str]
    env: Mapping[str, str]
    dead_url: str | None = None

    def urls(self) -> dict[str, str]:
        return {"echo": self.url, **({"away": self.dead_url} if self.dead_url else {})}


Start = Callable[[Programs, Behind, Path, int], Awaitable[tuple[Program, Door]]]
"""Starts a gateway before the echo on a port, with a folder of its own; raises Skipped, NotReady or
CallFailed. What it returns need not list the echo's tools yet."""


@dataclass(frozen=True)
class Peer:
    """A gateway. `over` says how it reaches the echo."""

    name: str
    version: str
    over: Literal["HTTP", "stdio"]
    start: Start
    install: Callable[[], None] = lambda: None


class Echo:
    """The handshake-era echo that stands behind one gateway, and what it saw."""

    def __init__(self, programs: Programs, folder: Path) -> None:
        self._programs = programs
        self._port = free_port()
        self.books = Books(folder)
        folder.mkdir(parents=True)
        self._program: Program | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/mcp"

    def behind(self, *, with_dead: bool = False) -> Behind:
        argv = [sys.executable, "-m", "wire.stdio_echo", str(self.books.folder)]
        dead = f"http://127.0.0.1:{free_port()}/mcp" if with_dead else None
        return Behind(self.url, argv, MODULE_ENV, dead)

    async def start(self) -> None:
        arguments = (str(self._port), str(self.books.folder))
        self._program = self._programs.module("echo", "wire.handshake_echo", *arguments)

        async def works() -> bool:
            return (await ask(self.url, method="GET")).status == 404

        await self._program.until(works, 20)

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()


def find_tool(names: Sequence[str], tool: str) -> str:
    """The name under which a gateway lists a tool of the echo; CallFailed when it does not."""
    found = [name for name in names if re.search(rf"(^|[-_./]){tool}$", name)]
    if not found:
        raise CallFailed(f"{tool} is not listed, only {', '.join(names) or 'nothing'}"[:300])
    return found[0]


async def lists_echo(door: Door) -> bool:
    """True when the echo's tools are listed; NotYet says what is instead."""
    try:
        return bool(find_tool(await door.tools(), "say"))
    except CallFailed as error:
        raise NotYet(str(error)) from None


def named_by(names: Sequence[str]) -> Callable[[str], str]:
    known = {tool: find_tool(names, tool) for tool in ("say", "step")}
    return lambda tool: known.get(tool) or find_tool(names, tool)
