"""Answers read-only calls from what was answered before, until a call that may write comes by."""

import asyncio
from collections.abc import Callable

import structlog

from flotilla.resilience import Resilience
from master.caching.flights import Flight, Flights, Leading
from master.caching.frame import again, is_error, lasting, packed, unpacked
from master.caching.key import key_of
from master.caching.terms import group_of, is_plain, kept_s, may_hold
from master.call import TOOLS_CALL, Call, Stage
from master.meters import Meters
from master.result import Result
from master.state.seam import ResultCache

log = structlog.get_logger(__name__)

MAX_FAILED = 2
"""After so many calls that failed for the others too, each asks for itself: one by one the last
would wait for all before it."""
_JOINED = '{"joined":true}'


def cached(
    inner: Stage, cache: ResultCache, resilience: Callable[[str], Resilience], meters: Meters
) -> Stage:
    """Keep answers of tools that allow it, and let equal calls that come at once share one.

    A call of a tool that is not read-only drops what is kept of its namespace, however it ends.
    """
    answers = _Answers(inner, cache, meters)
    told: set[str] = set()

    async def stage(call: Call) -> Result:
        if call.method != TOOLS_CALL:
            return await inner(call)
        entry = call.resolved()
        settings = resilience(entry.service)
        if entry.only_reads:
            ttl_s = kept_s(entry, settings)
            if ttl_s > 0 and is_plain(call):
                return await answers.of(call, ttl_s)
            return await inner(call)
        if entry.name in settings.cache and entry.name not in told:
            told.add(entry.name)
            log.warning("cache_setting_ignored", tool=entry.name, reason="it is not read-only")
        if not may_hold(entry, settings):
            return await inner(call)
        try:
            return await inner(call)
        finally:
            await answers.drop(group_of(entry))

    return stage


class _Answers:
    """What is kept, and what is just being asked."""

    def __init__(self, inner: Stage, cache: ResultCache, meters: Meters) -> None:
        self._inner = inner
        self._cache = cache
        self._meters = meters
        self._flights = Flights()
        self._dropping: set[asyncio.Task[None]] = set()

    async def of(self, call: Call, ttl_s: float) -> Result:
        """The answer to a call, from wherever it comes first."""
        service, group, key = call.resolved().service, group_of(call.resolved()), key_of(call)
        failed = 0
        while failed < MAX_FAILED:
            # Asked anew each time: what was kept, or dropped, meanwhile counts.
            found = await self._cache.get(group, key)
            if not isinstance(found, int):
                texts = unpacked(found.body)
                if texts is None:
                    break
                self._meters.looked_up(service, "hit")
                return again(texts, f'{{"hit":true,"ageMs":{max(0, round(found.age_s * 1000))}}}')
            flight = self._flights.find(key, found)
            if flight is None:
                self._meters.looked_up(service, "miss")
                return await self._lead(call, group, key, found, ttl_s)
            await flight.followed(call)
            if flight.texts is not None:
                self._meters.looked_up(service, "joined")
                return again(flight.texts, _JOINED)
            if flight.outcome == "apart":
                break
            failed += flight.outcome == "failed"
        self._meters.looked_up(service, "miss")
        return await self._inner(call)

    async def drop(self, group: str) -> None:
        """Forget the group, though the caller be cancelled meanwhile."""
        try:
            await self._cache.drop(group)
        except asyncio.CancelledError:
            task = asyncio.create_task(self._cache.drop(group))
            self._dropping.add(task)
            task.add_done_callback(self._dropping.discard)
            raise

    async def _lead(
        self, call: Call, group: str, key: str, generation: int, ttl_s: float
    ) -> Result:
        """Ask the server, for all who ask the same until it has answered."""
        flight = self._flights.start(key, generation)
        hearer = call.hearer
        call.hearer = Leading(hearer, flight)
        try:
            result = await self._inner(call)
            await self._land(flight, result, group, key, generation, ttl_s)
            return result
        except asyncio.CancelledError:
            flight.end("left")
            raise
        finally:
            flight.end("failed")
            call.hearer = hearer
            self._flights.remove(key, generation, flight)

    async def _land(
        self, flight: Flight, result: Result, group: str, key: str, generation: int, ttl_s: float
    ) -> None:
        texts = lasting(result)
        if texts is None:
            flight.end("failed" if is_error(result) else "apart")
            return
        flight.land(texts)
        body = packed(texts)
        if body is not None:
            await self._cache.put(group, key, generation, body, ttl_s)
