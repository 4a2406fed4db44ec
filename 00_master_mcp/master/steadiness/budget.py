"""How many retries a service may still be sent, so that a storm of failures stays a storm.

Each call earns a fraction of a retry, each retry costs one (the retry budget of Finagle and Envoy).
"""

from collections.abc import Callable
from time import monotonic

RESERVE = 10.0
"""Retries that a service with few calls may always have, over about ten seconds."""
WINDOW_S = 10.0


class RetryBudget:
    """`ratio` retries for each call, and the reserve besides; what is not used is lost in time."""

    def __init__(self, ratio: float, clock: Callable[[], float] = monotonic) -> None:
        self._ratio = ratio
        self._clock = clock
        self._earned = 0.0
        self._reserve = RESERVE if ratio else 0.0
        self._refilled_at = clock()

    def called(self) -> None:
        """One call was made, no retry."""
        if self._earned < RESERVE:
            self._earned += self._ratio

    def spend(self) -> bool:
        """Whether one more retry may be made, which is then counted."""
        if self._earned >= 1:
            self._earned -= 1
            return True
        if not self._ratio:
            return False
        now = self._clock()
        refill = (now - self._refilled_at) / WINDOW_S * RESERVE
        self._reserve = min(RESERVE, self._reserve + refill)
        self._refilled_at = now
        if self._reserve >= 1:
            self._reserve -= 1
            return True
        return False
