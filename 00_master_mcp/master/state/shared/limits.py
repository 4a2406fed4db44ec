"""Rates of callers that all hubs count together, each by one question to Redis."""

from flotilla.resilience import RateLimit
from master.state.embedded import EmbeddedLimits
from master.state.shared.line import Away
from master.state.shared.scripts import TAKE
from master.state.shared.store import Store


class SharedLimits:
    """While Redis is away each hub counts for itself."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._own = EmbeddedLimits()

    async def take(self, key: str, limit: RateLimit) -> float:
        interval_us = 60_000_000 / limit.per_minute
        try:
            wait_us = await self._store.run(
                TAKE, (f"flotilla:rate:{key}",), interval_us, limit.at_once
            )
        except Away:
            return await self._own.take(key, limit)
        return wait_us / 1e6
