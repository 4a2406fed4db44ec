"""The seam of shared state: one hub alone keeps it in its process, several share it in Redis.

Neither ever raises because its store is away: a hub that cannot reach it goes on by itself, warns
once, and shares again when it is back.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from flotilla.breaker import CircuitState
from flotilla.resilience import Breaker, RateLimit

LARGEST_CACHED_BYTES = 1024 * 1024
"""Of one result; a larger one is not kept."""


def usual_longest_s() -> float:
    return 300.0


class RateLimits(Protocol):
    """Calls by key at a steady rate with bursts (GCRA)."""

    async def take(self, key: str, limit: RateLimit) -> float:
        """0.0 where a call of `key` may go now, and is counted; else the seconds until one may."""
        ...


@dataclass(frozen=True, slots=True)
class CircuitView:
    """A circuit as people are told of it."""

    state: CircuitState
    failures: int = 0
    """In a row."""
    reason: str | None = None
    """Why the last one failed; None while there is no failure."""
    retry_after_s: float = 0.0
    """Of an open circuit: until the next call may probe the service."""


class Circuit(Protocol):
    """The breaker of one service."""

    @property
    def view(self) -> CircuitView:
        """As this hub knows it now, without asking the store."""
        ...

    async def admit(self, longest_s: Callable[[], float] = usual_longest_s) -> int:
        """A ticket for one call; CircuitOpen when the service rests or another call probes it.

        Give the ticket back exactly once, by one of the next three. If the call is the probe and
        its hub dies, its place is free again after `longest_s()`, the longest that it may take;
        of no other call it is asked.
        """
        ...

    async def succeeded(self, ticket: int) -> None: ...

    async def failed(self, ticket: int, reason: str) -> None: ...

    async def dropped(self, ticket: int) -> None:
        """The call ended without telling anything of the service, say because its caller left."""
        ...

    async def trip(self, reason: str) -> None:
        """Open it, whatever was counted: the health checks found the service away."""
        ...

    async def restored(self) -> None:
        """The service was away and is back, shown by a real exchange: the next call may probe it.

        So it may where a probe is out already: that one was sent before, perhaps into the void.
        """
        ...


class Circuits(Protocol):
    def of(self, service: str, breaker: Breaker) -> Circuit:
        """The circuit of a service; the same object for the same name."""
        ...

    def forget(self, service: str) -> None:
        """The service has left the fleet."""
        ...


@dataclass(frozen=True, slots=True)
class Cached:
    """What was kept, and for how long it has been, in seconds."""

    body: bytes
    age_s: float


class ResultCache(Protocol):
    """Results by key, in groups that are dropped as one. Bounded in bytes; the oldest go first."""

    async def get(self, group: str, key: str) -> Cached | int:
        """What is kept; else the generation of the group, which `put` wants back."""
        ...

    async def put(self, group: str, key: str, generation: int, body: bytes, ttl_s: float) -> None:
        """Keep it, unless the group was dropped since `get` told the generation."""
        ...

    async def drop(self, group: str) -> None:
        """Nothing that was kept or asked for until now is found any more."""
        ...


class Hubs(Protocol):
    """The hub processes of the fleet that live, by their IDs."""

    @property
    def own_id(self) -> str:
        """A token of letters, digits and dashes, new for each start."""
        ...

    async def announce(self, address: str) -> None:
        """From now on others reach this process at `address`, until it ends."""
        ...

    async def address_of(self, hub_id: str) -> str | None:
        """Where that process is reached; None when it is gone."""
        ...

    async def all(self) -> Mapping[str, str]:
        """The addresses of all that live, this one's among them, by ID."""
        ...


class News(Protocol):
    """What one hub tells the others; a hub that was away misses it."""

    async def tell(self, topic: str, text: str) -> None: ...

    def on(self, topic: str, hear: Callable[[str], None]) -> None:
        """Call `hear` with what other hubs tell (not with what this one told)."""
        ...

    def on_return(self, hear: Callable[[], None]) -> None:
        """Call `hear` when the store is back after it was away: news may have been missed."""
        ...


class SharedState(Protocol):
    @property
    def limits(self) -> RateLimits: ...

    @property
    def circuits(self) -> Circuits: ...

    @property
    def cache(self) -> ResultCache: ...

    @property
    def hubs(self) -> Hubs: ...

    @property
    def news(self) -> News: ...

    @property
    def kind(self) -> Literal["embedded", "redis"]: ...

    @property
    def away(self) -> str | None:
        """Why the store cannot be reached, without any password; None while it can."""
        ...

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be read outside: the password of the store."""
        ...

    def running(self) -> AbstractAsyncContextManager[None]:
        """Connected within, so far as the store is there; never waits long for it."""
        ...
