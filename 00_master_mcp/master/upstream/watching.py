"""Hears of changed resources from a server of 2026-07-28, by a listen stream of their own.

Such a stream cannot be changed, only opened anew. The next one is opened before the last is closed,
so that no change is lost between them; the stream that tells of changed lists is another one and
stays.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from flotilla import FlotillaError
from master import rpc

log = structlog.get_logger(__name__)

OPEN_S = 2.0
"""How long a server may take to acknowledge; then its stream is taken as it is."""
AGAIN_S = 1.0
"""How long to wait before a stream that ended is opened anew."""

Listen = Callable[[frozenset[str], Callable[[], None]], Awaitable[None]]
"""Reads a stream for these resources to its end, and calls back when it is acknowledged."""


class Watching:
    """The resources of one server that anyone wants to hear of."""

    def __init__(self, listen: Listen) -> None:
        self._listen = listen
        self._wanted: frozenset[str] = frozenset()
        self._heard: frozenset[str] = frozenset()
        """What the stream that is open tells of."""
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()

    def want(self, uris: frozenset[str]) -> None:
        self._wanted = uris
        if uris != self._heard:
            self._settled.clear()
        self._changed.set()

    async def settled(self) -> None:
        """Return once the server tells of all that is wanted, or has had its time."""
        try:
            async with asyncio.timeout(OPEN_S):
                await self._settled.wait()
        except TimeoutError:
            return

    async def run(self) -> None:
        """Keep a stream open as long as anything is wanted; cancel to end."""
        stream: asyncio.Task[None] | None = None
        try:
            while True:
                stream = await self._next(stream)
                changing = asyncio.create_task(self._changed.wait())
                try:
                    await asyncio.wait(
                        {changing} if stream is None else {changing, stream},
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                finally:
                    changing.cancel()
                if not changing.done():
                    self._heard = frozenset()
                    await asyncio.sleep(AGAIN_S)
        finally:
            self._heard = frozenset()
            if stream is not None:
                stream.cancel()
                await asyncio.wait({stream})

    async def _next(self, last: asyncio.Task[None] | None) -> asyncio.Task[None] | None:
        """The stream for what is wanted now, in place of the last one."""
        self._changed.clear()
        wanted = self._wanted
        if wanted == self._heard and (last is None or not last.done()):
            self._settled.set()
            return last
        following: asyncio.Task[None] | None = None
        if wanted:
            acknowledged = asyncio.Event()
            following = asyncio.create_task(self._read(wanted, acknowledged.set))
            waiting = asyncio.create_task(acknowledged.wait())
            try:
                await asyncio.wait(
                    {following, waiting}, timeout=OPEN_S, return_when=asyncio.FIRST_COMPLETED
                )
            except asyncio.CancelledError:
                following.cancel()
                raise
            finally:
                waiting.cancel()
        if last is not None:
            last.cancel()
            await asyncio.wait({last})
        self._heard = wanted
        if wanted == self._wanted:
            self._settled.set()
        return following

    async def _read(self, uris: frozenset[str], acknowledged: Callable[[], None]) -> None:
        try:
            await self._listen(uris, acknowledged)
        except (FlotillaError, rpc.RpcError) as error:
            log.info("resources_not_watched", count=len(uris), reason=str(error))
