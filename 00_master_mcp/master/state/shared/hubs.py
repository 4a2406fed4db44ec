"""Which hub processes live, by keys that expire unless their hub renews them each second."""

import time
from collections.abc import Mapping

from master.state.embedded import new_hub_id
from master.state.shared.line import Away, Line
from master.state.shared.scripts import BEAT, LEAVE
from master.state.shared.store import Store

HUBS = "flotilla:hubs"
HUB = "flotilla:hub:"
TTL_MS = 5_000


class SharedHubs:
    """While Redis is away, those that lived when it was last asked are taken to live on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._own_id = new_hub_id()
        self._address: str | None = None
        self._known: dict[str, str] = {}
        store.serve(self)

    @property
    def own_id(self) -> str:
        return self._own_id

    async def announce(self, address: str) -> None:
        self._address = address
        try:
            await self.refresh(self._store)
        except Away:
            return

    async def address_of(self, hub_id: str) -> str | None:
        if hub_id == self._own_id:
            return self._address
        try:
            address = await self._store.ask("GET", HUB + hub_id)
        except Away:
            return self._known.get(hub_id)
        return None if address is None else address.decode()

    async def all(self) -> Mapping[str, str]:
        try:
            await self.refresh(self._store)
        except Away:
            own = {} if self._address is None else {self._own_id: self._address}
            return {**self._known, **own}
        return dict(self._known)

    async def refresh(self, line: Line | Store) -> None:
        asked_at = time.monotonic()
        seconds, micros, *others = await line.run(
            BEAT, (HUBS,), HUB, self._own_id, self._address or "", TTL_MS
        )
        self._store.clock_is(int(seconds) + int(micros) / 1e6, asked_at)
        told = [each.decode() for each in others]
        self._known = dict(zip(told[::2], told[1::2], strict=True))

    def on_away(self) -> None:
        pass

    async def on_arrival(self, line: Line) -> None:
        pass

    async def on_beat(self, line: Line) -> None:
        await self.refresh(line)

    async def on_leaving(self, line: Line) -> None:
        # First, so that no beat that is on its way announces it again.
        self._address = None
        await line.run(LEAVE, (HUBS, HUB + self._own_id), self._own_id)
