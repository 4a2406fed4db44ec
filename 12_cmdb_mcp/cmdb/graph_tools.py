"""Tools that follow relations: what rests on what, ways between items, items that stand alone."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import Select, and_, exists, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.catalogue import Catalogue
from cmdb.items import (
    CHUNK,
    ITEM_COLUMNS,
    Item,
    ItemRef,
    Relation,
    find_live,
    fitting,
    item_of,
    refs,
)
from cmdb.pathfinding import Step, shortest
from cmdb.positions import read_position
from cmdb.relation_tools import shown_relations
from cmdb.seeding import Catalogues
from cmdb.store import Store
from cmdb.tables import item, relation
from cmdb.values import ClassName, ItemId
from flotilla import Cursor, Limit, Model, Page, Tool, encode_cursor, reads

MAX_WALKED = 100_000
"""Steps of one walk; a graph with many cycles repeats an item once for each depth."""

Depth = Annotated[int, Field(ge=1, le=10, description="How many relations away to look at most.")]
ImpactDirection = Literal["upstream", "downstream"]


class Via(Model):
    """The last relation on a shortest way to an item, and the item that it was reached from."""

    relation_id: str
    type: str
    from_id: str


class Affected(Model):
    """An item that was reached, how far away, and by which way."""

    id: str
    ci_class: str
    name: str
    distance: int
    via: Via
    path: list[str]
    """IDs from the item asked about to this one, both included."""


class Impact(Model):
    """What rests on an item, or what it rests on, nearest first."""

    item: ItemRef
    direction: ImpactDirection
    items: list[Affected]
    returned: int
    total: int
    """All that were reached; a lower bound when the walk was cut short."""
    truncated: bool


class Path(Model):
    """A shortest way between two items; without one, `found` is false and the lists are empty."""

    found: bool
    length: int
    items: list[ItemRef]
    relations: list[Relation]
    truncated: bool
    """The search was cut short, so that nothing found does not mean that there is no way."""


class GraphTools:
    """data.cmdb.analyzeImpact, findPath, findOrphans."""

    def __init__(self, store: Store, catalogues: Catalogues) -> None:
        self._store = store
        self._catalogues = catalogues

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads("data.cmdb.analyzeImpact", self.analyze_impact, title="Analyze impact"),
            reads("data.cmdb.findPath", self.find_path, title="Find the way between items"),
            reads("data.cmdb.findOrphans", self.find_orphans, title="Find items without relations"),
        )

    async def analyze_impact(
        self,
        id: ItemId,  # noqa: A002 - the catalogue names it
        direction: ImpactDirection = "downstream",
        depth: Depth = 3,
        limit: Limit = 200,
    ) -> Impact:
        """Tell what would suffer if this item failed (downstream), or what it rests on (upstream).

        Follows dependencies whichever way each relation type is written: an application that
        runs_on a server, a rack that contains it, a cluster whose member_of it is. connects_to is
        not followed. Each item comes once, at its shortest distance, nearest first, with the
        relation and the path that led there; cycles are safe. When truncated, lower the depth.
        """
        async with self._store.read() as connection:
            start = await find_live(connection, id)
            rows = (await connection.execute(impact_query(id, direction, depth, limit))).all()
            walked = int(rows[0].walked) if rows else 0
            total = int(rows[0].total) if rows else 0
            reached = {row.id: int(row.depth) for row in rows}
            known = await refs(connection, reached)
            edges = await _edges_among(connection, [id, *reached], direction)
        via = _shortest_edges({id: 0, **reached}, edges)
        paths: dict[str, list[str]] = {id: [id]}
        items: list[Affected] = []
        for row in rows:
            last = via[row.id]
            paths[row.id] = [*paths[last.from_id], row.id]
            items.append(
                Affected(
                    id=row.id,
                    ci_class=known[row.id].ci_class,
                    name=known[row.id].name,
                    distance=int(row.depth),
                    via=last,
                    path=paths[row.id],
                )
            )
        return Impact(
            item=ItemRef(id=start.id, ci_class=start.ci_class, name=start.name),
            direction=direction,
            items=items,
            returned=len(items),
            total=total,
            truncated=total > len(items) or walked >= MAX_WALKED,
        )

    async def find_path(
        self,
        source_id: ItemId,
        target_id: ItemId,
        direction: Literal["any", "upstream", "downstream"] = "any",
        max_depth: Annotated[int, Field(ge=1, le=10)] = 6,
    ) -> Path:
        """Find a shortest way from one live item to another over live relations.

        `any` follows every relation either way; `upstream` goes only from an item to what it rests
        on, `downstream` the other way. Returns the items in order and the relation of each step.
        """
        async with self._store.read() as connection:
            start = await find_live(connection, source_id)
            goal = await find_live(connection, target_id)
            way = await shortest(
                start.id, goal.id, max_depth, _Neighbours(connection, direction).beside
            )
            known = await _relations_by_id(connection, way.relation_ids)
            relations = await shown_relations(connection, known)
        by_id = {ref.id: ref for one in relations for ref in (one.source, one.target)}
        by_id[start.id] = ItemRef(id=start.id, ci_class=start.ci_class, name=start.name)
        return Path(
            found=bool(way.item_ids),
            length=len(relations),
            items=[by_id[one] for one in way.item_ids],
            relations=relations,
            truncated=way.cut_short,
        )

    async def find_orphans(
        self, ci_class: ClassName | None = None, limit: Limit = 50, cursor: Cursor = None
    ) -> Page[Item]:
        """List live items that have no live relation at all, oldest first.

        With ciClass only those of that class and the classes below it. They are often forgotten,
        or were never tied to what uses them.
        """
        async with self._store.read() as connection:
            catalogue = await self._catalogues.at(connection)
            query = orphan_query(catalogue, ci_class)
            if cursor is not None:
                (last,) = read_position("orphans", cursor, str)
                query = query.where(item.c.id > last)
            rows = (await connection.execute(query.limit(limit + 1))).mappings().all()
        found = [item_of(row) for row in rows]
        shown = fitting(found[:limit])
        more = len(found) > shown
        return Page[Item](
            items=found[:shown],
            returned=shown,
            next_cursor=encode_cursor("orphans", [found[shown - 1].id]) if more else None,
            truncated=more,
        )


def impact_query(
    start: str, direction: ImpactDirection, depth: int, limit: int
) -> Select[*tuple[Any, ...]]:
    """`id, depth, walked, total` of the nearest items, from one recursive walk.

    UNION drops what one depth repeats and the depth ends every cycle; the LIMIT inside stops the
    walk itself on both databases, which both walk breadth first.
    """
    came, goes = _ends(direction)
    walk = (
        select(item.c.id, literal(0).label("depth"))
        .where(item.c.id == start)
        .cte("walk", recursive=True)
    )
    step = (
        select(goes, walk.c.depth + 1)
        .select_from(walk.join(relation, came == walk.c.id))
        .where(walk.c.depth < depth, relation.c.ended_at.is_(None))
    )
    walk = walk.union(step)
    walked = select(walk.c.id, walk.c.depth).limit(MAX_WALKED).subquery("walked")
    reached = (
        select(
            walked.c.id,
            func.min(walked.c.depth).label("depth"),
            func.sum(func.count()).over().label("walked"),
            (func.count().over() - 1).label("total"),
        )
        .group_by(walked.c.id)
        .subquery("reached")
    )
    return (
        select(reached)
        .where(reached.c.depth > 0)
        .order_by(reached.c.depth, reached.c.id)
        .limit(limit)
    )


def orphan_query(catalogue: Catalogue, ci_class: str | None) -> Select[*tuple[Any, ...]]:
    """The live items without a live relation, in the order of their IDs."""
    live = relation.c.ended_at.is_(None)
    query = select(*ITEM_COLUMNS).where(
        item.c.retired_at.is_(None),
        # Two conditions and not one OR, so that each uses its index.
        ~exists().where(and_(relation.c.source_id == item.c.id, live)),
        ~exists().where(and_(relation.c.target_id == item.c.id, live)),
    )
    if ci_class is not None:
        query = query.where(item.c.ci_class.in_(catalogue.descendants(ci_class)))
    return query.order_by(item.c.id)


def _ends(direction: str) -> tuple[Any, Any]:
    if direction == "upstream":
        return relation.c.dependent_id, relation.c.provider_id
    return relation.c.provider_id, relation.c.dependent_id


async def _edges_among(
    connection: AsyncConnection, ids: Sequence[str], direction: ImpactDirection
) -> list[Step]:
    """The dependencies that lead from one of those items to another of them."""
    came, goes = _ends(direction)
    wanted = set(ids)
    edges: list[Step] = []
    for start in range(0, len(ids), CHUNK):
        rows = await connection.execute(
            select(relation.c.id, relation.c.type, came.label("came"), goes.label("goes"))
            .where(goes.in_(ids[start : start + CHUNK]), relation.c.ended_at.is_(None))
            .where(came.in_(ids))
        )
        edges.extend(
            Step(row.id, row.type, row.came, row.goes) for row in rows if row.came in wanted
        )
    return edges


def _shortest_edges(depths: dict[str, int], edges: Sequence[Step]) -> dict[str, Via]:
    """For each item the edge by which a shortest walk reached it, always the same one."""
    via: dict[str, Via] = {}
    for edge in sorted(edges, key=lambda edge: (edge.from_id, edge.relation_id)):
        if depths[edge.to_id] == depths[edge.from_id] + 1 and edge.to_id not in via:
            via[edge.to_id] = Via(
                relation_id=edge.relation_id, type=edge.type, from_id=edge.from_id
            )
    return via


class _Neighbours:
    """One step from many items at once, forward or backward along a direction."""

    def __init__(self, connection: AsyncConnection, direction: str) -> None:
        self._connection = connection
        self._direction = direction

    async def beside(self, ids: Sequence[str], backward: bool, at_most: int) -> list[Step]:
        if self._direction == "any":
            ways = [
                (relation.c.source_id, relation.c.target_id),
                (relation.c.target_id, relation.c.source_id),
            ]
        else:
            came, goes = _ends(self._direction)
            ways = [(goes, came) if backward else (came, goes)]
        found: list[Step] = []
        for start in range(0, len(ids), CHUNK):
            for came, goes in ways:
                rows = await self._connection.execute(
                    select(relation.c.id, relation.c.type, came.label("came"), goes.label("goes"))
                    .where(came.in_(ids[start : start + CHUNK]), relation.c.ended_at.is_(None))
                    .order_by(relation.c.id)
                    .limit(max(0, at_most - len(found)))
                )
                found.extend(Step(row.id, row.type, row.came, row.goes) for row in rows)
        return found


async def _relations_by_id(connection: AsyncConnection, ids: Sequence[str]) -> list[Any]:
    rows = await connection.execute(select(relation).where(relation.c.id.in_(ids)))
    by_id = {row["id"]: row for row in rows.mappings()}
    return [by_id[one] for one in ids]
