"""Removes rows that are older than the settings say, a few at a time."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import structlog

from flotilla import Unavailable
from master.audit.book import Book

log = structlog.get_logger(__name__)

EVERY_S = 3600.0
BETWEEN_S = 0.05
"""Between two removals, so that calls whose rows are waited for get their turn."""


class Retention:
    """The first look is at the start; `now` tells the time of day."""

    def __init__(
        self,
        book: Book,
        days: float,
        *,
        every_s: float = EVERY_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._book = book
        self._kept = timedelta(days=days)
        self._every_s = every_s
        self._now = now

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        removing = asyncio.create_task(self._remove_on())
        try:
            yield
        finally:
            removing.cancel()
            await asyncio.wait({removing})

    async def remove(self) -> int:
        """Remove all that are too old; the number of the last one, 0 where there was none."""
        before, last = self._now() - self._kept, 0
        while (number := await self._book.remove_some(before)) is not None:
            last = number
            await asyncio.sleep(BETWEEN_S)
        if last:
            self._book.tell_removed(last)
        return last

    async def _remove_on(self) -> None:
        while True:
            try:
                await self.remove()
            except Unavailable as error:
                log.warning("audit_retention_waits", reason=error.message)
            except Exception:  # it looks again later
                log.exception("audit_retention_failed")
            await asyncio.sleep(self._every_s)
