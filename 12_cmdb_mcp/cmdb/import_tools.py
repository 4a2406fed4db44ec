"""The tool that takes many items and relations at once: all of them, or none."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast

import anyio.lowlevel
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.catalogue import Catalogue
from cmdb.exchange import Format, IsText, ItemRow, LinkRow, Parsed, RowError, What, parse
from cmdb.items import Item, live_by_names, live_relations
from cmdb.ledger import Draft, Ledger, Link, changes_between
from cmdb.relation_types import RELATION_TYPES, relation_type
from cmdb.seeding import Catalogues
from cmdb.store import Store
from cmdb.values import check_attributes, merged
from flotilla import Context, FlotillaError, Model, Tool, writes

MAX_CONTENT = 3_000_000
MAX_ERRORS = 100
_STEP = 200
"""Rows between two looks at whether the caller still waits."""

Mode = Literal["create", "upsert"]
Key = tuple[str, str]


class ImportReport(Model):
    """What an import did, or would do, or why it did nothing."""

    applied: bool
    dry_run: bool
    created: int
    updated: int
    unchanged: int
    relations_created: int
    relations_unchanged: int
    errors: list[RowError]
    error_count: int
    truncated: bool
    """There are more errors than are told."""


@dataclass
class _Work:
    """What the rows come to, once held against the database."""

    drafts: dict[Key, Draft] = field(default_factory=dict[Key, Draft])
    pairs: dict[Key, tuple[Item, Item]] = field(default_factory=dict[Key, tuple[Item, Item]])
    links: list[tuple[int, Key, str, Key]] = field(default_factory=list[tuple[int, Key, str, Key]])
    errors: list[RowError] = field(default_factory=list[RowError])

    def wrong(self, row: int, where: str, message: str) -> None:
        self.errors.append(RowError(row=row, field=where, message=message))


class ImportTools:
    """data.cmdb.importItems."""

    def __init__(self, store: Store, catalogues: Catalogues) -> None:
        self._store = store
        self._catalogues = catalogues

    def tools(self) -> tuple[Tool, ...]:
        return (
            writes("data.cmdb.importItems", self.import_items, title="Import items", long=True),
        )

    async def import_items(
        self,
        context: Context,
        content: Annotated[str, Field(min_length=1, max_length=MAX_CONTENT)],
        format: Format = "json",  # noqa: A002 - the catalogue names it
        what: What = "items",
        mode: Mode = "create",
        dry_run: bool = False,
    ) -> ImportReport:
        """Import items and relations from JSON or CSV text: all rows, or none if any is wrong.

        JSON: {"items": [{ciClass, name, attributes}], "relations": [{source: {ciClass, name}, type,
        target: {ciClass, name}}]}. CSV of items: ciClass, name, attributes.<name>...; CSV of
        relations (what=relations): sourceClass, sourceName, type, targetClass, targetName. What
        exportItems wrote comes back as it was. mode=create refuses rows whose class and name are
        live already; upsert merges their attributes. The report tells each wrong row, field and
        reason; dryRun only reports. At most 20000 rows.
        """
        session = self._store.read() if dry_run else self._store.write()
        async with session as connection:
            catalogue = await self._catalogues.at(connection)
            parsed = parse(content, format, what, _text_fields(catalogue))
            work = await _worked_out(connection, catalogue, parsed, mode)
            ends = await live_by_names(connection, _end_keys(work))
            fresh = await _fresh_links(connection, work, ends)
            _check_links(catalogue, work, ends)
            is_right = not work.errors
            if is_right and not dry_run:
                await _apply(Ledger(connection, context, "importItems"), work, ends, fresh)
        updated = sum(1 for before, after in work.pairs.values() if changes_between(before, after))
        return ImportReport(
            applied=is_right and not dry_run,
            dry_run=dry_run,
            created=len(work.drafts),
            updated=updated,
            unchanged=len(work.pairs) - updated,
            relations_created=len(fresh),
            relations_unchanged=len(work.links) - len(fresh),
            errors=sorted(work.errors, key=lambda error: error.row)[:MAX_ERRORS],
            error_count=len(work.errors),
            truncated=len(work.errors) > MAX_ERRORS,
        )


def _text_fields(catalogue: Catalogue) -> IsText:
    def is_text(ci_class: str, attribute: str) -> bool:
        if ci_class not in catalogue:
            return False
        part: Any = catalogue.schema_of(ci_class)["properties"].get(attribute)
        return isinstance(part, dict) and cast("dict[str, Any]", part).get("type") == "string"

    return is_text


async def _worked_out(
    connection: AsyncConnection, catalogue: Catalogue, parsed: Parsed, mode: Mode
) -> _Work:
    work = _Work(errors=list(parsed.errors))
    keys = [(row.ci_class, row.name) for _, row in parsed.items]
    held = await live_by_names(connection, keys)
    for count, (number, row) in enumerate(parsed.items):
        if count % _STEP == 0:
            await anyio.lowlevel.checkpoint()
        _place(work, catalogue, number, row, held.get((row.ci_class, row.name)), mode)
    work.links = [_link(number, row) for number, row in parsed.links]
    return work


def _link(number: int, row: LinkRow) -> tuple[int, Key, str, Key]:
    source, target = row.source, row.target
    return number, (source.ci_class, source.name), row.type, (target.ci_class, target.name)


def _place(
    work: _Work, catalogue: Catalogue, number: int, row: ItemRow, held: Item | None, mode: Mode
) -> None:
    """Put one row where it belongs: among the new, the changed or the wrong."""
    key = (row.ci_class, row.name)
    if key in work.drafts or key in work.pairs:
        work.wrong(number, "name", f"an earlier row has this {row.ci_class} already")
        return
    if held is not None and mode == "create":
        work.wrong(number, "name", f"there is a {row.ci_class} of this name already: {held.id}")
        return
    attributes = merged({} if held is None else held.attributes, row.attributes)
    try:
        catalogue.concrete(row.ci_class)
        check_attributes(attributes)
    except FlotillaError as error:
        hint = f" {error.hint}" if error.hint else ""
        work.wrong(number, "ciClass", f"{error.message}.{hint}")
        return
    problems = catalogue.problems(row.ci_class, attributes)
    for problem in problems:
        work.wrong(number, problem.field, problem.message)
    if problems:
        return
    if held is None:
        work.drafts[key] = Draft(row.ci_class, row.name, attributes)
    else:
        work.pairs[key] = (held, held.model_copy(update={"attributes": attributes}))


def _end_keys(work: _Work) -> list[Key]:
    return [key for _, source, _, target in work.links for key in (source, target)]


async def _fresh_links(
    connection: AsyncConnection, work: _Work, ends: dict[Key, Item]
) -> list[tuple[Key, str, Key]]:
    """The relations that are not there yet, each once."""
    rows = await live_relations(connection, [ends[key].id for key in ends])
    there = {(row["source_id"], row["type"], row["target_id"]) for row in rows}
    fresh: dict[tuple[Key, str, Key], None] = {}
    for _, source, kind, target in work.links:
        known = source in ends and target in ends
        if not known or (ends[source].id, kind, ends[target].id) not in there:
            fresh[source, kind, target] = None
    return list(fresh)


def _check_links(catalogue: Catalogue, work: _Work, ends: dict[Key, Item]) -> None:
    for number, source, kind, target in work.links:
        missing = [
            (where, key)
            for where, key in (("source", source), ("target", target))
            if key not in ends and key not in work.drafts
        ]
        for where, (ci_class, name) in missing:
            work.wrong(number, where, f"there is no live {ci_class[:64]} named {name!r}")
        if missing:
            continue
        if source == target:
            work.wrong(number, "target", "an item cannot have a relation to itself")
        elif kind not in RELATION_TYPES:
            work.wrong(number, "type", f"there is no relation type {kind!r}")
        else:
            try:
                catalogue.check_ends(relation_type(kind), source[0], target[0])
            except FlotillaError as error:
                work.wrong(number, "type", error.message)


async def _apply(
    ledger: Ledger, work: _Work, ends: dict[Key, Item], fresh: list[tuple[Key, str, Key]]
) -> None:
    made = await ledger.create(list(work.drafts.values()))
    changed = await ledger.update(list(work.pairs.values()))
    now = ends | {(one.ci_class, one.name): one for one in (*made, *changed)}
    links = [Link(now[source].id, kind, now[target].id) for source, kind, target in fresh]
    await ledger.relate(links, {one.id: one.version for one in now.values()})
