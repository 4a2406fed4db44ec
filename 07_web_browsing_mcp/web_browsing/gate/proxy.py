"""The proxy that all traffic goes through, of pages fetched and of the browser."""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from web_browsing.gate.counting import Ledger
from web_browsing.gate.looking import Looking
from web_browsing.gate.resolving import (
    TURNS,
    IsOurs,
    OwnAddresses,
    Resolve,
    Resolving,
    SystemResolver,
)
from web_browsing.gate.rules import Rules
from web_browsing.gate.upstream import Times, Upstream, trusting
from web_browsing.gate.visit import Gate, Visit, absolute
from web_browsing.gate.visitor import Visitor
from web_browsing.gate.wire import Wire

WAITING_TIMES: Final = 4
"""So many times what a visitor may have open at once is taken in to wait, or to be told no."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class Proxy:
    """Serves each visitor on a socket of their own; resolves, judges, pins, counts.

    `ca_file` holds authorities that are trusted beside the system's; OSError where it cannot be
    read. The other parameters are the outside world.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        ca_file: Path | None = None,
        resolve: Resolve | None = None,
        is_ours: IsOurs | None = None,
        times: Times | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        times = times or Times()
        resolving = Resolving(
            resolve or SystemResolver(), is_ours or OwnAddresses(), clock, times.lookup_s
        )
        self._looking = Looking()
        self._gate = Gate(
            rules, Upstream(resolving, trusting(ca_file), times), self._looking, times
        )
        self._turns = asyncio.Semaphore(TURNS)

    @property
    def spki_hash(self) -> str:
        """Base64 of the SHA-256 of the public key that all certificates of looked-into tunnels
        have, for Chromium's --ignore-certificate-errors-spki-list."""
        return self._looking.spki_hash

    async def judge(self, url: str) -> None:
        """Whether a visitor would be let through to an absolute URL just now; raises Refused.

        The name is looked up, and nothing is connected to.
        """
        scheme, host, port, _ = absolute(url)
        await self._gate.upstream.judge(self._gate.rules.place(scheme, host, port), self._turns)

    @asynccontextmanager
    async def serving(self, visitor: Visitor, listening: socket.socket) -> AsyncGenerator[None]:
        """Serve a visitor on a listening TCP or Unix socket; at the end all of it is closed."""
        served = _Served(self._gate, visitor)
        loop = asyncio.get_running_loop()
        create = (
            loop.create_unix_server if listening.family == socket.AF_UNIX else loop.create_server
        )
        server = await create(served.wire, sock=listening)
        try:
            yield
        finally:
            server.close()
            await served.close()


class _Served:
    """A visitor's connections."""

    def __init__(self, gate: Gate, visitor: Visitor) -> None:
        self._gate = gate
        self._ledger = Ledger(visitor, gate.times.slot_s)
        self._most = visitor.allowance.connections * WAITING_TIMES
        self._wires: set[Wire] = set()
        self._visits: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._closed = False

    def wire(self) -> Wire:
        return Wire(self._made, self._lost)

    async def close(self) -> None:
        self._closed = True
        # All at once and first of all: whoever waits for the rest may be cancelled himself.
        for visit in self._visits:
            visit.cancel()
        for wire in self._wires:
            wire.abort()
        await asyncio.gather(*self._visits, return_exceptions=True)
        # Until the loop has let go of the last descriptor.
        await self._empty.wait()

    def _made(self, wire: Wire) -> None:
        self._wires.add(wire)
        self._empty.clear()
        if self._closed or len(self._visits) >= self._most:
            wire.abort()
            return
        visit = asyncio.create_task(Visit(self._gate, self._ledger, wire).run())
        # Nobody is left who could be answered: what is under way for them, and a person's
        # decision that is waited for, is given up.
        wire.when_ended = visit.cancel
        self._visits.add(visit)
        visit.add_done_callback(self._done)

    def _lost(self, wire: Wire) -> None:
        self._wires.discard(wire)
        if not self._wires:
            self._empty.set()

    def _done(self, visit: asyncio.Task[None]) -> None:
        self._visits.discard(visit)
        if not visit.cancelled() and (error := visit.exception()) is not None:
            _log.error("gate_visit_failed", visitor=self._ledger.visitor.name, exc_info=error)
