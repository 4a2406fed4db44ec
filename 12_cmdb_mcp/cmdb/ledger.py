"""The only place that changes items and relations, so that no change is without its history.

What it is given has been checked: the classes agree, the names are free, the versions are current.
It is used inside `Store.write`, so all of that still holds when it commits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue
from sqlalchemy import RowMapping, bindparam, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.items import Item, live_by_ids, live_by_names, live_relations
from cmdb.relation_types import RELATION_TYPES
from cmdb.stamps import new_id, now
from cmdb.tables import change, item, relation
from cmdb.values import Attributes, differences, search_text
from flotilla import Conflict, Context


@dataclass(frozen=True, slots=True)
class Draft:
    """An item that is not yet there."""

    ci_class: str
    name: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Link:
    """A relation that is not yet there."""

    source_id: str
    type: str
    target_id: str


class Ledger:
    """Writes changes and their history under one principal, tool and correlation ID."""

    def __init__(self, connection: AsyncConnection, context: Context, tool: str) -> None:
        self._connection = connection
        self._principal = context.principal.name
        self._correlation_id = context.correlation_id
        self._tool = tool
        self._at = now()

    async def create(self, drafts: Sequence[Draft]) -> list[Item]:
        """Insert the items at version 1."""
        made = [
            Item(
                id=new_id("ci"),
                ci_class=draft.ci_class,
                name=draft.name,
                attributes=draft.attributes,
                version=1,
                created_at=self._at,
                updated_at=self._at,
            )
            for draft in drafts
        ]
        if not made:
            return made
        await self._connection.execute(
            insert(item),
            [{**one.model_dump(by_alias=False), "search_text": _text_of(one)} for one in made],
        )
        await self._record("created", [(one, _whole(one)) for one in made])
        return made

    async def update(self, pairs: Sequence[tuple[Item, Item]]) -> list[Item]:
        """Write `(before, after)` of each item; those without a difference are left alone.

        Returns the items as they are now, in the order given.
        """
        results: list[Item] = []
        written: list[tuple[Item, list[dict[str, JsonValue]]]] = []
        for before, wanted in pairs:
            changes = changes_between(before, wanted)
            if not changes:
                results.append(before)
                continue
            stamp = {"version": before.version + 1, "updated_at": self._at}
            after = wanted.model_copy(update=stamp)
            results.append(after)
            written.append((after, changes))
        if written:
            await self._write([after for after, _ in written])
            await self._record("updated", written)
        return results

    async def set_aside(self, ids: Sequence[str]) -> None:
        """Give these items names that nobody has, until `update` gives them their own: two items
        may change their names with each other. The history knows nothing of it."""
        if ids:
            await self._connection.execute(
                update(item)
                .where(item.c.id == bindparam("aside_id"))
                .values(name=bindparam("aside_name")),
                [{"aside_id": each, "aside_name": f"~{each}"} for each in ids],
            )

    async def retire(self, items: Sequence[Item]) -> tuple[list[Item], list[RowMapping]]:
        """Retire the items and end their relations; returns both as they are now."""
        ended = await live_relations(self._connection, [one.id for one in items])
        stamp = {"updated_at": self._at, "retired_at": self._at}
        retired = [one.model_copy(update={**stamp, "version": one.version + 1}) for one in items]
        ends = {row[end] for row in ended for end in ("source_id", "target_id")}
        others = await live_by_ids(self._connection, ends)
        versions = {one.id: one.version for one in (*others.values(), *retired)}
        await self.unrelate(ended, versions)
        if retired:
            await self._write(retired)
            await self._record("retired", [(one, []) for one in retired])
        return retired, ended

    async def relate(self, links: Sequence[Link], versions: dict[str, int]) -> list[dict[str, Any]]:
        """Insert the relations; `versions` are those of the items at their ends."""
        rows: list[dict[str, Any]] = []
        for link in links:
            dependent, provider = RELATION_TYPES[link.type].ends(link.source_id, link.target_id)
            rows.append(
                {
                    "id": new_id("rel"),
                    "source_id": link.source_id,
                    "type": link.type,
                    "target_id": link.target_id,
                    "dependent_id": dependent,
                    "provider_id": provider,
                    "created_at": self._at,
                }
            )
        if rows:
            await self._connection.execute(insert(relation), rows)
            await self._record_relations("related", rows, versions)
        return rows

    async def unrelate(self, rows: Sequence[RowMapping], versions: dict[str, int]) -> None:
        """End the relations; they stay in the history."""
        if not rows:
            return
        await self._connection.execute(
            update(relation)
            .where(relation.c.id == bindparam("ended_id"))
            .values(ended_at=self._at),
            [{"ended_id": row["id"]} for row in rows],
        )
        await self._record_relations("unrelated", rows, versions)

    async def _write(self, items: Sequence[Item]) -> None:
        await self._connection.execute(
            update(item)
            .where(item.c.id == bindparam("item_id"))
            .values(
                name=bindparam("new_name"),
                attributes=bindparam("new_attributes", type_=item.c.attributes.type),
                version=bindparam("new_version"),
                search_text=bindparam("new_text"),
                updated_at=bindparam("new_updated"),
                retired_at=bindparam("new_retired", type_=item.c.retired_at.type),
            ),
            [
                {
                    "item_id": one.id,
                    "new_name": one.name,
                    "new_attributes": one.attributes,
                    "new_version": one.version,
                    "new_text": _text_of(one),
                    "new_updated": one.updated_at,
                    "new_retired": one.retired_at,
                }
                for one in items
            ],
        )

    async def _record(
        self, action: str, entries: Sequence[tuple[Item, list[dict[str, JsonValue]]]]
    ) -> None:
        rows = [self._row(one.id, one.version, action, changes) for one, changes in entries]
        await self._connection.execute(insert(change), rows)

    async def _record_relations(
        self,
        action: str,
        rows: Sequence[RowMapping] | Sequence[dict[str, Any]],
        versions: dict[str, int],
    ) -> None:
        side = "after" if action == "related" else "before"
        recorded: list[dict[str, Any]] = []
        for row in rows:
            told = {key: row[key] for key in ("id", "type")}
            told |= {"sourceId": row["source_id"], "targetId": row["target_id"]}
            # A relation to itself has one end to record.
            for end in dict.fromkeys((row["source_id"], row["target_id"])):
                version = versions[end]
                recorded.append(
                    self._row(end, version, action, [{"field": "relation", side: told}])
                )
        await self._connection.execute(insert(change), recorded)

    def _row(self, item_id: str, version: int, action: str, changes: list[Any]) -> dict[str, Any]:
        return {
            "item_id": item_id,
            "version": version,
            "action": action,
            "changes": changes,
            "at": self._at,
            "principal": self._principal,
            "correlation_id": self._correlation_id,
            "tool": self._tool,
        }


def changes_between(before: Item, after: Item) -> list[dict[str, JsonValue]]:
    """What differs between two states of an item, as its history keeps it."""
    changes: list[dict[str, JsonValue]] = []
    if before.name != after.name:
        changes.append({"field": "name", "before": before.name, "after": after.name})
    changes.extend(
        {
            "field": f"attributes.{name}",
            **({} if old is None else {"before": old}),
            **({} if new is None else {"after": new}),
        }
        for name, old, new in differences(before.attributes, after.attributes)
    )
    return changes


async def check_free(
    connection: AsyncConnection, ci_class: str, name: str, *, besides: str | None = None
) -> None:
    """Raise Conflict with the ID of the live item that has this class and name already."""
    held = (await live_by_names(connection, [(ci_class, name)])).get((ci_class, name))
    if held is not None and held.id != besides:
        raise Conflict(
            f"there is a {ci_class} named {name!r} already: {held.id}",
            hint="Update that item, or choose another name.",
            details={"existingId": held.id},
        )


def _whole(one: Item) -> list[dict[str, JsonValue]]:
    named: list[dict[str, JsonValue]] = [{"field": "name", "after": one.name}]
    return [
        *named,
        *({"field": f"attributes.{key}", "after": value} for key, value in one.attributes.items()),
    ]


def _text_of(one: Item) -> str:
    return search_text(one.name, one.attributes)
