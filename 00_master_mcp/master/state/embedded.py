"""Shared state of a hub that is alone: all in its process, gone with it."""

import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from time import monotonic
from typing import Literal

from flotilla import breaker
from flotilla.breaker import CLOSED, Standing
from flotilla.fleet import HubLimits
from flotilla.gcra import arrival
from flotilla.resilience import Breaker, RateLimit
from master.state.memory import EmbeddedCache
from master.state.seam import CircuitView, usual_longest_s
from master.state.telling import refusal, told, viewed

FEWEST_SWEPT = 1024

Clock = Callable[[], float]


class EmbeddedLimits:
    """One number a caller; those that have rested long enough to start afresh are forgotten."""

    def __init__(self, clock: Clock = monotonic) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}
        self._sweep_at = FEWEST_SWEPT

    def __len__(self) -> int:
        return len(self._due)

    async def take(self, key: str, limit: RateLimit) -> float:
        now = self._clock()
        due, wait_s = arrival(self._due.get(key, 0.0), now, limit)
        if not wait_s:
            self._due[key] = due
            if len(self._due) > self._sweep_at:
                self._sweep(now)
        return wait_s

    def _sweep(self, now: float) -> None:
        # At twice the size that was left, so that a call pays for one forgotten key, not for all.
        self._due = {key: due for key, due in self._due.items() if due > now}
        self._sweep_at = max(FEWEST_SWEPT, 2 * len(self._due))


class EmbeddedCircuit:
    def __init__(self, service: str, settings: Breaker, clock: Clock) -> None:
        self._service = service
        self._settings = settings
        self._clock = clock
        self._standing = CLOSED

    @property
    def view(self) -> CircuitView:
        return viewed(self._standing, self._clock())

    async def admit(self, longest_s: Callable[[], float] = usual_longest_s) -> int:
        if self._standing.state == "closed":
            return self._standing.era
        now = self._clock()
        standing, ticket = breaker.admit(self._standing, now, longest_s())
        self._stand(standing)
        if ticket is None:
            raise refusal(self._service, self._standing, now)
        return ticket

    async def succeeded(self, ticket: int) -> None:
        self._stand(breaker.succeeded(self._standing, ticket))

    async def failed(self, ticket: int, reason: str) -> None:
        now = self._clock()
        self._stand(breaker.failed(self._standing, ticket, reason, now, self._settings))

    async def dropped(self, ticket: int) -> None:
        self._stand(breaker.dropped(self._standing, ticket, self._clock()))

    async def trip(self, reason: str) -> None:
        self._stand(breaker.tripped(self._standing, reason, self._clock(), self._settings))

    async def restored(self) -> None:
        self._stand(breaker.restored(self._standing, self._clock()))

    def _stand(self, standing: Standing) -> None:
        told(self._service, self._standing, standing)
        self._standing = standing


class EmbeddedCircuits:
    def __init__(self, clock: Clock = monotonic) -> None:
        self._clock = clock
        self._circuits: dict[str, EmbeddedCircuit] = {}

    def of(self, service: str, breaker: Breaker) -> EmbeddedCircuit:
        circuit = self._circuits.get(service)
        if circuit is None:
            circuit = self._circuits[service] = EmbeddedCircuit(service, breaker, self._clock)
        return circuit

    def forget(self, service: str) -> None:
        self._circuits.pop(service, None)


class EmbeddedHubs:
    """This process and no other."""

    def __init__(self, own_id: str | None = None) -> None:
        self._own_id = own_id or new_hub_id()
        self._address: str | None = None

    @property
    def own_id(self) -> str:
        return self._own_id

    async def announce(self, address: str) -> None:
        self._address = address

    async def address_of(self, hub_id: str) -> str | None:
        return self._address if hub_id == self._own_id else None

    async def all(self) -> Mapping[str, str]:
        return {} if self._address is None else {self._own_id: self._address}


def new_hub_id() -> str:
    return secrets.token_hex(8)


class EmbeddedNews:
    """There is nobody else to tell, and nothing that could be missed."""

    async def tell(self, topic: str, text: str) -> None:
        pass

    def on(self, topic: str, hear: Callable[[str], None]) -> None:
        pass

    def on_return(self, hear: Callable[[], None]) -> None:
        pass


class Embedded:
    """Implements SharedState."""

    def __init__(self, hub: HubLimits, *, clock: Clock = monotonic) -> None:
        self._limits = EmbeddedLimits(clock)
        self._circuits = EmbeddedCircuits(clock)
        self._cache = EmbeddedCache(hub.cache_mb * 1024 * 1024, clock)
        self._hubs = EmbeddedHubs()
        self._news = EmbeddedNews()

    @property
    def limits(self) -> EmbeddedLimits:
        return self._limits

    @property
    def circuits(self) -> EmbeddedCircuits:
        return self._circuits

    @property
    def cache(self) -> EmbeddedCache:
        return self._cache

    @property
    def hubs(self) -> EmbeddedHubs:
        return self._hubs

    @property
    def news(self) -> EmbeddedNews:
        return self._news

    @property
    def kind(self) -> Literal["embedded"]:
        return "embedded"

    @property
    def away(self) -> None:
        return None

    @property
    def secrets(self) -> tuple[str, ...]:
        return ()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        yield
