"""Applies a reconciliation's plan: everything still as previewed, then all of it; else nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import anyio.lowlevel
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.catalogue import Catalogue
from cmdb.items import Item, live_by_ids, live_by_names, live_relations
from cmdb.ledger import Draft, Ledger, Link
from cmdb.linking import relations_of
from cmdb.reconcile_plan import PlanContent, PlannedRelation
from cmdb.relation_types import relation_type
from flotilla import Conflict, Context, FlotillaError

MAX_TOLD = 50
_STEP = 200
"""Items checked between two looks at whether the caller waits."""


@dataclass(frozen=True, slots=True)
class Done:
    """What applying did beyond what the plan counts."""

    created_ids: list[str]
    relations_ended: int


async def apply_plan(
    connection: AsyncConnection,
    catalogue: Catalogue,
    context: Context,
    tool: str,
    content: PlanContent,
) -> Done:
    """Do what the plan says; Conflict tells every item that has moved since."""
    live = await live_by_ids(connection, _touched(content))
    ending = await _ending(connection, content)
    moved = [
        *_moved(content, live),
        *await _taken(connection, content),
        *await _otherwise_related(connection, content),
        *(
            {"id": one.source_id, "why": f"relation {one.id} of {one.source_id} has ended by now"}
            for one in content.ends
            if one.id not in ending
        ),
        *await _misfits(catalogue, content),
    ]
    if moved:
        raise Conflict(
            f"{len(moved)} of the plan's items changed since the preview: {moved[0]['why']}",
            hint="Preview again and look at the new plan.",
            details={"items": moved[:MAX_TOLD]},
        )
    ledger = Ledger(connection, context, tool)
    _, ended = await ledger.retire([live[one.id] for one in content.retires])
    given = {(one.ci_class, one.new_name) for one in content.updates if one.new_name != one.name}
    await ledger.set_aside([one.id for one in content.updates if (one.ci_class, one.name) in given])
    changed = await ledger.update(
        [
            (
                live[one.id],
                live[one.id].model_copy(
                    update={"name": one.new_name, "attributes": one.new_attributes}
                ),
            )
            for one in content.updates
        ]
    )
    made = await ledger.create(
        [Draft(one.ci_class, one.name, one.attributes) for one in content.creates]
    )
    versions = {one.id: one.version for one in (*live.values(), *changed)}
    await ledger.unrelate(list(ending.values()), versions)
    await _relate(ledger, content.relations, live, [*changed, *made])
    return Done([one.id for one in made], len(ended) + len(ending))


async def _ending(connection: AsyncConnection, content: PlanContent) -> dict[str, RowMapping]:
    """Of the relations that the plan ends those that are live still, by ID."""
    wanted = {one.id for one in content.ends}
    sources = list(dict.fromkeys(one.source_id for one in content.ends))
    return {
        row["id"]: row for row in await live_relations(connection, sources) if row["id"] in wanted
    }


def _touched(content: PlanContent) -> list[str]:
    related = (*content.relations, *content.ends)
    ends = [end for one in related for end in (one.source_id, one.target_id) if end]
    return [one.id for one in (*content.updates, *content.retires)] + ends


def _moved(content: PlanContent, live: dict[str, Item]) -> list[dict[str, str]]:
    moved: list[dict[str, str]] = []
    for one in (*content.updates, *content.retires):
        held = live.get(one.id)
        if held is None:
            moved.append({"id": one.id, "why": f"{one.id} was retired"})
        elif held.version != one.version:
            why = f"{one.id} is at version {held.version}, not {one.version}"
            moved.append({"id": one.id, "why": why})
    for one in content.relations:
        moved.extend(
            {"id": end, "why": f"{end}, an end of a new relation, was retired"}
            for end in (one.source_id, one.target_id)
            if end is not None and end not in live
        )
    return moved


async def _taken(connection: AsyncConnection, content: PlanContent) -> list[dict[str, str]]:
    """The names that the plan gives and that others have by now."""
    wanted: dict[tuple[str, str], str | None] = {
        (one.ci_class, one.name): None for one in content.creates
    }
    wanted |= {(one.ci_class, one.new_name): one.id for one in content.updates}
    held = await live_by_names(connection, wanted)
    # Items are retired first, then renamed, then made: a name that one gives up is free.
    leaving = {one.id for one in content.updates if one.new_name != one.name}
    leaving |= {one.id for one in content.retires}
    return [
        {"id": one.id, "why": f"{one.id} has the name {one.name!r} by now"}
        for key, one in held.items()
        if one.id != wanted[key] and one.id not in leaving
    ]


async def _otherwise_related(
    connection: AsyncConnection, content: PlanContent
) -> list[dict[str, str]]:
    """Relations do not move an item's version, so they are compared by themselves."""
    related = await relations_of(connection, [one.id for one in content.retires])
    moved = [
        {"id": one.id, "why": f"{one.id} has other relations by now"}
        for one in content.retires
        if sorted(related.get(one.id, [])) != sorted(one.relation_ids)
    ]
    ids = [end for one in content.relations for end in (one.source_id, one.target_id) if end]
    there = {
        (row["source_id"], row["type"], row["target_id"])
        for row in await live_relations(connection, list(dict.fromkeys(ids)))
    }
    moved.extend(
        {"id": one.source_id, "why": f"{one.source_id} has its new relation by now"}
        for one in content.relations
        if one.source_id and (one.source_id, one.type, one.target_id) in there
    )
    return moved


async def _misfits(catalogue: Catalogue, content: PlanContent) -> list[dict[str, str]]:
    """Items and relations that a class refuses now; classes may have changed since, too."""
    moved: list[dict[str, str]] = []
    for count, one in enumerate(content.creates):
        if count % _STEP == 0:
            await anyio.lowlevel.checkpoint()
        try:
            catalogue.concrete(one.ci_class)
            catalogue.check(one.ci_class, one.attributes)
        except FlotillaError as error:
            moved.append({"id": one.name, "why": error.message})
    moved.extend(
        {"id": one.id, "why": f"class {one.ci_class} now refuses {one.id}"}
        for one in content.updates
        if catalogue.problems(one.ci_class, one.new_attributes)
    )
    for one in content.relations:
        try:
            kind = relation_type(one.type)
            catalogue.check_ends(kind, one.source.ci_class, one.target.ci_class)
        except FlotillaError as error:
            moved.append({"id": one.source.name, "why": error.message})
    return moved


async def _relate(
    ledger: Ledger,
    relations: Sequence[PlannedRelation],
    live: dict[str, Item],
    fresh: Sequence[Item],
) -> None:
    now = {one.id: one for one in (*live.values(), *fresh)}
    ids = {(one.ci_class, one.name): one.id for one in fresh}
    links = [
        Link(
            one.source_id or ids[one.source.ci_class, one.source.name],
            one.type,
            one.target_id or ids[one.target.ci_class, one.target.name],
        )
        for one in relations
    ]
    await ledger.relate(links, {one.id: one.version for one in now.values()})
