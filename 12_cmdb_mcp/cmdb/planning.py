"""Works out a reconciliation's plan against the live inventory; changes nothing."""

from collections import defaultdict
from collections.abc import Sequence

import anyio.lowlevel
import orjson
from pydantic import JsonValue
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.catalogue import Catalogue
from cmdb.filters import Filter, condition
from cmdb.items import ITEM_COLUMNS, Item, item_of, live_by_names, live_relations
from cmdb.ledger import changes_between
from cmdb.reconcile_plan import (
    Discovered,
    DiscoveredRelation,
    PlanContent,
    PlannedCreate,
    PlannedRelation,
    PlannedRetire,
    PlannedUpdate,
)
from cmdb.relation_types import relation_type
from cmdb.tables import item
from cmdb.values import MAX_INTEGER, check_attributes, merged
from flotilla import Conflict, InvalidArgument, TooLarge

MAX_RETIRES = 5000
Key = tuple[str, str]
Scope = tuple[Sequence[str], Sequence[Filter]]
_STEP = 200
"""Values in one look-up, and items checked between two looks at whether the caller waits."""


class Planner:
    """One reconciliation, worked out in one transaction."""

    def __init__(
        self, connection: AsyncConnection, catalogue: Catalogue, *, postgresql: bool
    ) -> None:
        self._connection = connection
        self._catalogue = catalogue
        self._postgresql = postgresql
        self._creates: list[PlannedCreate] = []
        self._updates: list[PlannedUpdate] = []
        self._unchanged = 0
        self._seen: dict[str, int] = {}
        """Live items that were discovered, by ID, and by which row."""
        self._wanted: dict[Key, str | None] = {}
        """What will be there under each class and name: an ID, or None for a new item."""

    async def planned(
        self,
        items: Sequence[Discovered],
        relations: Sequence[DiscoveredRelation],
        scope: Scope | None,
    ) -> PlanContent:
        """The whole plan; InvalidArgument names the row of `items` or `relations` at fault."""
        for row, one in enumerate(items):
            check_attributes(one.attributes)
            self._catalogue.concrete(one.ci_class)
            if one.key is not None and not _is_key(one.attributes.get(one.key)):
                raise InvalidArgument(
                    f"items[{row}] has no text or number under its key {one.key!r}"
                )
        by_key = await self._by_key(items)
        held = await live_by_names(self._connection, ((one.ci_class, one.name) for one in items))
        for row, one in enumerate(items):
            if row % _STEP == 0:
                await anyio.lowlevel.checkpoint()
            known = self._by_its_key(row, one, by_key)
            self._place(row, one, known or held.get((one.ci_class, one.name)), held)
        retires = [] if scope is None else await self._unseen(scope)
        links = await self._links(relations, {one.id for one in retires})
        return PlanContent(
            creates=self._creates,
            updates=self._updates,
            retires=retires,
            relations=links,
            unchanged=self._unchanged,
        )

    async def _by_key(
        self, items: Sequence[Discovered]
    ) -> dict[tuple[str, str, bytes], list[Item]]:
        """The live items of each (class, key attribute, value) that was discovered."""
        asked: dict[Key, list[str | int | float]] = defaultdict(list)
        for one in items:
            value = None if one.key is None else one.attributes.get(one.key)
            if one.key is not None and isinstance(value, (str, int, float)):
                asked[one.ci_class, one.key].append(value)
        found: dict[tuple[str, str, bytes], list[Item]] = defaultdict(list)
        for (ci_class, key), values in asked.items():
            for start in range(0, len(values), _STEP):
                some = Filter(attribute=key, op="in", value=list(values[start : start + _STEP]))
                rows = await self._connection.execute(
                    select(*ITEM_COLUMNS).where(
                        item.c.ci_class == ci_class,
                        item.c.retired_at.is_(None),
                        condition(some, postgresql=self._postgresql),
                    )
                )
                for row in rows.mappings():
                    one = item_of(row)
                    matches = found[ci_class, key, _comparable(one.attributes[key])]
                    if one not in matches:
                        matches.append(one)
        return found

    def _by_its_key(
        self, row: int, one: Discovered, by_key: dict[tuple[str, str, bytes], list[Item]]
    ) -> Item | None:
        if one.key is None:
            return None
        matches = by_key.get((one.ci_class, one.key, _comparable(one.attributes[one.key])), [])
        if len(matches) > 1:
            ids = ", ".join(match.id for match in matches[:5])
            raise Conflict(
                f"items[{row}]: {len(matches)} live items have this {one.key}: {ids}",
                hint="Mend the inventory, or choose a key that is unique.",
            )
        return matches[0] if matches else None

    def _place(self, row: int, one: Discovered, held: Item | None, named: dict[Key, Item]) -> None:
        """Put one discovered item among the creates, the updates or the unchanged."""
        attributes = merged({} if held is None else held.attributes, one.attributes)
        check_attributes(attributes)
        problems = self._catalogue.problems(one.ci_class, attributes)
        if problems:
            told = "; ".join(f"{problem.field}: {problem.message}" for problem in problems[:3])
            raise InvalidArgument(
                f"items[{row}] does not fit class {one.ci_class}: {told}",
                hint=f"getClassSchema shows what {one.ci_class} takes.",
            )
        key = (one.ci_class, one.name)
        holder = named.get(key)
        if held is not None and held.id in self._seen:
            raise InvalidArgument(f"items[{self._seen[held.id]}] and items[{row}] are one item")
        if key in self._wanted:
            raise InvalidArgument(f"items[{row}] has the class and name of an earlier one")
        if holder is not None and held is not None and holder.id != held.id:
            raise Conflict(
                f"items[{row}] is {held.id} by its key, but {holder.id} has its name",
                hint="Rename or retire one of the two first.",
                details={"existingId": holder.id},
            )
        self._wanted[key] = None if held is None else held.id
        if held is None:
            self._creates.append(
                PlannedCreate(ci_class=one.ci_class, name=one.name, attributes=attributes)
            )
            return
        self._seen[held.id] = row
        after = held.model_copy(update={"name": one.name, "attributes": attributes})
        changes = changes_between(held, after)
        if not changes:
            self._unchanged += 1
            return
        self._updates.append(
            PlannedUpdate(
                id=held.id,
                ci_class=held.ci_class,
                name=held.name,
                version=held.version,
                changes=changes,
                new_name=after.name,
                new_attributes=attributes,
            )
        )

    async def _unseen(self, scope: Scope) -> list[PlannedRetire]:
        """The live items inside the scope that were not discovered."""
        classes = {name for one in scope[0] for name in self._catalogue.descendants(one)}
        query = select(*ITEM_COLUMNS).where(
            item.c.retired_at.is_(None),
            item.c.ci_class.in_(sorted(classes)),
            *(condition(wanted, postgresql=self._postgresql) for wanted in scope[1]),
        )
        unseen: list[Item] = []
        # Streamed in the order of IDs: a scope may hold far more items than are retired.
        last, more = "", True
        while more:
            rows = await self._connection.execute(
                query.where(item.c.id > last).order_by(item.c.id).limit(1000)
            )
            some = [item_of(row) for row in rows.mappings()]
            more = len(some) == 1000
            last = some[-1].id if some else last
            unseen.extend(one for one in some if one.id not in self._seen)
            if len(unseen) > MAX_RETIRES:
                raise TooLarge(
                    f"more than {MAX_RETIRES} items would be retired",
                    hint="Narrow the scope; a discovery that misses so many is likely incomplete.",
                )
        held = await relations_of(self._connection, [one.id for one in unseen])
        return [
            PlannedRetire(
                id=one.id,
                ci_class=one.ci_class,
                name=one.name,
                version=one.version,
                relation_ids=held.get(one.id, []),
            )
            for one in unseen
        ]

    async def _links(
        self, relations: Sequence[DiscoveredRelation], retiring: set[str]
    ) -> list[PlannedRelation]:
        """The discovered relations that are not there yet."""
        keys = [(end.ci_class, end.name) for one in relations for end in (one.source, one.target)]
        live = await live_by_names(
            self._connection, (key for key in keys if key not in self._wanted)
        )
        known: dict[Key, str | None] = {key: one.id for key, one in live.items()}
        known |= self._wanted
        ends = dict.fromkeys(known.get(key) for key in keys)
        held = await live_relations(self._connection, [end for end in ends if end is not None])
        there = {(row["source_id"], row["type"], row["target_id"]) for row in held}
        made: dict[tuple[Key, str, Key], PlannedRelation] = {}
        for row, one in enumerate(relations):
            source = (one.source.ci_class, one.source.name)
            target = (one.target.ci_class, one.target.name)
            kind = relation_type(one.type)
            for key in (source, target):
                if key not in known or known[key] in retiring:
                    raise InvalidArgument(
                        f"relations[{row}]: there is no {key[0]} named {key[1]!r}, "
                        "discovered or live"
                    )
            if source == target:
                raise InvalidArgument(f"relations[{row}] relates an item to itself")
            self._catalogue.check_ends(kind, source[0], target[0])
            ids = (known[source], kind.name, known[target])
            if ids not in there:
                made[source, kind.name, target] = PlannedRelation(
                    source=one.source,
                    type=kind.name,
                    target=one.target,
                    source_id=ids[0],
                    target_id=ids[2],
                )
        return list(made.values())


async def relations_of(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, list[str]]:
    """The IDs of the live relations of each item."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in await live_relations(connection, ids):
        for end in {row["source_id"], row["target_id"]}:
            found[end].append(row["id"])
    return found


def _is_key(value: JsonValue) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _comparable(value: JsonValue) -> bytes:
    # 1 and 1.0 are one number, as the databases compare them.
    if isinstance(value, float) and value.is_integer() and abs(value) < MAX_INTEGER:
        value = int(value)
    return orjson.dumps(value)
