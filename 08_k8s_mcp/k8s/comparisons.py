"""How often hidden values were compared with what a caller brought.

A comparison tells whether a guess was right. Whoever may only read must not find a value by
guessing it many times, so each object is compared so often an hour and no more.
"""

from collections import deque
from collections.abc import Callable
from time import monotonic

from flotilla import RateLimited

PER_HOUR = 60
HOUR_S = 3600.0
MAX_PLACES = 2000


class Comparisons:
    """Counts by object, in this process; `place` names one."""

    def __init__(self, clock: Callable[[], float] = monotonic, most: int = PER_HOUR) -> None:
        self._clock = clock
        self._most = most
        self._seen: dict[str, deque[float]] = {}

    def count(self, place: str, told: str) -> None:
        """One more. Raises RateLimited where there were too many within an hour."""
        now = self._clock()
        seen = self._seen.pop(place, deque[float]())
        while seen and seen[0] <= now - HOUR_S:
            seen.popleft()
        # Whoever comes last is kept longest.
        self._seen[place] = seen
        if len(self._seen) > MAX_PLACES:
            del self._seen[next(iter(self._seen))]
        if len(seen) >= self._most:
            wait_s = seen[0] + HOUR_S - now
            raise RateLimited(
                f"{told} has hidden values, and was compared {self._most} times within an hour",
                retry_after_ms=round(wait_s * 1000),
                hint="Whether a hidden value is the same can be asked so often alone.",
            )
        seen.append(now)
