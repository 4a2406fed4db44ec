"""Results kept in the hub's own memory: those used longest ago go first, bounded in bytes."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from master.state.seam import LARGEST_CACHED_BYTES, Cached

ENTRY_BYTES = 400
"""What an entry takes beside its key and body."""
MOST_GROUPS = 10_000


@dataclass(frozen=True, slots=True)
class _Kept:
    generation: int
    body: bytes
    at: float
    until: float
    size: int


class EmbeddedCache:
    def __init__(self, max_bytes: int, clock: Callable[[], float] = monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._bytes = 0
        self._generations: dict[str, int] = {}
        self._latest = 0
        # Of every group that was not dropped since it had this value.
        self._first = 0

    @property
    def size_bytes(self) -> int:
        return self._bytes

    async def get(self, group: str, key: str) -> Cached | int:
        generation = self._generations.get(group, self._first)
        place = (group, key)
        kept = self._kept.get(place)
        if kept is None:
            return generation
        now = self._clock()
        if kept.generation != generation or kept.until <= now:
            self._remove(place)
            return generation
        self._kept.move_to_end(place)
        return Cached(kept.body, now - kept.at)

    async def put(self, group: str, key: str, generation: int, body: bytes, ttl_s: float) -> None:
        if generation != self._generations.get(group, self._first):
            return
        if len(body) > LARGEST_CACHED_BYTES:
            return
        place = (group, key)
        self._remove(place)
        now = self._clock()
        size = len(body) + len(key) + ENTRY_BYTES
        self._kept[place] = _Kept(generation, body, now, now + ttl_s, size)
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._remove(next(iter(self._kept)))

    async def drop(self, group: str) -> None:
        self._latest += 1
        self._generations[group] = self._latest
        if len(self._generations) > MOST_GROUPS:
            # Whatever is kept of any group is lost with it, which is only slower.
            self.clear()

    def clear(self) -> None:
        """Nothing that was kept or asked for until now is found any more, in any group."""
        self._kept.clear()
        self._bytes = 0
        self._generations.clear()
        self._latest += 1
        self._first = self._latest

    def _remove(self, place: tuple[str, str]) -> None:
        kept = self._kept.pop(place, None)
        if kept is not None:
            self._bytes -= kept.size
