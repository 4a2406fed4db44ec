"""What has to be done about approvals though nobody asks: tell the audit, end what is over."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import anyio
import structlog

from flotilla import Unavailable
from master.approvals.news import row_of
from master.approvals.runs import Runs
from master.approvals.service import ApprovalService
from master.audit.seam import Row

log = structlog.get_logger(__name__)

BEAT_S = 5.0
"""How often the table is looked at; a lease is good for twelve beats."""
RESUME_AFTER_S = 15.0
"""What was approved and has not begun for so long was decided at a hub that died since."""
ADOPT_AFTER_S = 60.0
"""What another hub has not told the audit for so long is told by this one."""
FORGET_EVERY = 60
"""In beats."""
_STOP_S = 5.0


class Upkeep:
    """Keeps the approvals of the database and of this process in order while it runs."""

    def __init__(self, service: ApprovalService, runs: Runs, *, beat_s: float = BEAT_S) -> None:
        self._service = service
        self._runs = runs
        self._beat_s = beat_s
        self._news = asyncio.Event()
        self._delivering = asyncio.Lock()
        self._away = False

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Within, stored calls run; what still does at the end is lost, and said to be."""
        self._service.running.on_news = self._news.set
        try:
            # A task group, since what it cancels lets a statement at the database end first.
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._beat)
                tasks.start_soon(self._tell)
                self._service.run = partial(self._runs.start, tasks)
                yield
                tasks.cancel_scope.cancel()
        finally:
            self._service.run = None
            with anyio.move_on_after(_STOP_S, shield=True):
                await self._end()

    async def turn(self, *, forget: bool = False) -> None:
        """One look at the table; Unavailable where the database is away."""
        service, now = self._service, self._service.clock()
        await service.running.write_ended()
        await service.running.renew()
        ended = await service.store.sweep(now, lambda each, state: row_of(each.held, state, at=now))
        for record in await service.store.left_over(now, RESUME_AFTER_S):
            if service.run is not None:
                service.run(record)
        if forget:
            settings = service.settings
            await service.store.forget(
                now - timedelta(seconds=settings.result_retention_s),
                now - timedelta(days=settings.retention_days),
            )
        if ended:
            self._news.set()

    async def deliver(self) -> None:
        """Tell the audit what it does not know; Unavailable where one of the two is away.

        A hub that dies between the two steps tells a row twice, none never; one that stops first
        goes through with both, if they come to an end.
        """
        service = self._service
        adopt_before = service.clock() - timedelta(seconds=ADOPT_AFTER_S)
        async with self._delivering:
            while news := await service.store.news(adopt_before):
                passing = asyncio.create_task(self._pass_on(news))
                try:
                    await asyncio.shield(passing)
                except asyncio.CancelledError:
                    # Between its two steps it would be told again.
                    with anyio.CancelScope(shield=True):
                        await asyncio.wait({passing}, timeout=_STOP_S)
                        passing.cancel()
                        await asyncio.wait({passing})
                    raise

    async def _pass_on(self, news: Sequence[tuple[int, Row]]) -> None:
        service = self._service
        keeping = (service.audit.keep(row) for _, row in news)
        ended = await asyncio.gather(*keeping, return_exceptions=True)
        failed = [each for each in ended if each is not None]
        numbers = [number for number, _ in news]
        kept = [number for number, each in zip(numbers, ended, strict=True) if each is None]
        if kept:
            await service.store.told(kept)
        if failed:
            raise failed[0]

    async def _end(self) -> None:
        with contextlib.suppress(Unavailable):  # the lease says the same later
            await self._service.running.write_ended()
            await self._service.running.lose()
            await self.deliver()

    async def _beat(self) -> None:
        beats = 0
        while True:
            try:
                await self.turn(forget=beats % FORGET_EVERY == 0)
                await self.deliver()
                self._said(None)
            except Unavailable as error:
                self._said(error.message)
            except Exception:
                log.exception("approvals_upkeep_failed")
            beats += 1
            await anyio.sleep(self._beat_s)

    async def _tell(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self.deliver()
            except Unavailable as error:
                self._said(error.message)
            except Exception:
                log.exception("approvals_not_audited")

    def _said(self, away: str | None) -> None:
        if away is not None and not self._away:
            log.warning("approvals_away", reason=away, meaning="no call that waits can be decided")
        elif away is None and self._away:
            log.info("approvals_back")
        self._away = away is not None
