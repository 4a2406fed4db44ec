"""Look again when others may have changed a document, and now and then in case nobody said so."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager

import structlog

from flotilla.backoff import delay_s
from master.state.seam import News

log = structlog.get_logger(__name__)

START_S = 3.0
"""A store that has not answered within this is not waited for at start."""
REFRESH_S = 30.0
"""What one hub changed reaches the others within this, even if no news does."""
AWAY_CAP_S = 5.0
"""A store that is back is found within this."""

CatchUp = Callable[[], Awaitable[str | None]]


class Upkeep:
    """Calls `catch_up` again and again, which tells why the store cannot be used, None if it can.

    Its turns follow one another, and what is heard during one leads to another.
    """

    def __init__(self, catch_up: CatchUp, news: News | None, topics: Collection[str]) -> None:
        self._catch_up = catch_up
        self._heard = asyncio.Event()
        self._first = asyncio.Event()
        self.away: str | None = None
        """Why the store could not be used in the last turn."""
        if news is not None:
            for topic in topics:
                news.on(topic, lambda _text: self._heard.set())
            news.on_return(self._heard.set)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Kept up within; entered after the first turn, or before its end where that is late."""
        turning = asyncio.create_task(self._keep_up())
        try:
            with contextlib.suppress(TimeoutError):  # it goes on beside us
                async with asyncio.timeout(START_S):
                    await self._first.wait()
            yield
        finally:
            turning.cancel()
            await asyncio.wait({turning})

    async def _keep_up(self) -> None:
        failures = 0
        while True:
            self._heard.clear()
            try:
                away = await self._catch_up()
            except Exception:
                log.exception("documents_not_caught_up")
                away = "an error of ours, which the log tells"
            self._tell(away)
            self._first.set()
            failures = 0 if away is None else failures + 1
            pause_s = REFRESH_S if away is None else delay_s(failures, cap_s=AWAY_CAP_S)
            with contextlib.suppress(TimeoutError):  # nobody said anything, which is as usual
                async with asyncio.timeout(pause_s):
                    await self._heard.wait()

    def _tell(self, away: str | None) -> None:
        if away is not None and self.away is None:
            log.warning("documents_away", reason=away, meaning="what is known is used; no change")
        elif away is None and self.away is not None:
            log.info("documents_back")
        self.away = away
