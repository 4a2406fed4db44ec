"""What the hub keeps going by, made once for each hub."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from flotilla.fleet import FleetConfig
from flotilla.metrics import Metrics
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
