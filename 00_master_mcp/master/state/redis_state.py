"""Shared state of several hubs, in Redis; of each alone while Redis is away."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

from flotilla.fleet import HubLimits
from master.state.shared.cache import SharedCache
from master.state.shared.circuits import SharedCircuits
from master.state.shared.hubs import SharedHubs
from master.state.shared.limits import SharedLimits
from master.state.shared.news import SharedNews
from master.state.shared.place import place_of
from master.state.shared.store import Store


class RedisState:
    """Implements SharedState."""

    def __init__(self, url: str, hub: HubLimits) -> None:
        """ValueError, without a word of the URL, where it cannot be one of Redis."""
        place = place_of(url)
        self._secrets = place.secrets
        self._store = Store(place, hears=self._hear)
        circuits, self._news_channel = self._store.channels
        self._limits = SharedLimits(self._store)
        self._hubs = SharedHubs(self._store)
        self._circuits = SharedCircuits(self._store, circuits)
        self._news = SharedNews(self._store, self._news_channel, self._hubs.own_id)
        # Last: what is owed is paid right before others ask.
        self._cache = SharedCache(self._store, hub.cache_mb * 1024 * 1024)

    @property
    def limits(self) -> SharedLimits:
        return self._limits

    @property
    def circuits(self) -> SharedCircuits:
        return self._circuits

    @property
    def cache(self) -> SharedCache:
        return self._cache

    @property
    def hubs(self) -> SharedHubs:
        return self._hubs

    @property
    def news(self) -> SharedNews:
        return self._news

    @property
    def kind(self) -> Literal["redis"]:
        return "redis"

    @property
    def away(self) -> str | None:
        return self._store.away

    @property
    def secrets(self) -> tuple[str, ...]:
        return self._secrets

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with self._store.running():
            yield

    def _hear(self, channel: str, said: bytes) -> None:
        if channel == self._news_channel:
            self._news.hear(said)
        else:
            self._circuits.hear(said)
