"""Which of a provider's people were here lately, and with which roles: every hub may ask.

A call that waited for an approval runs when its caller's token, which lives for minutes, is long
gone. So the newest sight of them counts for a while, also after a restart.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from flotilla import Principal, Unavailable
from flotilla.database.database import Database
from master.database.tables import seen
from master.principals.tokens import text_of

log = structlog.get_logger(__name__)

LATELY = timedelta(hours=24)
"""As long as a result of theirs is kept."""
NOTE_AGAIN_S = 600.0
"""The same roles of the same person are written once in this time."""
MAX_PEOPLE = 10_000


class Seen:
    """Sights of people, by the names of their principals."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[str, tuple[float, tuple[str, ...]]] = {}

    async def note(self, principal: Principal, now: float) -> None:
        """A new token of theirs was good just now. One that cannot be written is only logged."""
        before = self._noted.get(principal.name)
        if before is not None and before[1] == principal.roles and now - before[0] < NOTE_AGAIN_S:
            return
        if len(self._noted) >= MAX_PEOPLE:
            self._noted.clear()
        self._noted[principal.name] = (now, principal.roles)
        try:
            await self._write(principal, datetime.fromtimestamp(now, UTC))
        except Unavailable as error:
            self._noted.pop(principal.name, None)
            log.warning("sight_not_written", reason=error.message)

    async def roles(self, name: str, now: float) -> frozenset[str] | None:
        """Those of their newest token; None for whom nobody saw lately. Unavailable."""
        asked = sa.select(seen).where(seen.c.principal == name)
        async with self._database.read() as connection:
            row = (await connection.execute(asked)).one_or_none()
        if row is None:
            return None
        at = datetime.fromisoformat(row.seen_at)
        gone = datetime.fromtimestamp(now, UTC) - at > LATELY
        return None if gone else frozenset(row.roles.split())

    async def _write(self, principal: Principal, at: datetime) -> None:
        own = seen.c.principal == principal.name
        values: dict[str, Any] = {"roles": " ".join(principal.roles), "seen_at": text_of(at)}
        old = seen.c.seen_at < text_of(at - LATELY)
        async with self._database.write() as connection:
            await connection.execute(sa.delete(seen).where(sa.or_(old, own)))
            await connection.execute(sa.insert(seen).values(principal=principal.name, **values))
