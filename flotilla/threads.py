"""A bounded pool of threads for SDKs that only know how to block.

    threads = Threads(16, "Google Cloud")
    found = await threads.run(context.deadline, client.get, request, timeout=20)

A thread cannot be stopped from outside: a call that is cancelled or whose deadline passes stops
waiting at once, and its place is free again; the thread itself ends when the SDK's own timeout
ends it, which each call must therefore set. So that a dead provider does not gather threads
without end, no more than `abandoned` may be in that state: then calls are told so at once.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

from flotilla.context import Deadline
from flotilla.errors import RateLimited, TimedOut, Unavailable

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """`places` calls at once, `waiting` more that wait for a place."""

    def __init__(
        self, places: int, provider: str, *, waiting: int = 64, abandoned: int | None = None
    ) -> None:
        self._provider = provider
        self._places = asyncio.Semaphore(places)
        self._most_waiting = waiting
        self._most_abandoned = places if abandoned is None else abandoned
        self._waiting = 0
        self._abandoned = 0

    @property
    def abandoned(self) -> int:
        """Threads that still run though nobody waits for them."""
        return self._abandoned

    async def run(
        self, due: Deadline, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What `function` returns or raises, on a thread of its own.

        Raises TimedOut when `due` comes first, RateLimited when too many wait already,
        Unavailable when too many earlier calls hang in the provider.
        """
        if self._abandoned >= self._most_abandoned:
            raise Unavailable(
                f"{self._abandoned} earlier calls still hang in {self._provider}",
                hint="It does not answer; try again in a minute.",
            )
        if self._places.locked() and self._waiting >= self._most_waiting:
            raise RateLimited(
                f"too many calls wait for {self._provider}",
                retry_after_ms=1000,
                hint="Ask for less at once.",
            )
        try:
            async with asyncio.timeout(due.remaining_s()):
                self._waiting += 1
                try:
                    await self._places.acquire()
                finally:
                    self._waiting -= 1
                try:
                    return await self._on_thread(lambda: function(*args, **kwargs))
                finally:
                    self._places.release()
        except TimeoutError:
            raise TimedOut(f"{self._provider} did not answer in time") from None

    async def _on_thread(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if done.cancelled():
                self._abandoned -= 1
            elif error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type]

        def run() -> None:
            result: T | None = None
            error: BaseException | None = None
            try:
                result = work()
            except BaseException as raised:  # noqa: BLE001 - it is raised where it is waited for
                error = raised
            # A loop that has closed has nobody left who waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, result, error)

        # Daemons: one that hangs in a provider does not hold up the end of the process.
        threading.Thread(target=run, name=f"{self._provider}-call", daemon=True).start()
        try:
            return await done
        except asyncio.CancelledError:
            if done.cancelled():
                self._abandoned += 1
            raise
