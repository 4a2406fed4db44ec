"""One run for all who ask the same at the same time, whoever they are."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    waiting: int = 0


class Together(Generic[T]):
    """Runs the work of the first who asks; it ends early when nobody waits for it any more."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def run(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` returns or raises, of one's own or of whoever asked for `key` before."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight(asyncio.ensure_future(_awaited(work)))
            flight.task.add_done_callback(lambda done: self._landed(key, done))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._forget(key, flight.task)
                flight.task.cancel()

    async def close(self) -> None:
        """End what runs; those who wait are cancelled."""
        running = [flight.task for flight in self._flights.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _landed(self, key: Hashable, done: asyncio.Task[T]) -> None:
        self._forget(key, done)
        if not done.cancelled():
            # Whoever waited has it; where nobody did any more, asyncio would complain of it.
            done.exception()

    def _forget(self, key: Hashable, task: asyncio.Task[T]) -> None:
        flight = self._flights.get(key)
        if flight is not None and flight.task is task:
            del self._flights[key]


async def _awaited(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
