"""Keeps the browser's memory within bounds: beyond them its largest page ends, with its session."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import structlog

from web_browsing.browser.engine import Engine
from web_browsing.browser.memory import measure
from web_browsing.browser.session import Session
from web_browsing.browser.settling import devtools_of

if TYPE_CHECKING:
    from playwright.async_api import Page

EVERY_S = 1.0
RELIEVED_FROM = 0.7
"""Of the bound: from there on pages are made to let go what nothing refers to any more, which
Chromium by itself leaves until each of them has many times as much."""
RELIEVE_EVERY_S = 3.0
COLLECT_S = 2.0
GIVEN_BACK_S = 5.0
"""What an ended page had takes a while to be given back, and its session to be closed: so long no
other page is ended for it, unless the browser has FAR times what it may."""
FAR = 1.25
BLAMED_S = 5.0
"""A page that crashes so soon after its process was ended was ended for its memory."""

_log = structlog.get_logger(__name__)


@dataclass
class Watch:
    engine: Engine
    max_memory_mb: int
    sessions: Callable[[], Iterable[Session]]
    every_s: float = EVERY_S
    ended_at: float | None = None
    ended_mb: int = 0
    peak_mb: int = 0
    relieved_at: float | None = None
    relieving: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                await asyncio.sleep(self.every_s)
                await self.look()
        finally:
            if self.relieving is not None:
                self.relieving.cancel()

    async def look(self) -> None:
        """Measure once, and end the largest page where all together have too much.

        Which session a process is of, Chromium does not say: that its page crashed does.
        """
        running = self.engine.running
        if running is None:
            return
        usage = await asyncio.to_thread(measure, running.pid)
        self.peak_mb = max(self.peak_mb, usage.total_mb)
        if usage.total_mb > RELIEVED_FROM * self.max_memory_mb:
            self._relieve()
        if usage.total_mb <= self.max_memory_mb * (FAR if self._has_just_ended_one() else 1):
            return
        page = usage.largest_page()
        _log.warning("browser_too_large", total_mb=usage.total_mb, pid=page and page.pid)
        if page is None:
            self.engine.kill()
            return
        self.ended_at, self.ended_mb = monotonic(), page.bytes // (1024 * 1024)
        with suppress(ProcessLookupError):
            os.kill(page.pid, signal.SIGKILL)

    def _has_just_ended_one(self) -> bool:
        return self.ended_at is not None and monotonic() - self.ended_at < GIVEN_BACK_S

    def _relieve(self) -> None:
        """Begin to; nobody waits for it, as one that takes all there is takes it at once."""
        now = monotonic()
        if self.relieved_at is None or now - self.relieved_at >= RELIEVE_EVERY_S:
            self.relieved_at = now
            self.relieving = asyncio.create_task(_collect_garbage(self.sessions()))

    def crashed(self, session: Session) -> None:
        """A page of it ended by itself, or by `look`."""
        if self.ended_at is not None and monotonic() - self.ended_at < BLAMED_S:
            session.close(
                f"one of its pages took {self.ended_mb} MB, and the browser may have "
                f"{self.max_memory_mb} MB in all"
            )


async def _collect_garbage(sessions: Iterable[Session]) -> None:
    pages = [(session, page) for session in sessions for page in session.tabs.values()]
    await asyncio.gather(*(_collect_garbage_of(*each) for each in pages))


async def _collect_garbage_of(session: Session, page: "Page") -> None:
    from playwright.async_api import Error

    # A tab that goes away or does not answer keeps what it has.
    with suppress(Error, TimeoutError):
        async with asyncio.timeout(COLLECT_S):
            devtools: Any = await devtools_of(session, page)
            await devtools.send("HeapProfiler.collectGarbage")
