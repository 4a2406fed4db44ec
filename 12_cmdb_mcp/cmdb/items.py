"""Items and relations as tools show them, and the reading of single ones."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, cast

import orjson
from pydantic import JsonValue
from sqlalchemy import ColumnElement, RowMapping, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.stamps import Time
from cmdb.tables import item, relation
from cmdb.values import Attributes
from flotilla import Conflict, Model, NotFound

ITEM_COLUMNS = (
    item.c.id,
    item.c.ci_class,
    item.c.name,
    item.c.attributes,
    item.c.version,
    item.c.created_at,
    item.c.updated_at,
    item.c.retired_at,
)
CHUNK = 500
"""Keys in one IN list; both databases bound the parameters of a statement."""
PAGE_BYTES = 256 * 1024
"""Items in one result, well under the library's bound for a whole result."""


class Item(Model):
    """A configuration item; `version` grows by one with every change of it."""

    id: str
    ci_class: str
    name: str
    attributes: Attributes
    version: int
    created_at: Time
    updated_at: Time
    retired_at: Time | None = None


class ItemRef(Model):
    """An item, as far as one must know it to ask for it."""

    id: str
    ci_class: str
    name: str


class Relation(Model):
    """A live relation, with both of its ends."""

    id: str
    type: str
    source: ItemRef
    target: ItemRef
    created_at: Time


class Change(Model):
    """One member that changed; `before` or `after` is missing where there was or is none."""

    field: str
    before: JsonValue = None
    after: JsonValue = None


class Entry(Model):
    """One change in the history of an item."""

    version: int
    action: Literal["created", "updated", "retired", "related", "unrelated"]
    at: Time
    principal: str
    tool: str
    """The tool that did it, with the plan's ID where one was applied."""
    correlation_id: str
    changes: list[Change]


def item_of(row: RowMapping) -> Item:
    return Item(**{column.name: row[column.name] for column in ITEM_COLUMNS})


def fitting(items: Sequence[Any], max_bytes: int = PAGE_BYTES) -> int:
    """How many of the models, from the first on, a result of that size holds; one at least."""
    size = 0
    for count, shown in enumerate(items):
        size += len(orjson.dumps(shown.model_dump(mode="json")))
        if size > max_bytes and count:
            return count
    return len(items)


async def find_item(connection: AsyncConnection, item_id: str) -> Item:
    """The item of that ID, retired or not; NotFound when there never was one."""
    found = await connection.execute(select(*ITEM_COLUMNS).where(item.c.id == item_id))
    row = found.mappings().one_or_none()
    if row is None:
        raise NotFound(
            f"there is no item {item_id!r}", hint="searchItems finds an item's ID by its name."
        )
    return item_of(row)


async def find_live(connection: AsyncConnection, item_id: str) -> Item:
    """The item of that ID; Conflict when it is retired."""
    found = await find_item(connection, item_id)
    if found.retired_at is not None:
        raise Conflict(
            f"item {item_id} was retired at {found.retired_at}",
            hint="Create a new item; a retired one stays as it was.",
            details={"retiredAt": found.retired_at},
        )
    return found


async def live_by_names(
    connection: AsyncConnection, keys: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Item]:
    """The live items of those `(class, name)`s that exist."""
    return await _live_by(
        connection, list(dict.fromkeys(keys)), tuple_(item.c.ci_class, item.c.name)
    )


async def live_by_ids(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, Item]:
    """The live items of those IDs that exist."""
    found = await _live_by(connection, list(dict.fromkeys(ids)), item.c.id)
    return {one.id: one for one in found.values()}


async def _live_by(
    connection: AsyncConnection, keys: list[Any], column: ColumnElement[Any]
) -> dict[tuple[str, str], Item]:
    found: dict[tuple[str, str], Item] = {}
    for start in range(0, len(keys), CHUNK):
        rows = await connection.execute(
            select(*ITEM_COLUMNS).where(
                column.in_(keys[start : start + CHUNK]), item.c.retired_at.is_(None)
            )
        )
        for row in rows.mappings():
            one = item_of(row)
            found[one.ci_class, one.name] = one
    return found


async def refs(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, ItemRef]:
    """Class and name of each of those items, retired ones too."""
    wanted = sorted(set(ids))
    found: dict[str, ItemRef] = {}
    for start in range(0, len(wanted), CHUNK):
        rows = await connection.execute(
            select(item.c.id, item.c.ci_class, item.c.name).where(
                item.c.id.in_(wanted[start : start + CHUNK])
            )
        )
        found.update({row["id"]: ItemRef(**row) for row in rows.mappings()})
    return found


async def live_relations(connection: AsyncConnection, ids: Sequence[str]) -> list[RowMapping]:
    """Every live relation that has one of those items at an end, in the order of their IDs."""
    found: dict[str, RowMapping] = {}
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]
        for end in (relation.c.source_id, relation.c.target_id):
            rows = await connection.execute(
                select(relation).where(end.in_(part), relation.c.ended_at.is_(None))
            )
            found.update({cast("str", row["id"]): row for row in rows.mappings()})
    return [found[key] for key in sorted(found)]
