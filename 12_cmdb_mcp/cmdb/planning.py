"""Works out a reconciliation's plan against the live inventory; changes nothing.

What a caller tells is taken whole or refused. What a source tells was not written by the caller, so
of that the sound items are planned and the others told; they are not retired for being unsound.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio.lowlevel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.catalogue import Catalogue
from cmdb.faults import Faults
from cmdb.filters import Filter, condition
from cmdb.items import ITEM_COLUMNS, Item, live_by_names
from cmdb.ledger import changes_between
from cmdb.linking import Linking, relations_of
from cmdb.matching import Named, is_key, is_text, key_value, live_by_key, streamed
from cmdb.reconcile_plan import (
    Discovered,
    DiscoveredRelation,
    PlanContent,
    PlannedCreate,
    PlannedRetire,
    PlannedUpdate,
    check_retires,
)
from cmdb.tables import item
from cmdb.values import Attributes, check_attributes, check_text, merged
from flotilla import Conflict, InvalidArgument, TooLarge
from flotilla.discovery import MAX_ITEMS, Covers

MAX_RETIRES = 5000
Key = tuple[str, str]
Scope = tuple[Sequence[str], Sequence[Filter]]
OWN = ("provider", "account")
"""Attributes that say whose an item is; two items that differ there are two, whatever their names.
"""
_STEP = 200
"""Items checked between two looks at whether the caller waits."""


@dataclass(slots=True)
class _Covered:
    """The live items that the discovery speaks of."""

    classes: dict[str, str] = field(default_factory=dict[str, str])
    """Of each item the class, by its ID."""
    unseen: list[Item] = field(default_factory=list[Item])


class Planner:
    """One reconciliation, worked out in one transaction; with `covers` that of a source."""

    def __init__(
        self,
        connection: AsyncConnection,
        catalogue: Catalogue,
        *,
        postgresql: bool,
        covers: Covers | None = None,
        mass_retirement: bool = False,
    ) -> None:
        """`mass_retirement`: that most of what is covered has gone is no mistake."""
        self._connection = connection
        self._catalogue = catalogue
        self._postgresql = postgresql
        self._covers = covers
        self._mass_retirement = mass_retirement
        self.faults = Faults(fatal=covers is None)
        self._creates: list[PlannedCreate] = []
        self._updates: list[PlannedUpdate] = []
        self._unchanged = 0
        self._seen: dict[str, str] = {}
        """Live items that were discovered, by ID, and how the row is called that is it."""
        self._spared: set[str] = set()
        """Live items that were discovered in a row that is not sound."""
        self._known: set[str] = set()
        """Live items that were discovered by their keys."""
        self._renamed: set[str] = set()
        """Those of them that get another name."""
        self._wanted: dict[Key, str | None] = {}
        """What will be there under each class and name: an ID, or None for a new item."""

    async def planned(
        self,
        items: Sequence[Named],
        relations: Sequence[DiscoveredRelation],
        scope: Scope | None,
    ) -> PlanContent:
        """The whole plan; InvalidArgument names the row of `items` or `relations` at fault.

        Conflict where so much would be retired that the discovery is likely incomplete.
        """
        sound: list[tuple[str, Discovered]] = []
        unsound: list[Named] = []
        for row, one in enumerate(items):
            if row % _STEP == 0:
                await anyio.lowlevel.checkpoint()
            called = self._called(row, one)
            before = self.faults.count
            with self.faults.of(called):
                sound.append((called, self._checked(called, one)))
            if self.faults.count > before:
                unsound.append(one)
        told: list[Named] = [*(one for _, one in sound), *unsound]
        by_key = await live_by_key(self._connection, told, postgresql=self._postgresql)
        names = ((one.ci_class, one.name) for one in told if is_text(f"{one.ci_class}{one.name}"))
        by_name = await live_by_names(self._connection, names)
        for one in unsound:
            self._spare(one, by_key, by_name)
        await self._place_all(sound, by_key, by_name)
        covered = _Covered() if scope is None else await self._covered(scope)
        retires = await self._retires(covered)
        linking = Linking(
            self._connection,
            self._catalogue,
            self.faults,
            self._wanted,
            seen=self._seen.keys(),
            retiring={one.id for one in retires},
            classes=covered.classes,
        )
        links, ends = await linking.planned(relations)
        return PlanContent(
            creates=self._creates,
            updates=self._updates,
            retires=retires,
            relations=links,
            ends=ends,
            unchanged=self._unchanged,
        )

    def _called(self, row: int, one: Named) -> str:
        return f"items[{row}]" if self._covers is None else f"{one.ci_class} {one.name!r}"

    def _checked(self, called: str, one: Named) -> Discovered:
        attributes = dict(one.attributes)
        covers = self._covers
        if covers is not None and one.ci_class in covers.ci_classes:
            # Else the item would be covered no more once it is there.
            for name, value in covers.attributes.items():
                if attributes.setdefault(name, value) != value:
                    raise InvalidArgument(f"its {name} is not that of the source's scope")
        check_text(one.name, "its name")
        check_attributes(attributes)
        self._catalogue.concrete(one.ci_class)
        if one.key is not None and not is_key(attributes.get(one.key)):
            raise InvalidArgument(f"{called} has no text or number under its key {one.key!r}")
        return Discovered.of(one, attributes)

    async def _place_all(
        self,
        rows: Sequence[tuple[str, Discovered]],
        by_key: dict[tuple[str, str, bytes], list[Item]],
        by_name: dict[Key, Item],
    ) -> None:
        found: list[tuple[str, Discovered, Item | None]] = []
        for called, one in rows:
            before = self.faults.count
            with self.faults.of(called):
                found.append((called, one, self._by_its_key(called, one, by_key)))
            if self.faults.count > before:
                self._spare(one, by_key, by_name)
        if not self.faults.fatal:
            # A name goes to whom it is told of only where no key says that it is somebody else's.
            found.sort(key=lambda each: each[2] is None)
        self._renamed = {
            known.id for _, one, known in found if known is not None and known.name != one.name
        }
        self._known = {known.id for _, _, known in found if known is not None}
        for count, (called, one, known) in enumerate(found):
            if count % _STEP == 0:
                await anyio.lowlevel.checkpoint()
            before = self.faults.count
            with self.faults.of(called):
                self._place(called, one, known or self._by_its_name(one, by_name), by_name)
            if self.faults.count > before:
                self._spare(one, by_key, by_name)
                if known is not None:
                    self._renamed.discard(known.id)
        self._withdraw_takers(by_name)

    def _gives_up_its_name(self, holder: Item) -> bool:
        """Whether the plan renames a live item, or retires it since the source sees it no more."""
        if holder.id in self._known or self._covers is None or holder.id in self._spared:
            return holder.id in self._renamed
        return holder.ci_class in self._covers.ci_classes and all(
            holder.attributes.get(name) == value for name, value in self._covers.attributes.items()
        )

    def _withdraw_takers(self, by_name: dict[Key, Item]) -> None:
        """Leave out who would get the name of an item that keeps it, as it turned out."""
        sound: list[PlannedUpdate] = []
        while len(sound) != len(self._updates):
            sound = self._updates
            self._updates = []
            for update in sound:
                holder = by_name.get((update.ci_class, update.new_name))
                taken = holder is not None and holder.id != update.id
                if holder is None or not taken or self._gives_up_its_name(holder):
                    self._updates.append(update)
                    continue
                self._renamed.discard(update.id)
                with self.faults.of(f"{update.ci_class} {update.new_name!r}"):
                    raise _has_its_name(update.new_name, update.id, holder)
        creates, self._creates = self._creates, []
        for made in creates:
            holder = by_name.get((made.ci_class, made.name))
            if holder is None or self._gives_up_its_name(holder):
                self._creates.append(made)
                continue
            del self._wanted[made.ci_class, made.name]
            with self.faults.of(f"{made.ci_class} {made.name!r}"):
                raise _has_its_name(made.name, "a new item", holder)

    def _by_its_key(
        self, called: str, one: Discovered, by_key: dict[tuple[str, str, bytes], list[Item]]
    ) -> Item | None:
        known = key_value(one)
        matches = [
            match
            for match in ([] if known is None else by_key.get(known, []))
            if not self._is_anothers(one, match)
        ]
        if len(matches) > 1:
            ids = ", ".join(match.id for match in matches[:5])
            raise Conflict(
                f"{called}: {len(matches)} live items have this {one.key}: {ids}",
                hint="Mend the inventory, or choose a key that is unique.",
            )
        return matches[0] if matches else None

    def _by_its_name(self, one: Discovered, by_name: dict[Key, Item]) -> Item | None:
        held = by_name.get((one.ci_class, one.name))
        if held is None or self.faults.fatal:
            return held
        if self._is_anothers(one, held):
            raise Conflict(f"{held.id} has its class and name, and is another source's")
        return None if held.id in self._seen or held.id in self._known else held

    def _is_anothers(self, one: Discovered, held: Item) -> bool:
        if self._covers is None:
            return False
        return any(
            name in held.attributes
            and name in one.attributes
            and held.attributes[name] != one.attributes[name]
            for name in OWN
        )

    def _spare(
        self,
        one: Named,
        by_key: dict[tuple[str, str, bytes], list[Item]],
        by_name: dict[Key, Item],
    ) -> None:
        known = key_value(one)
        self._spared.update(held.id for held in ([] if known is None else by_key.get(known, [])))
        if (held := by_name.get((one.ci_class, one.name))) is not None:
            self._spared.add(held.id)

    def _place(
        self, called: str, one: Discovered, held: Item | None, named: dict[Key, Item]
    ) -> None:
        """Put one discovered item among the creates, the updates or the unchanged."""
        attributes = merged({} if held is None else held.attributes, one.attributes)
        now = {"name": one.name, "attributes": attributes}
        after = None if held is None else held.model_copy(update=now)
        changes = [] if held is None or after is None else changes_between(held, after)
        # What does not change need not be judged anew each time that a source is read.
        if held is None or changes or self.faults.fatal:
            self._check_class(called, one, attributes)
        key = (one.ci_class, one.name)
        holder = named.get(key)
        if held is not None and held.id in self._seen:
            raise InvalidArgument(f"{self._seen[held.id]} and {called} are one item")
        if key in self._wanted:
            raise InvalidArgument(f"{called} has the class and name of an earlier one")
        taken = None if held is None or holder is None or holder.id == held.id else holder
        if held is not None and taken is not None and not self._gives_up_its_name(taken):
            raise _has_its_name(called, held.id, taken)
        self._wanted[key] = None if held is None else held.id
        if held is None or after is None:
            self._creates.append(
                PlannedCreate(ci_class=one.ci_class, name=one.name, attributes=attributes)
            )
            return
        self._seen[held.id] = called
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

    def _check_class(self, called: str, one: Discovered, attributes: Attributes) -> None:
        check_attributes(attributes)
        problems = self._catalogue.problems(one.ci_class, attributes)
        if problems:
            told = "; ".join(f"{problem.field}: {problem.message}" for problem in problems[:3])
            raise InvalidArgument(
                f"{called} does not fit class {one.ci_class}: {told}",
                hint=f"getClassSchema shows what {one.ci_class} takes.",
            )

    async def _covered(self, scope: Scope) -> _Covered:
        """The live items inside the scope; Conflict or TooLarge where too many were not seen."""
        classes = set(scope[0])
        if self._covers is None:
            classes = {name for one in scope[0] for name in self._catalogue.descendants(one)}
        query = select(*ITEM_COLUMNS).where(
            item.c.retired_at.is_(None),
            item.c.ci_class.in_(sorted(classes)),
            *(condition(wanted, postgresql=self._postgresql) for wanted in scope[1]),
        )
        most = MAX_ITEMS if self._mass_retirement else MAX_RETIRES
        covered = _Covered()
        # Streamed: a scope may hold far more items than are retired.
        async for page in streamed(self._connection, query):
            covered.classes.update((one.id, one.ci_class) for one in page)
            covered.unseen.extend(
                one for one in page if one.id not in self._seen and one.id not in self._spared
            )
            if len(covered.unseen) > most:
                raise TooLarge(
                    f"more than {most} items would be retired",
                    hint="Narrow the scope; a discovery that misses so many is likely incomplete.",
                )
        if not self._mass_retirement:
            check_retires(
                (one.ci_class for one in covered.unseen),
                (one.ci_class for one in self._creates),
                covered.classes.values(),
                of_source=self._covers is not None,
            )
        return covered

    async def _retires(self, covered: _Covered) -> list[PlannedRetire]:
        held = await relations_of(self._connection, [one.id for one in covered.unseen])
        return [
            PlannedRetire(
                id=one.id,
                ci_class=one.ci_class,
                name=one.name,
                version=one.version,
                relation_ids=held.get(one.id, []),
            )
            for one in covered.unseen
        ]


def _has_its_name(called: str, item_id: str, holder: Item) -> Conflict:
    return Conflict(
        f"{called} is {item_id} by its key, but {holder.id} has its name",
        hint="Rename or retire one of the two first.",
        details={"existingId": holder.id},
    )
