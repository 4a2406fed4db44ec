"""Tools that hold items against what their classes and relation types ask today."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.catalogue import Catalogue, Problem
from cmdb.items import ITEM_COLUMNS, find_item, fitting, item_of, live_relations, refs
from cmdb.positions import read_position
from cmdb.relation_types import RELATION_TYPES
from cmdb.seeding import Catalogues
from cmdb.store import Store
from cmdb.tables import item
from cmdb.values import ClassName, ItemId
from flotilla import Cursor, InvalidArgument, Limit, Model, Tool, encode_cursor, reads

PER_PAGE = 2000
"""Items checked in one call; the cursor goes on from there."""
_STEP = 250


class Validity(Model):
    """Whether one item is as its class and its relations' types want it."""

    id: str
    ci_class: str
    name: str
    valid: bool
    problems: list[Problem]


class Validities(Model):
    """The invalid items among those that were looked at; with nextCursor, more wait."""

    items: list[Validity]
    returned: int
    checked: int
    next_cursor: str | None = None
    truncated: bool = False


class ValidationTools:
    """data.cmdb.validateItem, validateAll."""

    def __init__(self, store: Store, catalogues: Catalogues) -> None:
        self._store = store
        self._catalogues = catalogues

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("data.cmdb.validateItem", self.validate_item, title="Validate an item"),
            reads(
                "data.cmdb.validateAll", self.validate_all, title="Validate all items", long=True
            ),
        )

    async def validate_item(self, id: ItemId) -> Validity:  # noqa: A002 - the catalogue names it
        """Check one item against its class's schema and its relations against their types.

        Returns every problem by its field; a valid item has none. Changes nothing.
        """
        async with self._store.read() as connection:
            found = await find_item(connection, id)
            catalogue = await self._catalogues.at(connection)
            problems = catalogue.problems(found.ci_class, found.attributes)
            problems += await _bad_relations(connection, catalogue, id)
        return Validity(
            id=found.id,
            ci_class=found.ci_class,
            name=found.name,
            valid=not problems,
            problems=problems,
        )

    async def validate_all(
        self, ci_class: ClassName | None = None, limit: Limit = 50, cursor: Cursor = None
    ) -> Validities:
        """Check all live items, or those of a class, against their schemas; list the invalid ones.

        One call looks at up to 2000 items and tells at most `limit` invalid ones; call again with
        nextCursor until there is none. `validateItem` also looks at an item's relations.
        """
        checked, invalid, last = 0, list[Validity](), ""
        if cursor is not None:
            (last,) = read_position("validity", cursor, str)
        async with self._store.read() as connection:
            catalogue = await self._catalogues.at(connection)
            query = select(*ITEM_COLUMNS).where(item.c.retired_at.is_(None)).order_by(item.c.id)
            if ci_class is not None:
                query = query.where(item.c.ci_class.in_(catalogue.descendants(ci_class)))
            more = True
            while more and checked < PER_PAGE and len(invalid) < limit:
                rows = await connection.execute(query.where(item.c.id > last).limit(_STEP))
                some = [item_of(row) for row in rows.mappings()]
                more = len(some) == _STEP
                for one in some:
                    checked, last = checked + 1, one.id
                    problems = catalogue.problems(one.ci_class, one.attributes)
                    if problems:
                        invalid.append(
                            Validity(
                                id=one.id,
                                ci_class=one.ci_class,
                                name=one.name,
                                valid=False,
                                problems=problems,
                            )
                        )
                    if len(invalid) == limit:
                        more = more or one is not some[-1]
                        break
        shown = fitting(invalid)
        if shown < len(invalid):
            more, last = True, invalid[shown - 1].id
        return Validities(
            items=invalid[:shown],
            returned=shown,
            checked=checked,
            next_cursor=encode_cursor("validity", [last]) if more else None,
            truncated=more,
        )


async def _bad_relations(
    connection: AsyncConnection, catalogue: Catalogue, item_id: str
) -> list[Problem]:
    rows = await live_relations(connection, [item_id])
    known = await refs(connection, (row[end] for row in rows for end in ("source_id", "target_id")))
    problems: list[Problem] = []
    for row in rows:
        source, target = known[row["source_id"]], known[row["target_id"]]
        try:
            kind = RELATION_TYPES[row["type"]]
            catalogue.check_ends(kind, source.ci_class, target.ci_class)
        except InvalidArgument as error:
            problems.append(Problem(field=f"relations.{row['id']}", message=error.message))
    return problems
