"""A ticket is good once, whichever of the hubs that share a database it is shown to."""

import asyncio

import pytest

from master.approvals.asking.tickets import Ticket
from master.approvals.asking.used import UsedTickets

from ..conftest import Clock, OpenHub

pytestmark = pytest.mark.anyio


def ticket(name: str, clock: Clock, for_s: float = 60.0) -> Ticket:
    return Ticket(
        kind="allowed",
        approval="a",
        digest="d",
        principal="ann",
        party="p",
        until=clock().timestamp() + for_s,
        id=name,
    )


async def test_of_many_that_show_a_ticket_at_once_one_may_use_it(
    open_hub: OpenHub, clock: Clock
) -> None:
    async with open_hub("one") as one, open_hub("two") as two:
        used = [UsedTickets(hub.database, clock) for hub in (one, two)]
        for name in ("first", "second"):
            shown = ticket(name, clock)
            tries = [used[number % 2].use(shown) for number in range(30)]
            assert sorted(await asyncio.gather(*tries)) == [False] * 29 + [True]


async def test_a_ticket_stays_used_and_is_forgotten_once_it_has_expired(
    open_hub: OpenHub, clock: Clock
) -> None:
    async with open_hub() as hub:
        assert await UsedTickets(hub.database, clock).use(ticket("kept", clock))
    async with open_hub() as hub:
        used = UsedTickets(hub.database, clock)
        assert not await used.use(ticket("kept", clock))
        clock.on(seconds=61)
        # Who looks at the time first never comes here with it; so its row may go.
        assert await used.use(ticket("another", clock))
        assert await used.use(ticket("kept", clock))
