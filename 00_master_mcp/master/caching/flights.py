"""Equal calls that come at once: one of them asks the server, the others wait for its answer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

from typing_extensions import override

from flotilla import TimedOut
from master import rpc
from master.call import Call, Hearer, Relay
from master.streaming.splitter import Piece

Outcome = Literal["landed", "failed", "left", "apart"]
"""What became of the call that asked: `landed` with an answer for all, `failed`, `left` by its
caller, or answered with what is for its caller `apart`."""


class Flight:
    """One call that asks for several."""

    def __init__(self) -> None:
        self.texts: rpc.Texts | None = None
        """The answer for all, once it has landed."""
        self.outcome: Outcome | None = None
        self._ended = asyncio.Event()

    def land(self, texts: rpc.Texts) -> None:
        self.texts = texts
        self.end("landed")

    def end(self, outcome: Outcome) -> None:
        """Tell those who wait; only what is told first counts."""
        if self.outcome is None:
            self.outcome = outcome
            self._ended.set()

    async def followed(self, call: Call) -> None:
        """Return once it has ended; TimedOut when `call` cannot wait any longer."""
        try:
            async with asyncio.timeout(call.due().remaining_s()):
                await self._ended.wait()
        except TimeoutError:
            raise TimedOut(
                f"{call.resolved().name} was not answered before the call's deadline"
            ) from None


class Flights:
    """Those in the air, by what is asked."""

    def __init__(self) -> None:
        self._by_key: dict[tuple[str, int], Flight] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, key: str, generation: int) -> Flight | None:
        """The flight for the same question, asked since the last write."""
        return self._by_key.get((key, generation))

    def start(self, key: str, generation: int) -> Flight:
        flight = self._by_key[(key, generation)] = Flight()
        return flight

    def remove(self, key: str, generation: int, flight: Flight) -> None:
        """Nobody follows it any more."""
        if self._by_key.get((key, generation)) is flight:
            del self._by_key[(key, generation)]


class Leading(Relay):
    """Hears for the call that asks; an answer that is poured out to its client is nobody else's."""

    def __init__(self, hearer: Hearer, flight: Flight) -> None:
        super().__init__(hearer)
        self._flight = flight

    @override
    async def pour(self, pieces: AsyncIterator[Piece]) -> bool:
        # At once: a client may take its time to read, and the others would wait for it.
        self._flight.end("apart")
        return await self.hearer.pour(pieces)
