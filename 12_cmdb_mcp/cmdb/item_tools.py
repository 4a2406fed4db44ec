"""Tools that create, show, change and retire one item."""

from typing import Annotated

from pydantic import Field
from sqlalchemy import select

from cmdb.items import (
    Entry,
    Item,
    ItemRef,
    Relation,
    find_item,
    find_live,
    fitting,
    refs,
)
from cmdb.ledger import Draft, Ledger, check_free
from cmdb.positions import read_position
from cmdb.seeding import Catalogues
from cmdb.store import Store
from cmdb.tables import change
from cmdb.values import Attributes, ClassName, ItemId, Name, check_attributes, merged
from flotilla import (
    Conflict,
    Context,
    Cursor,
    Limit,
    Model,
    Page,
    Preview,
    Tool,
    destroys,
    encode_cursor,
    reads,
    writes,
)

MAX_SHOWN = 200
"""Relations and dependents told of a retirement; the counts are always whole."""

ExpectedVersion = Annotated[
    int, Field(ge=1, le=2**31 - 1, description="The version that you read; refused if it moved.")
]


class Retired(Model):
    """What a retirement did: the item, the relations that ended, and what had rested on it."""

    item: Item
    ended_relations: list[Relation]
    ended_relation_count: int
    dependents: list[ItemRef]
    dependent_count: int
    truncated: bool = False


class ItemTools:
    """data.cmdb.createItem, getItem, updateItem, retireItem, getHistory."""

    def __init__(self, store: Store, catalogues: Catalogues) -> None:
        self._store = store
        self._catalogues = catalogues

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("data.cmdb.getItem", self.get_item, title="Show an item"),
            reads("data.cmdb.getHistory", self.get_history, title="History of an item"),
            writes("data.cmdb.createItem", self.create_item, title="Create an item"),
            writes("data.cmdb.updateItem", self.update_item, title="Update an item"),
            destroys(
                "data.cmdb.retireItem",
                self.retire_item,
                title="Retire an item",
                preview=Preview(
                    tool="data.cmdb.analyzeImpact",
                    taken={"id": "id"},
                    fixed={"direction": "downstream"},
                ),
            ),
        )

    async def get_item(self, id: ItemId) -> Item:  # noqa: A002 - the catalogue names it
        """Show one configuration item by its ID, a retired one too (it then has retiredAt).

        Answers not_found when there never was an item of that ID; searchItems finds IDs by name.
        """
        async with self._store.read() as connection:
            return await find_item(connection, id)

    async def create_item(
        self, context: Context, ci_class: ClassName, name: Name, attributes: Attributes
    ) -> Item:
        """Create a configuration item of a class and return it with its ID, at version 1.

        The attributes must fit the class's schema (getClassSchema); attributes that the class does
        not name are kept unless the class is closed, members that are null are left out. Answers
        conflict with existingId when a live item of that class has the name already.
        """
        check_attributes(attributes)
        async with self._store.write() as connection:
            catalogue = await self._catalogues.at(connection)
            catalogue.concrete(ci_class)
            kept = merged({}, attributes)
            catalogue.check(ci_class, kept)
            await check_free(connection, ci_class, name)
            ledger = Ledger(connection, context, "createItem")
            return (await ledger.create([Draft(ci_class, name, kept)]))[0]

    async def update_item(
        self,
        context: Context,
        id: ItemId,  # noqa: A002 - the catalogue names it
        attributes: Attributes,
        expected_version: ExpectedVersion,
        name: Name | None = None,
    ) -> Item:
        """Change attributes of an item, and its name if one is given; return it as it is now.

        The attributes are merged: those given are set, null removes one, others stay. Answers
        conflict with currentVersion when the item is no longer at expectedVersion: read it again
        and decide anew. A call that changes nothing keeps the version.
        """
        check_attributes(attributes)
        async with self._store.write() as connection:
            before = await find_live(connection, id)
            check_version(before, expected_version)
            after = before.model_copy(
                update={
                    "name": before.name if name is None else name,
                    "attributes": merged(before.attributes, attributes),
                }
            )
            check_attributes(after.attributes)
            catalogue = await self._catalogues.at(connection)
            catalogue.check(before.ci_class, after.attributes)
            await check_free(connection, after.ci_class, after.name, besides=id)
            return (await Ledger(connection, context, "updateItem").update([(before, after)]))[0]

    async def retire_item(
        self,
        context: Context,
        id: ItemId,  # noqa: A002 - the catalogue names it
        expected_version: ExpectedVersion | None = None,
    ) -> Retired:
        """Take an item out of the live inventory and end all of its relations; not to be undone.

        The item, its history and its relations stay readable (getItem, getHistory, searchItems
        with includeRetired), and its name becomes free. Returns the relations that ended and the
        items that rested on it directly; ask analyzeImpact downstream first to see all of them.
        """
        async with self._store.write() as connection:
            before = await find_live(connection, id)
            if expected_version is not None:
                check_version(before, expected_version)
            ledger = Ledger(connection, context, "retireItem")
            retired, ended = await ledger.retire([before])
            ends = {row[end] for row in ended for end in ("source_id", "target_id")}
            known = await refs(connection, ends)
            resting = sorted({row["dependent_id"] for row in ended if row["provider_id"] == id})
            dependents = [known[one] for one in resting if one != id]
            return Retired(
                item=retired[0],
                ended_relations=[
                    Relation(
                        id=row["id"],
                        type=row["type"],
                        source=known[row["source_id"]],
                        target=known[row["target_id"]],
                        created_at=row["created_at"],
                    )
                    for row in ended[:MAX_SHOWN]
                ],
                ended_relation_count=len(ended),
                dependents=dependents[:MAX_SHOWN],
                dependent_count=len(dependents),
                truncated=max(len(ended), len(dependents)) > MAX_SHOWN,
            )

    async def get_history(
        self,
        id: ItemId,  # noqa: A002 - the catalogue names it
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[Entry]:
        """List every change of an item, newest first: who, when, by which tool, what changed.

        Relations that were made or ended appear with both of their items. Each entry has the
        correlation ID under which the fleet's audit knows the call.
        """
        async with self._store.read() as connection:
            await find_item(connection, id)
            query = select(change).where(change.c.item_id == id).order_by(change.c.seq.desc())
            if cursor is not None:
                (last,) = read_position("history", cursor, int)
                query = query.where(change.c.seq < last)
            rows = (await connection.execute(query.limit(limit + 1))).mappings().all()
        entries = [Entry(**{key: row[key] for key in Entry.model_fields}) for row in rows]
        shown = fitting(entries[:limit])
        more = len(entries) > shown
        return Page[Entry](
            items=entries[:shown],
            returned=shown,
            next_cursor=encode_cursor("history", [rows[shown - 1]["seq"]]) if more else None,
            truncated=more,
        )


def check_version(current: Item, expected: int) -> None:
    """Raise Conflict with the current version unless the item is at the expected one."""
    if current.version != expected:
        raise Conflict(
            f"item {current.id} is at version {current.version}, not {expected}",
            hint="Read it again with getItem and decide anew from what it says now.",
            details={"currentVersion": current.version, "updatedAt": current.updated_at},
        )
