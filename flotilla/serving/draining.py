"""Lets running calls end before a service stops, and takes no new ones meanwhile."""

from typing import Self

import anyio

from flotilla.errors import Unavailable


class Drain:
    """Counts the calls that run; once closed, further ones are refused as `unavailable`."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._running = 0
        self._closed = False
        self._idle = anyio.Event()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def running(self) -> int:
        return self._running

    def call(self) -> Self:
        """Count one call, for `with`; Unavailable when the service is stopping."""
        if self._closed:
            raise Unavailable(f"{self._service} is stopping", hint="Call again in some seconds.")
        return self

    def __enter__(self) -> None:
        self._running += 1

    def __exit__(self, *_: object) -> None:
        self._running -= 1
        if self._closed and self._running == 0:
            self._idle.set()

    async def close(self, grace_s: float) -> int:
        """Refuse new calls, wait at most `grace_s` for the running ones; how many still run."""
        self._closed = True
        if self._running:
            with anyio.move_on_after(grace_s):
                await self._idle.wait()
        return self._running
