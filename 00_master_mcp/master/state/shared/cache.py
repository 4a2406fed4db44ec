"""Results that all hubs keep together."""

from contextlib import suppress
from hashlib import blake2b

from master.state.memory import EmbeddedCache
from master.state.seam import LARGEST_CACHED_BYTES, Cached
from master.state.shared.line import Away, Line
from master.state.shared.scripts import DROP, GET, PUT
from master.state.shared.store import Store

GENERATION_MS = 86_400_000
"""A group that nobody asks about is forgotten, and with it what was kept of it."""

MOST_ON_THE_WAY = 4 * 1024 * 1024
"""Bytes; more would hold up the questions behind them so long that Redis seemed away."""


class SharedCache:
    """While Redis is away each hub keeps results for itself, and begins with none."""

    def __init__(self, store: Store, max_bytes: int) -> None:
        self._store = store
        self._own = EmbeddedCache(max_bytes)
        self._on_the_way = 0
        self._owed = set[str]()
        """Groups that were dropped while Redis could not be told; it is before it is asked."""
        store.serve(self)

    async def get(self, group: str, key: str) -> Cached | int:
        try:
            found = await self._store.run(
                GET, (_generation_key(group), _result_key(group, key)), GENERATION_MS
            )
        except Away:
            return await self._own.get(group, key)
        if isinstance(found, int):
            return found
        body, age_us = found
        return Cached(body, age_us / 1e6)

    async def put(self, group: str, key: str, generation: int, body: bytes, ttl_s: float) -> None:
        if len(body) > LARGEST_CACHED_BYTES or self._on_the_way + len(body) > MOST_ON_THE_WAY:
            return
        keys = (_generation_key(group), _result_key(group, key))
        ttl_ms = max(1, int(ttl_s * 1000))
        self._on_the_way += len(body)
        try:
            await self._store.run(PUT, keys, generation, body, ttl_ms)
        except Away:
            # A generation that Redis told is none of ours, and then nothing is kept.
            await self._own.put(group, key, generation, body, ttl_s)
        finally:
            self._on_the_way -= len(body)

    async def drop(self, group: str) -> None:
        await self._own.drop(group)
        with suppress(Away):
            await self._tell(self._store, group)

    def on_away(self) -> None:
        self._own.clear()

    async def on_arrival(self, line: Line) -> None:
        await self._pay(line)

    async def on_beat(self, line: Line) -> None:
        await self._pay(line)

    async def on_leaving(self, line: Line) -> None:
        await self._pay(line)

    async def _pay(self, line: Line) -> None:
        while self._owed:
            await self._tell(line, self._owed.pop())

    async def _tell(self, line: Line | Store, group: str) -> None:
        is_told = False
        try:
            await line.run(DROP, (_generation_key(group),), GENERATION_MS)
            is_told = True
        finally:
            # Redis may be away, and the caller may leave at any time.
            if not is_told:
                self._owed.add(group)


def _generation_key(group: str) -> str:
    return f"flotilla:generation:{group}"


def _result_key(group: str, key: str) -> str:
    # Arguments may be long, and nobody needs to read them in Redis.
    digest = blake2b(f"{len(group)}:{group}{key}".encode(), digest_size=20).hexdigest()
    return f"flotilla:result:{digest}"
