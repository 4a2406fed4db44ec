"""Tools that show the classes and add to them."""

from typing import Annotated, Any

import anyio.lowlevel
import orjson
from pydantic import Field, JsonValue
from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.catalogue import ROOT, Catalogue, CiClass
from cmdb.class_schema import check_class_schema
from cmdb.items import ITEM_COLUMNS
from cmdb.relation_types import RELATION_TYPES, Rests
from cmdb.seeding import Catalogues, next_revision, row_of
from cmdb.store import Store
from cmdb.tables import ci_class as class_table
from cmdb.tables import item
from cmdb.values import ClassName
from flotilla import (
    Conflict,
    Cursor,
    InvalidArgument,
    Limit,
    Model,
    Page,
    Tool,
    page_of,
    reads,
    writes,
)

MAX_CLASSES = 500
MAX_LEVELS = 12
MAX_BROKEN = 20
"""Items told of that a change would make invalid."""
_STEP = 200
"""Items checked between two looks at whether the caller still waits."""

NewClassName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Schema = Annotated[
    dict[str, JsonValue],
    Field(
        description="JSON Schema (2020-12) of the class's own attributes: {properties, required?, "
        "additionalProperties?, allOf?}. No references; patterns without look-around."
    ),
]


class ClassSummary(Model):
    """A class in the list."""

    name: str
    parent: str | None = None
    title: str
    abstract: bool
    item_count: int
    """Live items of exactly this class."""


class RelationTypeShown(Model):
    """A type of relation that items of a class may have, and who rests on whom by it."""

    type: str
    meaning: str
    rests: Rests
    as_source: bool
    as_target: bool


class ClassSchema(Model):
    """A class with everything that it inherits."""

    name: str
    parent: str | None = None
    title: str
    description: str
    abstract: bool
    lineage: list[str]
    """From the root to the class itself."""
    subclasses: list[str]
    attribute_schema: dict[str, JsonValue]
    """What an item's attributes must fit, inherited parts included."""
    own_attribute_schema: dict[str, JsonValue]
    relation_types: list[RelationTypeShown]


class ClassTools:
    """data.cmdb.listClasses, getClassSchema, defineClass."""

    def __init__(self, store: Store, catalogues: Catalogues) -> None:
        self._store = store
        self._catalogues = catalogues

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("data.cmdb.listClasses", self.list_classes, title="List classes", ttl_s=10),
            reads(
                "data.cmdb.getClassSchema", self.get_class_schema, title="Show a class", ttl_s=60
            ),
            writes(
                "data.cmdb.defineClass",
                self.define_class,
                title="Define a class",
                idempotent=True,
                long=True,
            ),
        )

    async def list_classes(
        self, parent: ClassName | None = None, limit: Limit = 50, cursor: Cursor = None
    ) -> Page[ClassSummary]:
        """List the classes that items can be of, by name, with the number of live items of each.

        With parent, that class and all below it. Abstract classes only pass on what they declare.
        """
        async with self._store.read() as connection:
            catalogue = await self._catalogues.at(connection)
            counts = await connection.execute(
                select(item.c.ci_class, func.count())
                .where(item.c.retired_at.is_(None))
                .group_by(item.c.ci_class)
            )
            by_class = {str(row[0]): int(row[1]) for row in counts}
        names = [one.name for one in catalogue] if parent is None else catalogue.descendants(parent)
        summaries = [
            ClassSummary(
                name=one.name,
                parent=one.parent,
                title=one.title,
                abstract=one.abstract,
                item_count=by_class.get(one.name, 0),
            )
            for one in map(catalogue.get, names)
        ]
        return page_of("classes", summaries, limit=limit, cursor=cursor)

    async def get_class_schema(self, ci_class: ClassName) -> ClassSchema:
        """Show what attributes items of a class take, with all that the class inherits.

        Also tells which relation types its items may have, and which end rests on which by them.
        """
        async with self._store.read() as connection:
            return shown(await self._catalogues.at(connection), ci_class)

    async def define_class(
        self,
        name: NewClassName,
        parent: ClassName = ROOT,
        title: Annotated[str | None, Field(max_length=200)] = None,
        description: Annotated[str, Field(max_length=2000)] = "",
        attribute_schema: Schema | None = None,
        abstract: bool = False,
        dry_run: bool = False,
    ) -> ClassSchema:
        """Add a class below another, or change one; return it with all that it inherits.

        Changing is whole: what is not given takes its default. A change is refused with conflict
        and the items that it would make invalid (details.items, bounded), so no item ever breaks
        by it; the parent of an existing class cannot change. With dryRun nothing is kept.
        """
        schema = dict(attribute_schema or {})
        check_class_schema(schema)
        declared = CiClass(
            name=name,
            parent=parent,
            title=title or name.replace("_", " ").capitalize(),
            description=description,
            abstract=abstract,
            attribute_schema=schema,
        )
        session = self._store.read() if dry_run else self._store.write()
        async with session as connection:
            catalogue = await self._catalogues.at(connection)
            changed = _with(catalogue, declared)
            if name in catalogue:
                await _check_items(connection, catalogue, changed, name)
            if not dry_run:
                await _keep(connection, declared, is_new=name not in catalogue)
            return shown(changed, name)


def shown(catalogue: Catalogue, name: str) -> ClassSchema:
    """The class as getClassSchema tells it."""
    found = catalogue.get(name)
    lineage = [one.name for one in catalogue.lineage(name)]
    return ClassSchema(
        name=name,
        parent=found.parent,
        title=found.title,
        description=found.description,
        abstract=found.abstract,
        lineage=lineage,
        subclasses=[other for other in catalogue.descendants(name) if other != name],
        attribute_schema=catalogue.schema_of(name),
        own_attribute_schema=dict(found.attribute_schema),
        relation_types=[
            RelationTypeShown(
                type=kind.name,
                meaning=kind.meaning,
                rests=kind.rests,
                as_source=not set(lineage).isdisjoint(kind.sources),
                as_target=not set(lineage).isdisjoint(kind.targets),
            )
            for kind in RELATION_TYPES.values()
            if not set(lineage).isdisjoint((*kind.sources, *kind.targets))
        ],
    )


def _with(catalogue: Catalogue, declared: CiClass) -> Catalogue:
    """The catalogue as it would be; raises where the tree does not allow the class."""
    known = {one.name: one for one in catalogue}
    held = known.get(declared.name)
    if declared.name == ROOT:
        raise InvalidArgument(f"{ROOT} is the root of all classes and stays as it is")
    if held is not None and held.parent != declared.parent:
        raise Conflict(
            f"class {declared.name} stands below {held.parent}; the parent cannot change",
            hint="Define another class and create the items anew.",
            details={"parent": held.parent},
        )
    if len(catalogue.lineage(declared.parent or ROOT)) >= MAX_LEVELS:
        raise InvalidArgument(f"classes stand at most {MAX_LEVELS} levels deep")
    if held is None and len(known) >= MAX_CLASSES:
        raise Conflict(f"there are {MAX_CLASSES} classes already, which is the limit")
    return Catalogue([*(one for one in known.values() if one is not held), declared])


async def _check_items(
    connection: AsyncConnection, before: Catalogue, after: Catalogue, name: str
) -> None:
    """Raise Conflict with the items that fit the class before the change and not after it."""
    if not before.get(name).abstract and after.get(name).abstract:
        await _refuse_broken(connection, [name], None, f"{name} would be abstract", after)
    # Compared as text: to Python 1 and true are equal, to a schema they are not.
    if orjson.dumps(before.schema_of(name)) != orjson.dumps(after.schema_of(name)):
        below = after.descendants(name)
        await _refuse_broken(connection, below, before, "items would no longer fit", after)


async def _refuse_broken(
    connection: AsyncConnection,
    classes: list[str],
    before: Catalogue | None,
    why: str,
    after: Catalogue,
) -> None:
    broken: list[dict[str, Any]] = []
    last = ""
    while len(broken) < MAX_BROKEN:
        rows = await connection.execute(
            select(*ITEM_COLUMNS)
            .where(item.c.ci_class.in_(classes), item.c.retired_at.is_(None), item.c.id > last)
            .order_by(item.c.id)
            .limit(_STEP)
        )
        some = rows.mappings().all()
        if not some:
            break
        last = some[-1]["id"]
        for row in some:
            problems = after.problems(row["ci_class"], row["attributes"])
            was_valid = before is None or not before.problems(row["ci_class"], row["attributes"])
            if before is None or (problems and was_valid):
                told = [problem.model_dump() for problem in problems[:3]]
                broken.append({"id": row["id"], "name": row["name"], "problems": told})
        await anyio.lowlevel.checkpoint()
    if broken:
        raise Conflict(
            f"{why}: {', '.join(str(one['id']) for one in broken[:3])}"
            f"{' and more' if len(broken) > 3 else ''}",
            hint="Change or retire those items first, or make the change a compatible one.",
            details={"items": broken[:MAX_BROKEN]},
        )


async def _keep(connection: AsyncConnection, declared: CiClass, *, is_new: bool) -> None:
    row = {**row_of(declared), "revision": await next_revision(connection)}
    if is_new:
        await connection.execute(insert(class_table), [row])
    else:
        await connection.execute(
            update(class_table).where(class_table.c.name == declared.name).values(**row)
        )
