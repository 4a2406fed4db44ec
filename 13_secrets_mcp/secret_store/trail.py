"""The trail: who did what to which secret when, never a value; written with the act itself.

Each entry is linked to the one before by an HMAC under a key of the store, so that an entry that
was changed, put in or taken out is found by whoever holds the master key.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, cast

import orjson
from sqlalchemy import Select, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla import InvalidArgument, Model, Page, decode_cursor, encode_cursor
from flotilla.database.database import Database
from secret_store.actor import Actor
from secret_store.keyring import Keyring
from secret_store.sealing import chained
from secret_store.stamps import Clock, Time
from secret_store.tables import trail

Act = Literal[
    "written",
    "generated",
    "rotated",
    "deleted",
    "allowed",
    "leased",
    "resolved",
    "revoked",
    "given",
    "ran",
    "revealed",
    "scanned",
    "rewrapped",
]
Outcome = Literal["done", "refused"]
_STEP = 1000
_LINKED = (
    "at",
    "act",
    "outcome",
    "reason",
    "path",
    "version",
    "principal",
    "tool",
    "given_to",
    "lease_id",
    "correlation_id",
)


class TrailEntry(Model):
    """One act; `outcome` is done or refused, with the reason."""

    seq: int
    at: Time
    act: str
    outcome: str
    reason: str | None = None
    path: str | None = None
    version: int | None = None
    principal: str
    tool: str
    given_to: str | None = None
    """The tool or service that may have it, or has it."""
    lease_id: str | None = None
    correlation_id: str


class Verified(Model):
    """What a check of the whole trail found; `broken_at` is the first entry that does not fit."""

    entries: int
    intact: bool
    broken_at: int | None = None


class Trail:
    """Entries are added in the write transaction of their act, one after the other."""

    def __init__(self, database: Database, keyring: Keyring, clock: Clock) -> None:
        self._database = database
        self._keyring = keyring
        self._clock = clock

    @asynccontextmanager
    async def act(self) -> AsyncGenerator[AsyncConnection]:
        """The transaction in which something is done and written down.

        The keys are opened before it begins: while it lasts, nobody else could write them.
        """
        await self._keyring.unlock()
        async with self._database.write() as transaction:
            yield transaction

    async def add(
        self,
        transaction: AsyncConnection,
        actor: Actor,
        act: Act,
        *,
        path: str | None = None,
        version: int | None = None,
        refused: str | None = None,
        given_to: str | None = None,
        lease_id: str | None = None,
    ) -> None:
        """`refused` is the reason why it was not done."""
        row = {
            "at": self._clock.now(),
            "act": act,
            "outcome": "done" if refused is None else "refused",
            "reason": refused,
            "path": path,
            "version": version,
            "principal": actor.principal,
            "tool": actor.tool,
            "given_to": given_to,
            "lease_id": lease_id,
            "correlation_id": actor.correlation_id,
        }
        before = await transaction.scalar(
            select(trail.c.link).order_by(trail.c.seq.desc()).limit(1)
        )
        link = chained(await self._keyring.trail_key(), str(before or ""), _linked(row))
        await transaction.execute(insert(trail), [{**row, "link": link}])

    async def last_done(
        self, connection: AsyncConnection, act: Act, path: str, given_to: str
    ) -> Mapping[str, Any] | None:
        """The newest entry of that act on that secret for that one, refused ones too."""
        found = await connection.execute(
            select(trail)
            .where(trail.c.path == path, trail.c.act == act, trail.c.given_to == given_to)
            .order_by(trail.c.seq.desc())
            .limit(1)
        )
        return cast("Mapping[str, Any] | None", found.mappings().one_or_none())

    async def query(
        self,
        *,
        path: str | None = None,
        principal: str | None = None,
        act: str | None = None,
        outcome: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int,
        cursor: str | None,
    ) -> Page[TrailEntry]:
        """Entries, the newest first."""
        asked: Select[Any] = select(trail).order_by(trail.c.seq.desc())
        for column, value in (
            (trail.c.path, path),
            (trail.c.principal, principal),
            (trail.c.act, act),
            (trail.c.outcome, outcome),
        ):
            if value is not None:
                asked = asked.where(column == value)
        if since is not None:
            asked = asked.where(trail.c.at >= since)
        if until is not None:
            asked = asked.where(trail.c.at < until)
        if cursor is not None:
            asked = asked.where(trail.c.seq < _position(cursor))
        async with self._database.read() as connection:
            rows = (await connection.execute(asked.limit(limit + 1))).mappings().all()
        entries = [
            TrailEntry(**{key: row[key] for key in TrailEntry.model_fields}) for row in rows[:limit]
        ]
        more = len(rows) > limit
        return Page[TrailEntry](
            items=entries,
            returned=len(entries),
            next_cursor=encode_cursor("trail", entries[-1].seq) if more else None,
            truncated=more,
        )

    async def verify(self) -> Verified:
        """Check every link, from the first entry on."""
        await self._keyring.unlock()
        key = await self._keyring.trail_key()
        before, last, count = "", 0, 0
        async with self._database.read() as connection:
            while True:
                found = await connection.execute(
                    select(trail).where(trail.c.seq > last).order_by(trail.c.seq).limit(_STEP)
                )
                rows = found.mappings().all()
                if not rows:
                    return Verified(entries=count, intact=True)
                for row in rows:
                    link = chained(key, before, _linked({name: row[name] for name in _LINKED}))
                    if link != row["link"]:
                        return Verified(entries=count, intact=False, broken_at=row["seq"])
                    before, last, count = link, int(row["seq"]), count + 1


def _linked(row: Mapping[str, Any]) -> bytes:
    return orjson.dumps([row[name] for name in _LINKED])


def _position(cursor: str) -> int:
    seq = decode_cursor("trail", cursor)
    if type(seq) is not int or not 0 <= seq < 2**63:
        raise InvalidArgument("cursor is not one that this tool gave out")
    return seq
