"""Starts servers as programs beside the hub."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial

from anyio import to_thread

from flotilla.logs import process_redactor
from master.external.config import ServerEntry
from master.external.launch import Launcher
from master.external.process import Started
from master.streaming.scrub import Scrubber


class Here:
    """`make` gives what starts programs on this machine; it is called once, and may block."""

    def __init__(self, make: Callable[[], Launcher]) -> None:
        self._make = make
        self._making: asyncio.Task[Launcher] | None = None

    async def launcher(self) -> Launcher:
        """What starts programs here; the machine is looked at before the first one."""
        making = self._making
        if making is None or (making.done() and (making.cancelled() or making.exception())):
            making = self._making = asyncio.create_task(to_thread.run_sync(self._make))
        return await asyncio.shield(making)

    @asynccontextmanager
    async def open(self, name: str, entry: ServerEntry) -> AsyncGenerator[Started]:
        launcher = await self.launcher()
        secrets = (await to_thread.run_sync(launcher.resolved, name, entry)).secrets
        process_redactor().learn(secrets)
        async with launcher.open(name, entry) as child:
            yield Started(child, partial(Scrubber, secrets) if secrets else None)
