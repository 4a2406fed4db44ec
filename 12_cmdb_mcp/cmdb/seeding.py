"""The classes in the database: the seeds put in at start, the catalogue read for each call."""

from typing import Any, cast

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.catalogue import Catalogue, CiClass
from cmdb.seed_classes import SEED_CLASSES
from cmdb.tables import ci_class


async def seed(connection: AsyncConnection) -> None:
    """Insert the seed classes that are missing; those that people changed stay as they are."""
    there = set((await connection.execute(select(ci_class.c.name))).scalars())
    missing = [row_of(seed_class) for seed_class in SEED_CLASSES if seed_class.name not in there]
    if missing:
        revision = await next_revision(connection)
        await connection.execute(
            insert(ci_class), [{**row, "revision": revision} for row in missing]
        )


def row_of(declared: CiClass) -> dict[str, Any]:
    return {
        "name": declared.name,
        "parent": declared.parent,
        "title": declared.title,
        "description": declared.description,
        "abstract": declared.abstract,
        "attribute_schema": dict(declared.attribute_schema),
        "revision": declared.revision,
    }


async def revision_of(connection: AsyncConnection) -> int:
    """The revision of the newest change to any class."""
    newest = await connection.execute(select(func.max(ci_class.c.revision)))
    return cast("int | None", newest.scalar()) or 0


async def next_revision(connection: AsyncConnection) -> int:
    return await revision_of(connection) + 1


class Catalogues:
    """The catalogue as a transaction sees it; read again only when a class has changed."""

    def __init__(self) -> None:
        self._newest: Catalogue | None = None

    async def at(self, connection: AsyncConnection) -> Catalogue:
        revision = await revision_of(connection)
        known = self._newest
        if known is not None and known.revision == revision:
            return known
        rows = await connection.execute(select(ci_class))
        fresh = Catalogue((CiClass(**row) for row in rows.mappings()), revision)
        if known is None or known.revision < revision:
            self._newest = fresh
        return fresh
