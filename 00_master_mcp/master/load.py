"""How much the hub has on its hands, and whether it can take one more call.

Refused is while too many calls are in the hub, while what they brought is too much to hold, or
while the hub is behind: then its event loop comes to everything late, and more calls would make
every one of them later still.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from random import random
from time import monotonic
from typing import Literal

import structlog

from flotilla.fleet import HubLimits

log = structlog.get_logger(__name__)

Why = Literal["calls", "bytes", "lag"]
"""What there is too much of."""

IN_FLIGHT_BYTES = 256 * 1024 * 1024
"""Of the texts of the requests in the hub together, counted in characters. One has at most 4 MiB,
and what was read of it takes about as much again."""
TICK_S = 0.1

_RISE, _FALL = 0.4, 0.1
"""How much of a tick's lateness goes into the measure: it rises sooner than it falls."""
_MOST_LATE = 2.0
"""A tick counts as late as this many limits at most: with `_RISE`, one long pause alone (of the
garbage collector, of the machine) never reaches the limit, two in a row do."""
_CALM = 0.5
"""Of its limit: the measure of lateness below which calls are taken again."""
_ROOM = 0.8
"""Of their limits: the calls and bytes below which an episode is over."""
_QUIET_S = 1.0
"""Without a refusal, before an episode is over."""
_FADE = 0.9
"""What a tick leaves of the count of those turned away lately: half of it in 0.7 seconds."""
_FIRST_MS, _MOST_MS = 500, 30_000


class Lateness:
    """A decaying measure of how late ticks come, with hysteresis. Pure."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self.level_s = 0.0
        self.too_late = False

    def ticked(self, late_s: float) -> None:
        """A tick came `late_s` after it was due."""
        counted_s = min(max(0.0, late_s), _MOST_LATE * self._limit_s)
        share = _RISE if counted_s > self.level_s else _FALL
        self.level_s += (counted_s - self.level_s) * share
        if self.too_late:
            self.too_late = self.level_s > self._limit_s * _CALM
        else:
            self.too_late = self.level_s > self._limit_s


def retry_after_ms(pressure: float, draw: float) -> int:
    """When one that is turned away may come again. `draw` of 0 to 1 spreads them.

    `pressure` is 1 at the limit, and one more for each time as many as the hub takes were turned
    away lately: twice as many that wait come back over twice the time.
    """
    return min(_MOST_MS, int(_FIRST_MS * max(1.0, pressure) * (0.5 + draw)))


class Load:
    """Counts what is in this hub process; `running` watches its clock.

    Stages add to `calls` and `held_bytes` what they let in, and take it out again, whatever
    happens: on the way of every call a method would cost more than the sum.
    """

    def __init__(
        self,
        limits: HubLimits,
        *,
        most_bytes: int = IN_FLIGHT_BYTES,
        clock: Callable[[], float] = monotonic,
        draw: Callable[[], float] = random,
    ) -> None:
        self.limits = limits
        self.calls = 0
        self.held_bytes = 0
        self.most_calls = limits.calls
        self.most_bytes = most_bytes
        self._lateness = Lateness(limits.lag_s)
        self._clock = clock
        self._draw = draw
        self._due_at: float | None = None
        self._turned_lately = 0.0
        self._turned = 0
        self._last_at = 0.0
        self._since: float | None = None
        """When the episode began that goes on, on the clock."""
        self.why: Why | None = None
        """Why the last call was turned away, while the episode goes on."""
        self.behind = False
        """Whether the hub's clock is too late for further calls."""

    @property
    def lag_s(self) -> float:
        """How late the hub is, in seconds, smoothed."""
        return self._lateness.level_s

    @property
    def overloaded(self) -> bool:
        """Whether calls are being turned away, or were a second ago."""
        return self._since is not None

    def refuses(self, size_bytes: int) -> Why | None:
        """Why a call of that size cannot be taken now."""
        if self.calls >= self.most_calls:
            return "calls"
        if self.behind:
            return "lag"
        return "bytes" if self.held_bytes + size_bytes > self.most_bytes else None

    def turn_away(self, why: Why) -> int:
        """Count one that is turned away: after how many milliseconds it may come again."""
        self.why, self._last_at = why, self._clock()
        self._turned += 1
        self._turned_lately += 1
        if self._since is None:
            self._since = self._last_at
            log.warning(
                "overloaded",
                reason=why,
                calls=self.calls,
                held_bytes=self.held_bytes,
                lag_ms=round(self.lag_s * 1e3),
            )
        pressure = self._lateness.level_s / self.limits.lag_s
        pressure = max(1.0, pressure) + self._turned_lately / self.most_calls
        return retry_after_ms(pressure, self._draw())

    def tick(self) -> None:
        """Look at the clock; `running` calls it every TICK_S."""
        now = self._clock()
        if self._due_at is not None:
            self._lateness.ticked(now - self._due_at)
            self.behind = self._lateness.too_late
        self._due_at = now + TICK_S
        self._turned_lately *= _FADE
        if self._since is not None and self._is_over(now):
            took_s = round(now - self._since, 1)
            log.info("overload_over", turned_away=self._turned, took_s=took_s)
            self._since, self.why, self._turned = None, None, 0

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Watch the clock within; outside, only calls and bytes count."""
        loop = asyncio.get_running_loop()

        def tick() -> None:
            nonlocal timer
            self.tick()
            timer = loop.call_later(TICK_S, tick)

        timer: asyncio.Handle = loop.call_soon(tick)
        try:
            yield
        finally:
            timer.cancel()
            self._due_at = None

    def _is_over(self, now: float) -> bool:
        return (
            not self.behind
            and self.calls < self.most_calls * _ROOM
            and self.held_bytes < self.most_bytes * _ROOM
            and now - self._last_at >= _QUIET_S
        )
