"""Tickets that were used: each is good once, at whichever hub process it is shown."""

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import delete, insert, select

from flotilla.database.database import Database
from master.approvals.asking.tickets import Ticket
from master.approvals.record import written
from master.approvals.service import now_utc
from master.database.tables import used_tickets as table


class UsedTickets:
    def __init__(self, database: Database, clock: Callable[[], datetime] = now_utc) -> None:
        self._database = database
        self._clock = clock

    async def use(self, ticket: Ticket) -> bool:
        """Use it up for good; False where somebody has. Unavailable while nobody can tell."""
        until = datetime.fromtimestamp(ticket.until, UTC)
        async with self._database.write() as connection:
            found = await connection.execute(select(table.c.id).where(table.c.id == ticket.id))
            if found.one_or_none() is not None:
                return False
            # Those that have expired are refused for that, and need not be known any more.
            await connection.execute(delete(table).where(table.c.until < written(self._clock())))
            await connection.execute(insert(table).values(id=ticket.id, until=written(until)))
        return True
