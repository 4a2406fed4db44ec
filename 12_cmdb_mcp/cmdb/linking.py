"""Which relations a reconciliation would make and end; changes nothing."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import anyio.lowlevel
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.catalogue import Catalogue
from cmdb.faults import Faults
from cmdb.items import live_by_names, live_relations
from cmdb.matching import is_text
from cmdb.reconcile_plan import DiscoveredRelation, PlannedEnd, PlannedRelation
from cmdb.relation_types import relation_type
from flotilla import InvalidArgument

Key = tuple[str, str]
_STEP = 200
"""Relations looked at between two looks at whether the caller waits."""


class Linking:
    """The relations of one discovery, whose items have been placed."""

    def __init__(
        self,
        connection: AsyncConnection,
        catalogue: Catalogue,
        faults: Faults,
        wanted: Mapping[Key, str | None],
        *,
        seen: AbstractSet[str],
        retiring: AbstractSet[str],
        classes: Mapping[str, str],
    ) -> None:
        """`wanted`: what will be there under each class and name, an ID or None for a new item.

        `seen` and `retiring` are IDs of live items; `classes` those of what the discovery covers.
        """
        self._connection = connection
        self._catalogue = catalogue
        self._faults = faults
        self._wanted = wanted
        self._seen = seen
        self._retiring = retiring
        self._classes = classes

    async def planned(
        self, relations: Sequence[DiscoveredRelation]
    ) -> tuple[list[PlannedRelation], list[PlannedEnd]]:
        """The discovered relations that are not there yet, and those that have given way."""
        keys = [(end.ci_class, end.name) for one in relations for end in (one.source, one.target)]
        asked = (key for key in keys if key not in self._wanted and is_text("".join(key)))
        live = await live_by_names(self._connection, asked)
        known: dict[Key, str | None] = {key: one.id for key, one in live.items()}
        known |= self._wanted
        ends = dict.fromkeys(known.get(key) for key in keys)
        held = await live_relations(self._connection, [end for end in ends if end is not None])
        there = {(row["source_id"], row["type"], row["target_id"]) for row in held}
        made: dict[tuple[Key, str, Key], PlannedRelation] = {}
        told: dict[tuple[str | None, str, str | None], str] = {}
        for row, one in enumerate(relations):
            if row % _STEP == 0:
                await anyio.lowlevel.checkpoint()
            source = (one.source.ci_class, one.source.name)
            target = (one.target.ci_class, one.target.name)
            with self._faults.of(f"{source[1]!r} {one.type} {target[1]!r}"):
                kind = relation_type(one.type)
                self._check(row, source, target, known)
                self._catalogue.check_ends(kind, source[0], target[0])
                ids = (known[source], kind.name, known[target])
                told[ids] = target[0]
                if ids not in there:
                    made[source, kind.name, target] = PlannedRelation(
                        source=one.source,
                        type=kind.name,
                        target=one.target,
                        source_id=ids[0],
                        target_id=ids[2],
                    )
        given = list(made.values())
        if self._faults.fatal:
            # A caller's own discovery says what there is, not what there is no more.
            return given, []
        return given, _given_way(held, told, self._classes, self._seen - self._retiring)

    def _check(self, row: int, source: Key, target: Key, known: Mapping[Key, str | None]) -> None:
        for key in (source, target):
            if key not in known or known[key] in self._retiring:
                raise InvalidArgument(
                    f"relations[{row}]: there is no {key[0]} named {key[1]!r}, discovered or live"
                )
        if source == target:
            raise InvalidArgument(f"relations[{row}] relates an item to itself")


def _given_way(
    held: Sequence[RowMapping],
    told: Mapping[tuple[str | None, str, str | None], str],
    classes: Mapping[str, str],
    seen: AbstractSet[str],
) -> list[PlannedEnd]:
    """The relations that end: of their source others are told, of the same type and to the same
    class, and not these.

    A machine that has moved runs on its old host no more. `told` has the class of each target. What
    the source tells nothing about stays, for people may have drawn it.
    """
    others = {(source, kind, ci_class) for (source, kind, _), ci_class in told.items()}
    return [
        PlannedEnd(
            id=row["id"],
            source_id=row["source_id"],
            type=row["type"],
            target_id=row["target_id"],
        )
        for row in held
        if {row["source_id"], row["target_id"]} <= seen
        and (row["source_id"], row["type"], row["target_id"]) not in told
        and (row["source_id"], row["type"], classes.get(row["target_id"])) in others
    ]


async def relations_of(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, list[str]]:
    """The IDs of the live relations of each item."""
    found: dict[str, list[str]] = {}
    for row in await live_relations(connection, ids):
        for end in {row["source_id"], row["target_id"]}:
            found.setdefault(end, []).append(row["id"])
    return found
