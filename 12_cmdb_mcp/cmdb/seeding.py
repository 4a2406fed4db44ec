"""The classes in the database: the seeds put in at start, the catalogue read for each call."""

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.catalogue import Catalogue, CiClass
from cmdb.seed_classes import FORMER, SEED_CLASSES, mark_of
from cmdb.tables import ci_class

_SEEDED = frozenset(each.name for each in SEED_CLASSES)


async def seed(connection: AsyncConnection) -> None:
    """Insert the seed classes that are missing; those that people changed stay as they are.

    One that is as an earlier version seeded it gets what is new, unless people have given an
    attribute of that name a meaning of their own.
    """
    rows = await connection.execute(select(ci_class.c.name, ci_class.c.attribute_schema))
    there: dict[str, Mapping[str, Any]] = {row.name: row.attribute_schema for row in rows}
    missing = [row_of(seed_class) for seed_class in SEED_CLASSES if seed_class.name not in there]
    old = [each for each in SEED_CLASSES if each.name in there and _is_old(each, there)]
    if not missing and not old:
        return
    revision = await next_revision(connection)
    if missing:
        await connection.execute(
            insert(ci_class), [{**row, "revision": revision} for row in missing]
        )
    for each in old:
        await connection.execute(
            update(ci_class)
            .where(ci_class.c.name == each.name)
            .values(attribute_schema=dict(each.attribute_schema), revision=revision)
        )


def _is_old(each: CiClass, there: Mapping[str, Mapping[str, Any]]) -> bool:
    held = there[each.name]
    if mark_of(held) not in FORMER.get(each.name, ()):
        return False
    new = _names(each.attribute_schema) - _names(held)
    return not any(new & _names(schema) for name, schema in there.items() if name not in _SEEDED)


def _names(schema: Mapping[str, Any]) -> set[str]:
    return set(schema.get("properties", {}))


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
