"""The tool that brings CIs of ServiceNow into our CMDB."""

from collections import Counter
from collections.abc import Callable

from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.applying import apply_plan
from cmdb.catalogue import Catalogue
from cmdb.items import fitting, live_by_names
from cmdb.planning import Planner
from cmdb.reconcile_plan import PlanContent, PlannedUpdate
from cmdb.seeding import Catalogues
from cmdb.servicenow.bringing import (
    Brought,
    Ci,
    Held,
    Key,
    brought,
    ci_of,
    fields_asked,
    keys_of,
    related,
)
from cmdb.servicenow.class_map import INSTANCE, MappedClass
from cmdb.servicenow.connection import Connection
from cmdb.servicenow.encoded_query import Conditions, Order, encoded, fields_of, related_to
from cmdb.servicenow.estate import Estate, InstanceName
from cmdb.servicenow.fields import check_not_hidden, check_table
from cmdb.servicenow.links import linked_items
from cmdb.servicenow.query_tools import TableName
from cmdb.servicenow.records import DRAWN_FIELDS, Asked, Drawn, Row, drawn, every_record
from cmdb.store import Store
from cmdb.values import ClassName
from flotilla import Context, InvalidArgument, Model, Tool, writes

MAX_PULLED = 20_000
MAX_RELATIONS = 20_000
PAGE = 1000
ENDS = 80
"""CIs whose relations are asked for at once: their sys_ids stand in a URL, twice."""
MAX_SHOWN = 20
MAX_PROBLEMS = 50
UPDATES_BYTES = 16 * 1024
MAX_VALUE = 200
RELATIONS = "cmdb_rel_ci"


class Updated(Model):
    """An item of ours that changes."""

    id: str
    name: str
    changes: list[dict[str, JsonValue]]
    """`{field, before?, after?}` each; long text is cut."""


class Pulled(Model):
    """What was brought in; with dryRun what would be."""

    instance: str
    table: str
    ci_class: str
    dry_run: bool
    read: int
    """CIs that ServiceNow gave."""
    hidden_by_acl: int
    """CIs that meet the conditions and that the account may not read."""
    created: int
    updated: int
    unchanged: int
    relations_created: int
    relations_skipped: dict[str, int]
    """How many relations of ServiceNow are not in ours, by the reason."""
    other_classes: dict[str, int]
    """CIs of the table that are of another class of ours; pull that class for them."""
    created_names: list[str]
    """At most the first 20."""
    updates: list[Updated]
    """At most the first 20."""
    problems: list[str]
    """What was left out and why; at most the first 50."""
    problem_count: int


class PullTools:
    """data.cmdb.pullServiceNow."""

    def __init__(self, store: Store, catalogues: Catalogues, estate: Estate) -> None:
        self._store = store
        self._catalogues = catalogues
        self._estate = estate

    def tools(self) -> tuple[Tool, ...]:
        return (
            writes(
                "data.cmdb.pullServiceNow",
                self.pull_service_now,
                title="Pull from ServiceNow",
                idempotent=True,
                open_world=True,
                untrusted=True,
                long=True,
            ),
        )

    async def pull_service_now(
        self,
        context: Context,
        ci_class: ClassName | None = None,
        table: TableName | None = None,
        conditions: Conditions | None = None,
        any_of: Conditions | None = None,
        relations: bool = True,
        dry_run: bool = False,
        instance: InstanceName = None,
    ) -> Pulled:
        """Bring CIs of ServiceNow and their relations into our CMDB: all of it, or nothing.

        Give `ciClass` (one of ours) or `table` (one of ServiceNow's). A CI is known again by its
        sys_id (servicenow_sys_id), so pulling twice changes nothing; attributes are merged, and
        nothing is ever retired. With `dryRun` it only tells what it would do. At most 20000 CIs.
        """
        connection = self._estate.chosen(instance)
        async with self._store.read() as reading:
            catalogue = await self._catalogues.at(reading)
        ours, place, mapped = _meant(connection, ci_class, table, catalogue)
        wanted, either = conditions or [], any_of or []

        def keep(row: Row) -> Ci:
            return ci_of(row, mapped, ours, catalogue)

        cis, hidden = await self._read(context, connection, place, mapped, wanted, either, keep)
        ids = [one.sys_id for one in cis]
        lines = await self._drawn(context, connection, ids) if relations else []
        session = self._store.read() if dry_run else self._store.write()
        async with session as database:
            current = await self._catalogues.at(database)
            told, content, skipped = await self._planned(
                database, current, connection, ours, cis, lines
            )
            if not dry_run:
                tool = f"pullServiceNow {connection.alias}"
                await apply_plan(database, current, context, tool, content)
        return _report(
            connection.alias,
            place,
            ours,
            told,
            content,
            skipped,
            hidden,
            len(cis),
            dry_run=dry_run,
        )

    async def _read(
        self,
        context: Context,
        connection: Connection,
        table: str,
        mapped: MappedClass,
        conditions: Conditions,
        any_of: Conditions,
        keep: Callable[[Row], Ci],
    ) -> tuple[list[Ci], int]:
        spoken_of = fields_of(conditions, any_of)
        encoded(conditions, any_of)
        hidden = await self._estate.hidden.of(connection, context.deadline)
        check_not_hidden([*mapped.fields().values(), *spoken_of], hidden)

        def asked(after: str | None) -> Asked:
            return Asked(
                table=table,
                query=encoded(conditions, any_of, [Order(field="sys_id")], after),
                fields=list(dict.fromkeys([*fields_asked(mapped), *spoken_of])),
                limit=PAGE,
                display="all",
            )

        async def progress(done: int, total: int | None) -> None:
            await context.report(done, total, f"{done} CIs of {table} read")

        return await every_record(
            connection,
            asked,
            context.deadline,
            progress,
            keep,
            most=MAX_PULLED,
            spoken_of=spoken_of,
        )

    async def _drawn(
        self, context: Context, connection: Connection, sys_ids: list[str]
    ) -> list[Drawn]:
        """The relations that have one of the CIs at an end, each once."""
        check_table(RELATIONS, connection.instance.tables)
        found: dict[str, Drawn] = {}
        for start in range(0, len(sys_ids), ENDS):
            some = sys_ids[start : start + ENDS]

            def asked(after: str | None, some: list[str] = some) -> Asked:
                return Asked(
                    table=RELATIONS,
                    query=related_to(some, after),
                    fields=DRAWN_FIELDS,
                    limit=PAGE,
                )

            async def progress(done: int, _: int | None, start: int = start) -> None:
                message = f"{len(found) + done} relations read"
                await context.report(len(sys_ids) + start, 2 * len(sys_ids), message)

            lines, _ = await every_record(
                connection, asked, context.deadline, progress, drawn, most=MAX_RELATIONS
            )
            found.update((one.sys_id, one) for one in lines)
        return list(found.values())

    async def _planned(
        self,
        database: AsyncConnection,
        catalogue: Catalogue,
        connection: Connection,
        ci_class: str,
        cis: list[Ci],
        lines: list[Drawn],
    ) -> tuple[Brought, PlanContent, Counter[str]]:
        postgresql, alias = self._store.is_postgresql, connection.alias
        ids = {one.sys_id for one in cis} | {end for one in lines for end in one[1:3]}
        linked = await linked_items(database, ids, postgresql=postgresql, instance=alias)
        named = await live_by_names(database, keys_of(cis, ci_class))
        told = brought(cis, ci_class, connection.classes, Held(linked, named), alias)

        def key_of(sys_id: str) -> Key | None:
            known = told.keys.get(sys_id)
            if known is not None:
                return known
            one = linked.get(sys_id)
            if one is None or one.attributes.get(INSTANCE) != alias:
                return None
            return one.ci_class, one.name

        links = related(lines, key_of, connection.classes, catalogue)
        planner = Planner(database, catalogue, postgresql=postgresql)
        content = await planner.planned(told.items, links.relations, None)
        return told, content, links.skipped


def _meant(
    connection: Connection, ci_class: str | None, table: str | None, catalogue: Catalogue
) -> tuple[str, str, MappedClass]:
    """`(class of ours, table of theirs, how one is the other)`."""
    classes = connection.classes
    if (ci_class is None) == (table is None):
        raise InvalidArgument(
            "give ciClass or table, and not both",
            hint=f"Classes of ours that ServiceNow has: {', '.join(classes)}.",
        )
    if ci_class is None:
        check_table(table or "", connection.instance.tables)
        ci_class = classes.ours(table or "")
    mapped = None if ci_class is None else classes.get(ci_class)
    if ci_class is None or mapped is None:
        raise InvalidArgument(
            f"{(table or ci_class or '')[:80]!r} is not mapped to "
            f"{'a class of ours' if table else 'a table of ServiceNow'}",
            hint="The owner maps classes in servicenow.yaml; there are: " + ", ".join(classes),
        )
    catalogue.concrete(ci_class)
    place = table or mapped.table
    check_table(place, connection.instance.tables)
    return ci_class, place, mapped


def _report(
    alias: str,
    table: str,
    ci_class: str,
    told: Brought,
    content: PlanContent,
    skipped: Counter[str],
    hidden: int,
    read: int,
    *,
    dry_run: bool,
) -> Pulled:
    shown = [_updated(one) for one in content.updates[:MAX_SHOWN]]
    return Pulled(
        instance=alias,
        table=table,
        ci_class=ci_class,
        dry_run=dry_run,
        read=read,
        hidden_by_acl=hidden,
        created=len(content.creates),
        updated=len(content.updates),
        unchanged=content.unchanged,
        relations_created=len(content.relations),
        relations_skipped=dict(skipped.most_common(20)),
        other_classes=dict(told.other_classes),
        created_names=[one.name for one in content.creates[:MAX_SHOWN]],
        updates=shown[: fitting(shown, UPDATES_BYTES)],
        problems=[one[:300] for one in told.problems[:MAX_PROBLEMS]],
        problem_count=len(told.problems),
    )


def _updated(one: PlannedUpdate) -> Updated:
    changes = [{key: _short(value) for key, value in change.items()} for change in one.changes]
    return Updated(id=one.id, name=one.name, changes=changes)


def _short(value: JsonValue) -> JsonValue:
    text = value if isinstance(value, str) else None
    return value if text is None or len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}..."
