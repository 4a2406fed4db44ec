"""What the hub keeps going by, made once for each hub."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from flotilla.fleet import FleetConfig
from flotilla.metrics import Metrics
from flotilla.names import EXTERNAL
from flotilla.resilience import Resilience
from master.load import Load
from master.meters import Meters
from master.state.opened import open_state
from master.state.seam import SharedState
from master.steadiness.keeper import Keepers


@dataclass(frozen=True, slots=True)
class Steadiness:
    resilience: Callable[[str], Resilience]
    """The settings of a service or external server."""
    state: SharedState
    keepers: Keepers
    load: Load
    meters: Meters
    _doing: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    @classmethod
    def of(cls, fleet: FleetConfig, redis_url: str | None, metrics: Metrics) -> Self:
        """Misconfigured where the URL cannot be one of Redis."""
        state, meters = open_state(redis_url, fleet.hub), Meters(metrics.registry)
        meters.shared_state(lambda: state.away is None)
        keepers = Keepers(fleet.resilience, state.circuits, meters)
        return cls(fleet.resilience, state, keepers, Load(fleet.hub), meters)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with self.state.running(), self.load.running():
            yield

    def back(self, service: str) -> None:
        """The service was away and has answered: an open circuit need not wait any longer."""
        self._do(self.keepers.of(service).circuit.restored())

    def removed(self, service: str) -> None:
        """An external server has left, or will be another one: nothing of it is to be kept."""
        self.keepers.forget(service)
        self._do(self.state.cache.drop(f"{EXTERNAL}.{service}"))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """What nobody waits for; a task that nobody holds might be thrown away."""
        task = asyncio.create_task(work)
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)
