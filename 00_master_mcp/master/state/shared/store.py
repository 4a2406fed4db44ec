"""The hub's way to Redis: held open, watched, and looked for while it is away."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Protocol

import structlog
from redis.asyncio.connection import AbstractConnection

from flotilla.redaction import Redactor
from master.state.shared.ear import Ear
from master.state.shared.line import Argument, Away, Line, is_theirs, reason_of
from master.state.shared.place import Place
from master.state.shared.scripts import TAKE, Script

log = structlog.get_logger(__name__)

CONNECT_S = 0.5
PAUSE_S = 0.25
"""Between two tries; with CONNECT_S, Redis is back within a second of its return."""
BEAT_S = 1.0
START_S = 1.0
LEAVE_S = 0.5


class Sharer(Protocol):
    """A part of the shared state, told of what becomes of the way to Redis."""

    def on_away(self) -> None: ...

    async def on_arrival(self, line: Line) -> None:
        """After the first beat, and before anybody else asks anything."""
        ...

    async def on_beat(self, line: Line) -> None:
        """About once a second while Redis is there."""
        ...

    async def on_leaving(self, line: Line) -> None:
        """The hub ends, and Redis is there."""
        ...


class Store:
    """`away` tells why Redis cannot be asked; nobody who asks while it is waits for anything."""

    def __init__(self, place: Place, *, hears: Callable[[str, bytes], None]) -> None:
        """`hears` is called with the channel and text of what hubs tell each other."""
        self._place = place
        self._redactor = Redactor(place.secrets)
        self._hears = hears
        self._sharers: list[Sharer] = []
        self._on_return: list[Callable[[], None]] = []
        self._line: Line | None = None
        self._away: str | None = "not connected yet"
        self._away_since: float | None = None
        self._tried = asyncio.Event()
        self._lost = asyncio.Event()
        self._ahead_s = time.time() - time.monotonic()
        self.channels = tuple(f"flotilla:{place.database}:{of}" for of in ("circuits", "news"))

    @property
    def away(self) -> str | None:
        return self._away

    def now(self) -> float:
        """Seconds by the clock of Redis, as far as this hub knows it: the same for all hubs."""
        return time.monotonic() + self._ahead_s

    def clock_is(self, server_s: float, asked_at: float) -> None:
        """What the clock of Redis said between `asked_at` and now, both of `time.monotonic`."""
        self._ahead_s = server_s - (asked_at + time.monotonic()) / 2

    def serve(self, sharer: Sharer) -> None:
        self._sharers.append(sharer)

    def on_return(self, hear: Callable[[], None]) -> None:
        self._on_return.append(hear)

    async def ask(self, *command: Argument) -> Any:
        """The answer; Away while Redis is."""
        if self._line is None:
            raise Away(self._away)
        return await self._line.ask(*command)

    async def run(self, script: Script, keys: Sequence[str], *arguments: Argument) -> Any:
        """What the script answers; Away while Redis is."""
        if self._line is None:
            raise Away(self._away)
        return await self._line.run(script, keys, *arguments)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Connected within, so far as Redis is there; waits a second for it at most."""
        keeper = asyncio.create_task(self._keep())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(START_S):
                    await self._tried.wait()
            yield
        finally:
            try:
                await self._leave()
            finally:
                # Whoever ends the hub may not wait for its goodbye.
                keeper.cancel()
                await asyncio.gather(keeper, return_exceptions=True)

    async def _leave(self) -> None:
        line = self._line
        if line is None:
            return
        with suppress(Away, TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                for sharer in self._sharers:
                    await sharer.on_leaving(line)

    async def _keep(self) -> None:
        while True:
            try:
                async with self._connected() as (line, ear):
                    await self._watch(line, ear)
            except Away as error:
                self._gone(str(error))
            except Exception as error:
                # The search never ends, whatever is found.
                if self._away_since is None and not is_theirs(error):
                    log.exception("shared_state_broken")
                self._gone(reason_of(error))
            finally:
                self._line = None
            await asyncio.sleep(PAUSE_S)

    @asynccontextmanager
    async def _connected(self) -> AsyncGenerator[tuple[Line, Ear]]:
        """Both connections, when all that shares has arrived; Away or another error if not."""
        self._lost.clear()
        # Each on its own: the end of the hub may come while they are closed.
        async with AsyncExitStack() as closing:
            async with asyncio.timeout(CONNECT_S):
                speaking = await self._connect(closing)
                hearing = await self._connect(closing)
                ear = Ear(hearing, self._hears, self._gone)
                closing.push_async_callback(ear.close)
                await ear.listen(self.channels)
                line = Line(speaking, self._gone)
                closing.push_async_callback(line.close)
                # One that may not be written to, or is full, is as good as away.
                await line.run(TAKE, ("flotilla:probe",), 1, 1)
                for sharer in self._sharers:
                    await sharer.on_beat(line)
                for sharer in self._sharers:
                    await sharer.on_arrival(line)
            yield line, ear

    async def _connect(self, closing: AsyncExitStack) -> AbstractConnection:
        connection = self._place.connection()
        # A server that hangs does not read the goodbye either.
        closing.push_async_callback(connection.disconnect, nowait=True)
        await connection.connect()
        return connection

    async def _watch(self, line: Line, ear: Ear) -> None:
        """Return when the way is lost."""
        self._here(line)
        while not self._lost.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._lost.wait()
                    return
            await ear.check()
            for sharer in self._sharers:
                await sharer.on_beat(line)

    def _here(self, line: Line) -> None:
        if self._lost.is_set():
            return
        self._line, self._away = line, None
        self._tried.set()
        since, self._away_since = self._away_since, None
        if since is None:
            return
        log.info("shared_state_back", away_s=round(time.monotonic() - since, 3))
        for hear in self._on_return:
            try:
                hear()
            except Exception:
                # Redis is back all the same, and the others want to know.
                log.exception("shared_state_return_failed")

    def _gone(self, reason: str) -> None:
        """From now on nobody asks; the log is told the first reason, `away` is the latest."""
        self._lost.set()
        self._line = None
        self._away = self._redactor.text(f"{self._place.where}: {reason}")
        self._tried.set()
        if self._away_since is None:
            self._away_since = time.monotonic()
            log.warning("shared_state_away", reason=self._away)
            for sharer in self._sharers:
                sharer.on_away()
