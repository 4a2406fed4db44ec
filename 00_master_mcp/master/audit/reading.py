"""Reads rows: pages of those that fit, the whole chain in pieces, and what is signed about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from flotilla.chain import COLUMNS, Head, Link, Signed
from flotilla.database.database import Database
from master.audit.lines import instant
from master.audit.steps import ANCHOR
from master.database.tables import audit, audit_marks

_LINK = (
    audit.c.number,
    audit.c.previous,
    audit.c.body,
    audit.c.hash,
    *(audit.c[column] for column in COLUMNS.values()),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which rows; None: whatever it is. `tool` may end in `.*`: all of a namespace."""

    since: datetime | None = None
    until: datetime | None = None
    kind: str | None = None
    principal: str | None = None
    tool: str | None = None
    outcome: str | None = None
    correlation_id: str | None = None

    def conditions(self) -> Sequence[sa.ColumnElement[bool]]:
        found: list[sa.ColumnElement[bool]] = []
        if self.since is not None:
            found.append(audit.c.at >= instant(self.since))
        if self.until is not None:
            found.append(audit.c.at < instant(self.until))
        exact = (
            (audit.c.kind, self.kind),
            (audit.c.principal, self.principal),
            (audit.c.outcome, self.outcome),
            (audit.c.correlation_id, self.correlation_id),
        )
        found.extend(column == wanted for column, wanted in exact if wanted is not None)
        if self.tool is not None and self.tool.endswith(".*"):
            found.append(audit.c.tool.startswith(self.tool[:-1], autoescape=True))
        elif self.tool is not None:
            found.append(audit.c.tool == self.tool)
        return found


class Rows:
    """Unavailable while the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def newest(
        self, wanted: Filter, many: int, before: int | None = None
    ) -> list[tuple[int, str]]:
        """Numbers and bodies of rows that fit, the newest first; those before a number."""
        asked = sa.select(audit.c.number, audit.c.body).where(*wanted.conditions())
        if before is not None:
            asked = asked.where(audit.c.number < before)
        async with self._database.read() as connection:
            found = await connection.execute(asked.order_by(audit.c.number.desc()).limit(many))
            return [(row.number, row.body) for row in found]

    async def links(self, after: int, many: int, wanted: Filter | None = None) -> list[Link]:
        """Rows as they are stored, the oldest first; those after a number."""
        asked = sa.select(*_LINK).where(audit.c.number > after).order_by(audit.c.number).limit(many)
        if wanted is not None:
            asked = asked.where(*wanted.conditions())
        async with self._database.read() as connection:
            found = await connection.execute(asked)
            return [_link(tuple(row)) for row in found]

    async def signed(self) -> Signed:
        """The anchor and the heads of all hubs, at one moment."""
        async with self._database.read() as connection:
            found = (await connection.execute(sa.select(audit_marks))).all()
            last = await connection.execute(sa.select(sa.func.max(audit.c.number)))
            newest: int | None = last.scalar_one()
        heads = [
            Head(row.name.partition(":")[0], row.number, row.hash, row.at, row.key, row.signature)
            for row in found
        ]
        anchor = next((head for head in heads if head.name == ANCHOR), None)
        return Signed(anchor, [head for head in heads if head.name != ANCHOR], newest or 0)


def _link(row: tuple[Any, ...]) -> Link:
    number, previous, body, row_hash, *columns = row
    return Link(number, previous, body, row_hash, dict(zip(COLUMNS, columns, strict=True)))
