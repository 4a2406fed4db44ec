"""The hub's own checks of a service, by real MCP requests: an HTTP 200 proves nothing.

One that fails them counts as away, though its connection stands, and is looked at until it answers.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from time import monotonic, perf_counter

import structlog

from flotilla import FlotillaError, TimedOut
from flotilla.resilience import HealthCheck
from master import rpc
from master.upstream.carrying import ended
from master.upstream.failure import Failure, judged
from master.upstream.health import Health
from master.upstream.link import Link, OneAtATime, Remote, Standing
from master.upstream.looking import EVERY_S, MOST, first_answer, pace_s

log = structlog.get_logger(__name__)

MAX_TAKEN_ON_TRUST = 2
"""Checks in a row for which a call's answer stands in: calls do not say what `/ready` says."""


def pause_s(check: HealthCheck, misses: int, jitter: Callable[[], float] = random.random) -> float:
    """Until the next check; one that failed is soon followed by another. Pure but for `jitter`."""
    return pace_s(jitter) if misses else check.every_s * (0.9 + jitter() / 5)


class Checks:
    """Checks one link, for as long as `run` runs. Nothing is ever given up for good."""

    def __init__(self, link: Link, check: HealthCheck) -> None:
        self._link = link
        self._check = check
        self._remote = link.speaker if isinstance(link.speaker, Remote) else None
        self._single = link.speaker if isinstance(link.speaker, OneAtATime) else None
        self._on_trust = 0
        self._asked_at = 0.0

    async def run(self) -> None:
        """For ever; cancel to end."""
        while True:
            try:
                await self._watch_over()
            except Exception:  # the top-level handler: a fault of ours must not end the checks
                log.exception("health_check_broke", upstream=self._link.service)
                await asyncio.sleep(self._check.every_s)

    async def _watch_over(self) -> None:
        link, misses = self._link, 0
        while True:
            await link.up()
            doubted = await link.doubted(pause_s(self._check, misses))
            if doubted:
                # However many calls fail, it is not asked more often for it.
                await asyncio.sleep(self._asked_at + EVERY_S - monotonic())
            if not link.connected or (self._single is not None and self._single.working()):
                misses = 0
                continue
            if not doubted and not misses and self._taken_on_trust():
                continue
            missed = await self._missed(misses)
            misses = misses + 1 if missed else 0
            if missed and misses < self._check.failures:
                log.info("health_check_missed", upstream=link.service, reason=missed.reason)
            elif missed and link.connected:
                link.hung(_did_not_answer(self._check, missed))
                await self._until_back()
                misses = 0

    def _taken_on_trust(self) -> bool:
        """Whether a call was answered since the last check, which says as much as a check."""
        fresh = monotonic() - self._link.answered_at < self._check.every_s
        healthy = self._link.health.status == "healthy"
        if not fresh or not healthy or self._on_trust >= MAX_TAKEN_ON_TRUST:
            self._on_trust = 0
            return False
        self._on_trust += 1
        return True

    async def _missed(self, misses: int) -> Failure | None:
        """Ask once; None where it has answered, with whatever."""
        link, started = self._link, perf_counter()
        self._asked_at = monotonic()
        reason: str | None = None
        try:
            async with asyncio.timeout(self._check.timeout_s):
                if misses and self._remote is not None:
                    # The connections that are kept may be dead without telling.
                    if await self._remote.look(self._check.timeout_s) != "whole":
                        link.renew()
                else:
                    reason = await link.speaker.probe(self._check.timeout_s)
        except TimeoutError:
            return judged(TimedOut(f"{link.service} did not answer a health check"))
        except (FlotillaError, rpc.RpcError) as error:
            failure = judged(error)
            if not failure.proves_alive:
                return failure
            reason = failure.reason
        latency_ms = round((perf_counter() - started) * 1000, 2)
        status = "unhealthy" if reason else "healthy"
        link.checked(Health(status, reason, latency_ms, datetime.now(UTC)))
        return None

    async def _until_back(self) -> None:
        """Look at a server that hangs until it answers, or its connection ends after all."""
        link = self._link
        limit_s = self._check.timeout_s
        # Slower than usual where that keeps each look open for as long as it may take.
        looks = first_answer(self._look, lambda: max(pace_s(), 1.1 * limit_s / MOST))
        looking = asyncio.create_task(looks)
        settling = asyncio.create_task(link.hung_no_more())
        try:
            await asyncio.wait({looking, settling}, return_when=asyncio.FIRST_COMPLETED)
            if settling.done():
                return
            standing, _ = looking.result()
            if standing != "dead":
                link.returned()
            if standing != "whole":
                link.renew()
                await settling
        finally:
            await ended(looking, settling)

    async def _look(self) -> Standing:
        """How what is held stands; raises where the server does not answer."""
        limit_s = self._check.timeout_s
        try:
            async with asyncio.timeout(limit_s):
                if self._remote is not None:
                    return await self._remote.look(limit_s)
                await self._link.speaker.probe(limit_s)
        except TimeoutError:
            raise TimedOut(f"{self._link.service} did not answer a health check") from None
        except (FlotillaError, rpc.RpcError) as error:
            if judged(error).proves_alive:
                return "dead" if self._remote else "whole"
            raise
        return "whole"


def _did_not_answer(check: HealthCheck, last: Failure) -> str:
    """As people and the log read it."""
    if last.kind == "timeout":
        times = f"{check.failures} health checks" if check.failures > 1 else "a health check"
        return f"did not answer {times} within {check.timeout_s:g} s"
    return f"failed {check.failures} health checks: {last.reason}"
