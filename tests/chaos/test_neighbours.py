"""What happens to one service is not noticed at another."""

import asyncio

import pytest

from .fault_proxy import (
    BlackHole,
    Drip,
    Fault,
    Garbage,
    HalfOpen,
    Latency,
    Refuse,
    Reset,
    Truncate,
    Unaccepting,
)
from .house import Footprint, Ground, as_fast, mostly_real

pytestmark = pytest.mark.anyio

FAULTS: dict[str, tuple[Fault, set[str | None]]] = {
    "latency": (Latency(0.2, 0.05), {None}),
    "reset": (Reset(), {"unavailable"}),
    "reset_before_the_answer": (Reset(0), {"unavailable"}),
    "reset_amid_the_answer": (Reset(60), {"unavailable"}),
    "refused": (Refuse(), {"unavailable"}),
    "half_open": (HalfOpen(), {None, "timeout", "unavailable"}),
    "black_hole": (BlackHole(), {"timeout", "unavailable"}),
    "no_syn": (Unaccepting(), {"unavailable", "timeout"}),
    "drip": (Drip(60), {"timeout", "unavailable"}),
    "noise": (Garbage("noise"), {"upstream_error", "unavailable"}),
    "other_json": (Garbage("json"), {"upstream_error", "unavailable"}),
    "html": (Garbage("html"), {"upstream_error", "unavailable"}),
    "truncated": (Truncate(100), {"unavailable", "upstream_error"}),
}
"""Each fault with how calls of the broken service may end, beside `circuit_open`."""
LIMIT_S = 0.5
LATE_S = 0.15
"""What twenty answers at once may be late on a busy machine."""


async def stand_it(ground: Ground, fault: Fault, codes: set[str | None]) -> None:
    async with ground.site(trial={"timeout_s": LIMIT_S}) as site:
        await asyncio.gather(*(site.look("warm") for _ in range(20)))
        start = Footprint.now()
        alone_s = await site.beside()
        await site.proxy.suffer(fault)
        broken = [asyncio.create_task(site.look(f"{n}")) for n in range(20)]
        together_s = await site.beside()
        answers = await asyncio.gather(*broken)
        assert {each.code for each in answers} <= {*codes, "circuit_open"}
        assert max(each.took_s for each in answers) < LIMIT_S + LATE_S
        await site.proxy.heal()
        assert as_fast(together_s, alone_s, await site.beside())
        await site.settled(start)


@pytest.mark.parametrize(
    "name",
    mostly_real(FAULTS, "half_open"),
)
async def test_a_fault_is_answered_within_its_bound_and_its_neighbour_is_as_fast_as_ever(
    ground: Ground, name: str
) -> None:
    await stand_it(ground, *FAULTS[name])


@pytest.mark.parametrize("name", mostly_real(FAULTS))
async def test_so_it_is_where_hubs_share_redis_and_the_neighbour_has_postgresql(
    cluster: Ground, name: str
) -> None:
    await stand_it(cluster, *FAULTS[name])
