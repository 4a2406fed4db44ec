"""The approvals in the hub's database.

Every change of a state is one conditional UPDATE in a transaction that also writes what the audit
is to be told: of two hubs that try, one changes the row and the other sees that it came too late.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla.database.database import Database
from master.approvals.news import row_in, text_of
from master.approvals.record import Record, body_of, record_of, written
from master.approvals.seam import State
from master.audit.seam import Row
from master.database.tables import approval_news, approvals

_MAX_AT_ONCE = 500
"""Rows that one turn of the upkeep changes."""

Telling = Callable[[Record], Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much may wait at the same time, and how much one principal may ask for in a minute."""

    pending: int
    pending_each: int
    asked_per_minute: int
    pending_chars_each: int


@dataclass(frozen=True, slots=True)
class TooMany:
    """Nothing was added; `retry_after_s` says when there may be room again."""

    said: str
    retry_after_s: float


class Store:
    """`hub` names this process: its leases, and the rows that it tells the audit."""

    def __init__(self, database: Database, hub: str) -> None:
        self._database = database
        self._hub = hub

    async def add(
        self, record: Record, bounds: Bounds, now: datetime, telling: Telling
    ) -> Record | TooMany:
        """Keep it; the equal one that is pending already comes back in its place."""
        held = record.held
        async with self._database.write() as connection:
            equal = await _one(
                connection,
                approvals.c.digest == held.digest,
                approvals.c.state == "pending",
                approvals.c.four_eyes == held.four_eyes,
                approvals.c.interactive == record.interactive,
                approvals.c.expires_at > written(now),
            )
            if equal is not None:
                return equal
            refused = await _room(connection, record, bounds, now)
            if refused is not None:
                return refused
            await connection.execute(insert(approvals).values(**_row_of(record)))
            await self._tell(connection, [telling(record)], now)
        return record

    async def get(self, approval_id: str) -> Record | None:
        async with self._database.read() as connection:
            return await _one(connection, approvals.c.id == approval_id)

    async def standing(self, digest: str, now: datetime) -> list[Record]:
        """Those of the digest that were allowed for a while that has not passed."""
        asked = select(approvals).where(
            approvals.c.digest == digest, approvals.c.allowed_until > written(now)
        )
        async with self._database.read() as connection:
            return [record_of(row) for row in await connection.execute(asked)]

    async def page(
        self,
        *,
        states: Collection[State] | None = None,
        tool: str | None = None,
        principal: str | None = None,
        before: tuple[str, str] | None = None,
        limit: int,
    ) -> list[Record]:
        """The latest first; `before` is asked_at and ID of the last of the page before."""
        asked = select(approvals)
        if states is not None:
            asked = asked.where(approvals.c.state.in_(states))
        if tool is not None:
            asked = asked.where(approvals.c.tool == tool)
        if principal is not None:
            asked = asked.where(approvals.c.principal == principal)
        if before is not None:
            at, last = before
            asked = asked.where(
                or_(
                    approvals.c.asked_at < at,
                    and_(approvals.c.asked_at == at, approvals.c.id < last),
                )
            )
        asked = asked.order_by(approvals.c.asked_at.desc(), approvals.c.id.desc()).limit(limit)
        async with self._database.read() as connection:
            return [record_of(row) for row in await connection.execute(asked)]

    async def change(
        self,
        approval_id: str,
        *conditions: ColumnElement[bool],
        values: Mapping[str, Any],
        now: datetime,
        telling: Telling,
    ) -> Record | None:
        """The row as it is after the change; None where it was not as the conditions say."""
        changing = update(approvals).where(approvals.c.id == approval_id, *conditions)
        async with self._database.write() as connection:
            done = await connection.execute(changing.values(**values).returning(approvals))
            row = done.one_or_none()
            if row is None:
                return None
            record = record_of(row)
            await self._tell(connection, [telling(record)], now)
        return record

    async def sweep(self, now: datetime, telling: Callable[[Record, str], Row]) -> list[Record]:
        """End what waited for too long, and what ran at a hub that says nothing any more."""
        over = and_(
            approvals.c.state.in_(("pending", "approved")), approvals.c.expires_at <= written(now)
        )
        gone = and_(approvals.c.state == "running", approvals.c.lease_until <= written(now))
        changes: list[tuple[State, ColumnElement[bool], dict[str, Any]]] = [
            ("expired", over, {"finished_at": written(now), "sealed": None}),
            ("lost", gone, {"finished_at": written(now), "sealed": None, "allowed_until": None}),
        ]
        ended: list[Record] = []
        for state, condition, values in changes:
            # Asked first, so that an idle hub takes no lock.
            async with self._database.read() as connection:
                found = await connection.execute(
                    select(approvals.c.id).where(condition).limit(_MAX_AT_ONCE)
                )
                ids = [row.id for row in found]
            if not ids:
                continue
            changing = update(approvals).where(approvals.c.id.in_(ids), condition)
            async with self._database.write() as connection:
                done = await connection.execute(
                    changing.values(state=state, **values).returning(approvals)
                )
                changed = [record_of(row) for row in done]
                await self._tell(connection, [telling(each, state) for each in changed], now)
            ended += changed
        return ended

    async def left_over(self, now: datetime, after_s: float) -> list[Record]:
        """Approved out of band some while ago, and not begun: whoever decided has died since."""
        asked = select(approvals).where(
            approvals.c.state == "approved",
            approvals.c.way != "elicitation",
            approvals.c.decided_at <= written(now - timedelta(seconds=after_s)),
            approvals.c.expires_at > written(now),
        )
        async with self._database.read() as connection:
            return [record_of(row) for row in await connection.execute(asked.limit(_MAX_AT_ONCE))]

    async def renew(self, ids: Collection[str], lease_until: datetime) -> None:
        """These run here still, whatever others took them for."""
        renewing = update(approvals).where(
            approvals.c.id.in_(ids),
            approvals.c.runner == self._hub,
            approvals.c.state.in_(("running", "lost")),
        )
        async with self._database.write() as connection:
            await connection.execute(
                renewing.values(state="running", lease_until=written(lease_until), finished_at=None)
            )

    async def forget(self, results_until: datetime, rows_until: datetime) -> None:
        """Drop results and rows of approvals that ended before these moments."""
        old = and_(
            approvals.c.result.is_not(None), approvals.c.finished_at <= written(results_until)
        )
        ancient = approvals.c.finished_at <= written(rows_until)
        async with self._database.read() as connection:
            asked = select(func.count()).select_from(approvals).where(or_(old, ancient))
            if not (await connection.execute(asked)).scalar_one():
                return
        async with self._database.write() as connection:
            await connection.execute(update(approvals).where(old).values(result=None))
            await connection.execute(delete(approvals).where(ancient))

    async def news(self, adopt_before: datetime) -> list[tuple[int, Row]]:
        """What this process is to tell the audit, and what others left for that long; in order."""
        asked = (
            select(approval_news)
            .where(
                or_(approval_news.c.hub == self._hub, approval_news.c.at <= written(adopt_before))
            )
            .order_by(approval_news.c.number)
            .limit(_MAX_AT_ONCE)
        )
        async with self._database.read() as connection:
            return [(row.number, row_in(row.body)) for row in await connection.execute(asked)]

    async def told(self, numbers: Sequence[int]) -> None:
        """The audit has these."""
        async with self._database.write() as connection:
            await connection.execute(
                delete(approval_news).where(approval_news.c.number.in_(numbers))
            )

    async def _tell(self, connection: AsyncConnection, rows: Sequence[Row], now: datetime) -> None:
        values = [{"hub": self._hub, "at": written(now), "body": text_of(row)} for row in rows]
        if values:
            await connection.execute(insert(approval_news), values)


def _row_of(record: Record) -> dict[str, Any]:
    held = record.held
    return {
        "id": held.id,
        "digest": held.digest,
        "state": held.state,
        "tool": held.tool,
        "service": held.service,
        "principal": held.principal.name,
        "four_eyes": held.four_eyes,
        "interactive": record.interactive,
        "asked_at": written(held.asked_at),
        "expires_at": written(held.expires_at),
        "body": body_of(held),
        "sealed": record.sealed,
        "sealed_chars": len(record.sealed or ""),
    }


async def _one(connection: AsyncConnection, *conditions: ColumnElement[bool]) -> Record | None:
    found = (await connection.execute(select(approvals).where(*conditions).limit(1))).one_or_none()
    return None if found is None else record_of(found)


async def _room(
    connection: AsyncConnection, record: Record, bounds: Bounds, now: datetime
) -> TooMany | None:
    """Why there is no room for one more."""
    name = record.held.principal.name
    mine = approvals.c.principal == name
    waiting = and_(approvals.c.state == "pending", approvals.c.expires_at > written(now))
    minute = approvals.c.asked_at > written(now - timedelta(minutes=1))

    async def figure(what: ColumnElement[Any], *conditions: ColumnElement[bool]) -> int:
        return int((await connection.execute(select(what).where(*conditions))).scalar_one() or 0)

    chars = await figure(func.sum(approvals.c.sealed_chars), waiting, mine)
    if await figure(func.count(), waiting, mine) >= bounds.pending_each:
        return TooMany(f"{name} has {bounds.pending_each} calls that wait for a person", 30.0)
    if chars + len(record.sealed or "") > bounds.pending_chars_each:
        return TooMany(f"the calls of {name} that wait for a person are too large together", 30.0)
    if await figure(func.count(), mine, minute) >= bounds.asked_per_minute:
        return TooMany(f"{name} asked {bounds.asked_per_minute} times within a minute", 60.0)
    if await figure(func.count(), waiting) >= bounds.pending:
        return TooMany(f"{bounds.pending} calls wait for a person", 30.0)
    return None
