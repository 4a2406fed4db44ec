"""A link to a server that is a program of ours to start: kept up, and spoken with line by line."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from typing_extensions import override

from flotilla import Unavailable
from master import rpc
from master.external.config import ServerEntry
from master.external.process import Process, Starter
from master.external.supervise import Standing, Supervisor, Up
from master.offer import Offer
from master.upstream.handshake.stdio import StdioSession
from master.upstream.incoming import Scrub
from master.upstream.lines.probing import LinesProbing
from master.upstream.link import Link, Listener


class ProgramLink(Link):
    """One program; its supervisor starts it anew with growing pauses, each time with a new session.

    `starter` starts it: beside the hub, or in a runner.
    """

    def __init__(self, name: str, entry: ServerEntry, starter: Starter, listener: Listener) -> None:
        self._name = name
        self._entry = entry
        self._starter = starter
        self._child: Process | None = None
        self._scrub: Scrub | None = None
        self._up: Up | None = None
        super().__init__(name, LinesProbing(name, self._transport, roots=entry.roots), listener)
        self._supervisor = Supervisor(name, open_child=self._opened, session=self._session)

    @property
    def standing(self) -> Standing:
        """How it stands; one whose session has ended is no longer running while it ends itself."""
        standing = self._supervisor.standing
        if standing.state == "running" and not self.connected:
            return standing.model_copy(update={"state": "backing_off", "reason": self.reason})
        return standing

    def start(self) -> None:
        """Start a program that waits for its next try, or for a setting that it lacked, now."""
        self._supervisor.start()

    @override
    async def run(self) -> None:
        """Keep the program up, for ever; cancel to end it, and everything that it started."""
        self._supervisor.start()
        try:
            await asyncio.Event().wait()
        finally:
            await self._supervisor.stop()

    @override
    def offered(self, offer: Offer) -> None:
        super().offered(offer)
        if self._up is not None:
            self._up()
            self._up = None

    @asynccontextmanager
    async def _opened(self) -> AsyncGenerator[Process]:
        async with self._starter.open(self._name, self._entry) as started:
            self._scrub = started.scrub
            yield started.process

    async def _session(self, child: Process, up: Up) -> None:
        self._child, self._up = child, up
        problem = "the program ended its output"
        try:
            await self.speaker.hold(self)
        except rpc.RpcError as error:
            problem = f"it refused the session: {error.message} ({error.code})"
            raise Unavailable(problem) from None
        finally:
            self._child = None
            self.lost(problem)

    def _transport(self) -> StdioSession:
        assert self._child is not None, "a session has a program"
        return StdioSession(self._child, self._scrub)
