"""Whichever of several speakers is the right one for the connection that stands now."""

from master.call import Call
from master.result import Result
from master.upstream.link import Speaker, Told
from master.upstream.transport.client import unreachable


class Chosen:
    """Passes everything on to the speaker that is held; `hold` is for who chooses to write."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._spoken: Speaker | None = None
        self._watched: frozenset[str] = frozenset()
        self._level: str | None = None

    @property
    def spoken(self) -> Speaker | None:
        """Which one that is now; None while no connection stands."""
        return self._spoken

    async def send(self, call: Call) -> Result:
        return await self._now().send(call)

    async def probe(self, timeout_s: float) -> str | None:
        return await self._now().probe(timeout_s)

    def watch(self, uris: frozenset[str]) -> None:
        self._watched = uris
        if self._spoken is not None:
            self._spoken.watch(uris)

    async def watched(self) -> None:
        if self._spoken is not None:
            await self._spoken.watched()

    async def log_level(self, level: str) -> None:
        self._level = level
        if self._spoken is not None:
            await self._spoken.log_level(level)

    async def _speak(self, speaker: Speaker, told: Told) -> None:
        """Hold this one, from now on with what was asked of those before it."""
        self._spoken = speaker
        speaker.watch(self._watched)
        if self._level is not None:
            await speaker.log_level(self._level)
        await speaker.hold(told)

    def _now(self) -> Speaker:
        if self._spoken is None:
            raise unreachable(self._service)
        return self._spoken
