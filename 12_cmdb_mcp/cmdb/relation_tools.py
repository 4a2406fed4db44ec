"""Tools that show, make and end relations between items."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.items import ItemRef, Relation, find_item, find_live, live_by_ids, refs
from cmdb.ledger import Ledger, Link
from cmdb.positions import read_position
from cmdb.relation_types import RelationTypeName, relation_type
from cmdb.seeding import Catalogues
from cmdb.store import Store
from cmdb.tables import relation
from cmdb.values import ItemId
from flotilla import (
    Conflict,
    Context,
    Cursor,
    InvalidArgument,
    Limit,
    NotFound,
    Page,
    Tool,
    destroys,
    encode_cursor,
    reads,
    writes,
)

RelationId = Annotated[
    str, Field(min_length=1, max_length=64, description="rel_... of a relation.")
]


class RelationTools:
    """data.cmdb.listRelations, createRelation, deleteRelation."""

    def __init__(self, store: Store, catalogues: Catalogues) -> None:
        self._store = store
        self._catalogues = catalogues

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("data.cmdb.listRelations", self.list_relations, title="List relations"),
            writes("data.cmdb.createRelation", self.create_relation, title="Relate two items"),
            destroys("data.cmdb.deleteRelation", self.delete_relation, title="End a relation"),
        )

    async def list_relations(
        self,
        id: ItemId | None = None,  # noqa: A002 - the catalogue names it
        end: Literal["any", "source", "target"] = "any",
        type: RelationTypeName | None = None,  # noqa: A002 - the catalogue names it
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[Relation]:
        """List the live relations of an item (id), or all of them, oldest first.

        `end` keeps those where the item is the source or the target; `type` those of one type.
        """
        async with self._store.read() as connection:
            query = select(relation).where(relation.c.ended_at.is_(None))
            if id is not None:
                await find_item(connection, id)
                at_source, at_target = relation.c.source_id == id, relation.c.target_id == id
                chosen = {"source": at_source, "target": at_target}
                query = query.where(chosen.get(end, or_(at_source, at_target)))
            if type is not None:
                query = query.where(relation.c.type == relation_type(type).name)
            if cursor is not None:
                (last,) = read_position("relations", cursor, str)
                query = query.where(relation.c.id > last)
            found = await connection.execute(query.order_by(relation.c.id).limit(limit + 1))
            rows = found.mappings().all()
            shown = await shown_relations(connection, rows[:limit])
        more = len(rows) > limit
        return Page[Relation](
            items=shown,
            returned=len(shown),
            next_cursor=encode_cursor("relations", [shown[-1].id]) if more else None,
            truncated=more,
        )

    async def create_relation(
        self,
        context: Context,
        source_id: ItemId,
        type: RelationTypeName,  # noqa: A002 - the catalogue names it
        target_id: ItemId,
    ) -> Relation:
        """Relate two live items: source, type, target, as in "application runs_on server".

        Types: runs_on, depends_on, contains, connects_to, uses, member_of, backed_up_by; each takes
        certain classes at its ends (getClassSchema shows which). Cycles are allowed, a relation to
        itself is not. Answers conflict with existingId when the very relation is there already.
        """
        kind = relation_type(type)
        if source_id == target_id:
            raise InvalidArgument("an item cannot have a relation to itself")
        async with self._store.write() as connection:
            source = await find_live(connection, source_id)
            target = await find_live(connection, target_id)
            catalogue = await self._catalogues.at(connection)
            catalogue.check_ends(kind, source.ci_class, target.ci_class)
            held = await connection.execute(
                select(relation.c.id).where(
                    relation.c.source_id == source_id,
                    relation.c.type == kind.name,
                    relation.c.target_id == target_id,
                    relation.c.ended_at.is_(None),
                )
            )
            existing = held.scalar_one_or_none()
            if existing is not None:
                raise Conflict(
                    f"this relation is there already: {existing}",
                    hint="Nothing needs to be done.",
                    details={"existingId": existing},
                )
            ledger = Ledger(connection, context, "createRelation")
            versions = {one.id: one.version for one in (source, target)}
            made = await ledger.relate([Link(source_id, kind.name, target_id)], versions)
            return (await shown_relations(connection, made))[0]

    async def delete_relation(self, context: Context, id: RelationId) -> Relation:  # noqa: A002
        """End a relation by its ID and return it; both items keep it in their history."""
        async with self._store.write() as connection:
            found = await connection.execute(select(relation).where(relation.c.id == id))
            row = found.mappings().one_or_none()
            if row is None:
                raise NotFound(
                    f"there is no relation {id!r}", hint="listRelations shows those of an item."
                )
            if row["ended_at"] is not None:
                raise Conflict(
                    f"relation {id} ended at {row['ended_at']}",
                    hint="Nothing needs to be done.",
                    details={"endedAt": row["ended_at"]},
                )
            ends = await live_by_ids(connection, [row["source_id"], row["target_id"]])
            versions = {one.id: one.version for one in ends.values()}
            await Ledger(connection, context, "deleteRelation").unrelate([row], versions)
            return (await shown_relations(connection, [row]))[0]


async def shown_relations(connection: AsyncConnection, rows: Sequence[Any]) -> list[Relation]:
    """The relations with class and name of both ends."""
    known: dict[str, ItemRef] = await refs(
        connection, (row[end] for row in rows for end in ("source_id", "target_id"))
    )
    return [
        Relation(
            id=row["id"],
            type=row["type"],
            source=known[row["source_id"]],
            target=known[row["target_id"]],
            created_at=row["created_at"],
        )
        for row in rows
    ]
