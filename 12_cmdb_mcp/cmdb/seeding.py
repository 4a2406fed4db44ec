"""The classes in the database: the seeds put in at start, the catalogue read for each call."""

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.catalogue import Catalogue, CiClass
from cmdb.class_schema import validator_of
from cmdb.filters import Filter, condition
from cmdb.items import ITEM_COLUMNS
from cmdb.matching import streamed
from cmdb.seed_classes import FORMER, SEED_CLASSES, mark_of
from cmdb.tables import ci_class, item

_SEEDED = frozenset(each.name for each in SEED_CLASSES)


async def seed(connection: AsyncConnection) -> None:
    """Insert the seed classes that are missing; those that people changed stay as they are.

    One that is as an earlier version seeded it gets what is new, unless people have given an
    attribute of that name a meaning of their own, in a class or in an item.
    """
    rows = await connection.execute(select(ci_class.c.name, ci_class.c.attribute_schema))
    there: dict[str, Mapping[str, Any]] = {row.name: row.attribute_schema for row in rows}
    missing = [row_of(seed_class) for seed_class in SEED_CLASSES if seed_class.name not in there]
    old = [
        each
        for each in SEED_CLASSES
        if (new := _gained(each, there)) and await _takes(connection, new)
    ]
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


def _gained(each: CiClass, there: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The attributes that a class as an earlier version seeded it lacks; none where it is not."""
    held = there.get(each.name)
    if held is None or mark_of(held) not in FORMER.get(each.name, ()):
        return {}
    new = {
        name: schema
        for name, schema in each.attribute_schema.get("properties", {}).items()
        if name not in held.get("properties", {})
    }
    for name, schema in there.items():
        if name not in _SEEDED and new.keys() & schema.get("properties", {}).keys():
            return {}
    return new


async def _takes(connection: AsyncConnection, new: Mapping[str, Any]) -> bool:
    """Whether every live item that has these attributes has them as they are meant."""
    is_postgresql = connection.dialect.name == "postgresql"
    given = [
        condition(Filter(attribute=name, op="exists"), postgresql=is_postgresql) for name in new
    ]
    validator = validator_of({"type": "object", "properties": dict(new)})
    query = select(*ITEM_COLUMNS).where(item.c.retired_at.is_(None), or_(*given))
    async for page in streamed(connection, query):
        if not all(validator.is_valid(one.attributes) for one in page):
            return False
    return True


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
