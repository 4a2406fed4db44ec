"""Every operation of a shared state, as a hub that may be alone takes them."""

from typing import Any

import pytest

from flotilla.errors import CircuitOpen
from flotilla.resilience import Breaker, RateLimit
from master.state.seam import Cached, SharedState

BREAKER = Breaker(failures=2, open_s=60)
FEW = RateLimit(per_minute=0.5, burst=2)
HANG_S = 0.25
"""The longest that anybody waits for a server that hangs."""
SLACK_S = 0.25
"""For a machine that is busy with other things."""


def warnings(told: list[Any]) -> list[str]:
    return [each["event"] for each in told if each["event"].startswith("shared_state")]


async def is_kept(hub: SharedState, group: str = "os.linux") -> bool:
    return isinstance(await hub.cache.get(group, "a"), Cached)


async def keep(hub: SharedState, group: str = "os.linux") -> None:
    generation = await hub.cache.get(group, "a")
    assert isinstance(generation, int)
    await hub.cache.put(group, "a", generation, b"1", 60)


async def every_operation(hub: SharedState, tag: str) -> None:
    """None of them raises, and each does what a hub alone can do."""
    assert await hub.limits.take(tag, FEW) == 0.0
    assert await hub.limits.take(tag, FEW) == 0.0
    assert await hub.limits.take(tag, FEW) > 0.0
    circuit = hub.circuits.of(tag, BREAKER)
    await circuit.succeeded(await circuit.admit())
    for _ in range(2):
        await circuit.failed(await circuit.admit(), "refused")
    with pytest.raises(CircuitOpen):
        await circuit.admit()
    await circuit.restored()
    await circuit.dropped(await circuit.admit())
    await circuit.succeeded(await circuit.admit())
    await circuit.trip("away")
    await keep(hub, tag)
    assert await is_kept(hub, tag)
    await hub.cache.drop(tag)
    assert not await is_kept(hub, tag)
    await hub.hubs.announce(f"http://{tag}")
    assert await hub.hubs.address_of(hub.hubs.own_id) == f"http://{tag}"
    assert (await hub.hubs.all())[hub.hubs.own_id] == f"http://{tag}"
    await hub.news.tell("lists", "text")
