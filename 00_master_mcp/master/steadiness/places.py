"""The places of one service (a bulkhead): so many calls at once, and a short queue for more."""

import asyncio
import math
from collections import Counter, deque
from dataclasses import dataclass

from flotilla import Deadline, RateLimited, TimedOut
from flotilla.resilience import Places as Limits


@dataclass(slots=True, eq=False)
class _Waiting:
    principal: str
    turn: asyncio.Future[None]


class Places:
    """First come, first served, but nobody has more than their share of places or of the queue."""

    def __init__(self, service: str, limits: Limits) -> None:
        self._service = service
        self._limits = limits
        self._calls = limits.calls
        self._most = max(1, math.floor(limits.calls * limits.share))
        self._most_waiting = min(limits.waiting, max(1, math.floor(limits.waiting * limits.share)))
        self._held: dict[str, int] = {}
        self._queue: deque[_Waiting] = deque()
        self._queued: Counter[str] = Counter()
        self.in_flight = 0

    @property
    def waiting(self) -> int:
        return len(self._queue)

    def take(self, principal: str) -> bool:
        """A place, where one is free at once; give it back with `leave`."""
        held = self._held.get(principal, 0)
        if self.in_flight >= self._calls or held >= self._most:
            return False
        self.in_flight += 1
        self._held[principal] = held + 1
        return True

    async def wait(self, principal: str, deadline: Deadline) -> None:
        """A place, once one is free; give it back with `leave`.

        RateLimited when the queue is full or the wait takes too long, TimedOut at the deadline.
        """
        if (
            len(self._queue) >= self._limits.waiting
            or self._queued[principal] >= self._most_waiting
        ):
            raise self._full()
        waiting = _Waiting(principal, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._queued[principal] += 1
        left_s = deadline.remaining_s()
        try:
            async with asyncio.timeout(min(left_s, self._limits.wait_s)):
                await waiting.turn
        except BaseException as error:
            if waiting.turn.done() and not waiting.turn.cancelled():
                # The place was given in the very moment in which its taker gave up.
                self.leave(principal)
            else:
                self._queue.remove(waiting)
                self._unqueue(principal)
            if not isinstance(error, TimeoutError):
                raise
            if left_s <= self._limits.wait_s:
                why = f"{self._service} had no free place before the deadline"
                raise TimedOut(why) from None
            raise self._full() from None

    def leave(self, principal: str) -> None:
        """Give a place back; the first in the queue that may have it gets it."""
        self.in_flight -= 1
        held = self._held[principal] - 1
        if held:
            self._held[principal] = held
        else:
            del self._held[principal]
        for waiting in self._queue:
            if self.take(waiting.principal):
                self._queue.remove(waiting)
                self._unqueue(waiting.principal)
                waiting.turn.set_result(None)
                return

    def _unqueue(self, principal: str) -> None:
        self._queued[principal] -= 1
        if not self._queued[principal]:
            del self._queued[principal]

    def _full(self) -> RateLimited:
        return RateLimited(
            f"{self._service} has {self.in_flight} calls at work and {self.waiting} waiting",
            retry_after_ms=round(self._limits.wait_s * 1000),
            hint="Make fewer calls at once, or raise its places in services.yaml.",
        )
