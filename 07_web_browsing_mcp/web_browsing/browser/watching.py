"""Keeps the browser's memory within bounds: beyond them its largest page ends, with its session."""

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

import structlog

from web_browsing.browser.engine import Engine
from web_browsing.browser.memory import measure
from web_browsing.browser.session import Session

EVERY_S = 1.0
BLAMED_S = 5.0
"""A page that crashes so soon after its process was ended was ended for its memory."""

_log = structlog.get_logger(__name__)


@dataclass
class Watch:
    engine: Engine
    max_memory_mb: int
    every_s: float = EVERY_S
    ended_at: float | None = None
    ended_mb: int = 0
    peak_mb: int = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(self.every_s)
            await self.look()

    async def look(self) -> None:
        """Measure once, and end the largest page where all together have too much.

        Which session a process is of, Chromium does not say: that its page crashed does.
        """
        running = self.engine.running
        if running is None:
            return
        usage = await asyncio.to_thread(measure, running.pid)
        self.peak_mb = max(self.peak_mb, usage.total_mb)
        if usage.total_mb <= self.max_memory_mb:
            return
        page = usage.largest_page()
        _log.warning("browser_too_large", total_mb=usage.total_mb, pid=page and page.pid)
        if page is None:
            self.engine.kill()
            return
        self.ended_at, self.ended_mb = monotonic(), page.bytes // (1024 * 1024)
        with suppress(ProcessLookupError):
            os.kill(page.pid, signal.SIGKILL)

    def crashed(self, session: Session) -> None:
        """A page of it ended by itself, or by `look`."""
        if self.ended_at is not None and monotonic() - self.ended_at < BLAMED_S:
            session.close(
                f"one of its pages took {self.ended_mb} MB, and the browser may have "
                f"{self.max_memory_mb} MB in all"
            )
