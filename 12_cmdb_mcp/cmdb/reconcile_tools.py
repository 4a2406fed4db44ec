"""Tools that compare the inventory with what was discovered, and apply exactly what was shown."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import Field, JsonValue
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.applying import apply_plan
from cmdb.faults import Faults
from cmdb.filters import Filter, Filters
from cmdb.gatherings import DROP, PAGE, Gatherings, Whole
from cmdb.planning import Planner
from cmdb.reconcile_plan import (
    Discovered,
    DiscoveredRelation,
    EndRef,
    PlanContent,
    PlannedCreate,
    PlannedEnd,
    PlannedRelation,
    PlannedRetire,
    PlannedUpdate,
    hash_of,
)
from cmdb.seeding import Catalogues
from cmdb.stamps import Time, new_id, now, written
from cmdb.store import Store
from cmdb.tables import plan
from cmdb.values import ClassName
from flotilla import Conflict, Context, InvalidArgument, Model, NotFound, Tool, reads, writes
from flotilla.discovery import Covers, SeenRelation
from flotilla.operations import Operation
from flotilla.tool import Gathers

MAX_DISCOVERED = 5000
MAX_SHOWN = 100
GATHERS = Gathers(argument="discover", into="gathering", page=PAGE, drop=DROP)
"""Operations of a kind told in a preview; the counts are always whole."""
MAX_PLANS = 50
"""Plans kept for one principal; the oldest go first."""

PlanId = Annotated[str, Field(min_length=1, max_length=64, description="plan_... of a preview.")]


class Scope(Model):
    """Which live items the discovery speaks of: those of them that it did not see are retired."""

    ci_classes: Annotated[list[ClassName], Field(min_length=1, max_length=50)]
    filters: Filters = Field(default_factory=list)


class Discover(Model):
    """A source of the fleet that sees what really runs, and how much of it to look at."""

    service: Annotated[str, Field(min_length=1, max_length=64, description="Say azure or vmware.")]
    within: Annotated[
        dict[str, JsonValue],
        Field(
            max_length=20,
            description="The scope, as parameters of the list tool of that service: account, "
            "cluster, vcenter, ...; without it the service's own default.",
        ),
    ] = Field(default_factory=dict[str, JsonValue])


class Counts(Model):
    """How many operations a plan has, of each kind."""

    creates: int
    updates: int
    retires: int
    relations: int
    relations_ended: int | None = None
    unchanged: int


class Plan(Model):
    """What applyReconcile would do with this planId, and nothing else."""

    plan_id: str
    source: str
    counts: Counts
    creates: list[PlannedCreate]
    updates: list[PlannedUpdate]
    retires: list[PlannedRetire]
    relations: list[PlannedRelation]
    relations_ended: list[PlannedEnd] | None = None
    left_out: int | None = None
    """Items and relations of a source that do not fit the inventory; they are planned nowhere."""
    problems: list[str] | None = None
    """Why, of the first of them."""
    created_at: Time
    expires_at: Time
    hash: str
    truncated: bool
    """More operations of some kind than are listed; the counts and the hash hold all of them."""


class Applied(Model):
    """What was done."""

    plan_id: str
    hash: str
    created: int
    updated: int
    retired: int
    relations_created: int
    relations_ended: int
    created_ids: list[str]
    """At most the first 500."""


class ReconcileTools:
    """data.cmdb.previewReconcile, applyReconcile."""

    def __init__(self, store: Store, catalogues: Catalogues, plan_ttl_s: int) -> None:
        self._store = store
        self._catalogues = catalogues
        self._plan_ttl = timedelta(seconds=plan_ttl_s)
        self._gatherings = Gatherings(store)

    def operations(self) -> tuple[Operation, Operation]:
        """By which the hub brings what a source sees."""
        return self._gatherings.operations()

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads(
                "data.cmdb.previewReconcile",
                self.preview_reconcile,
                title="Preview a reconciliation",
                long=True,
                gathers=GATHERS,
            ),
            writes(
                "data.cmdb.applyReconcile",
                self.apply_reconcile,
                title="Apply a reconciliation",
                long=True,
            ),
        )

    async def preview_reconcile(
        self,
        context: Context,
        source: Annotated[str, Field(min_length=1, max_length=200)],
        items: Annotated[list[Discovered], Field(max_length=MAX_DISCOVERED)] | None = None,
        relations: Annotated[list[DiscoveredRelation], Field(max_length=MAX_DISCOVERED)]
        | None = None,
        scope: Scope | None = None,
        discover: Discover | None = None,
        allow_mass_retirement: Annotated[
            bool, Field(description="Most of what the scope covers has really gone.")
        ] = False,
        gathering: Annotated[
            str | None, Field(max_length=64, description="Leave out: the hub fills it in.")
        ] = None,
    ) -> Plan:
        """Compare what was discovered with the live inventory and plan the difference.

        Give either items (with relations, scope) or discover, which has a service of the fleet tell
        what really runs there. Items are found by their key attribute or else by class and name;
        attributes are merged, so what the source does not tell stays. Retired are live items inside
        the scope that were not seen, without one none; discover has the scope of its source. Where
        most of them would go it is a conflict unless allowMassRetirement. Nothing of the inventory
        changes: the plan is kept until expiresAt for applyReconcile. Show it to a person when it
        retires anything.
        """
        if (items is None) == (discover is None):
            raise InvalidArgument("give either items or discover", hint="And one of them alone.")
        if discover is not None:
            if relations is not None or scope is not None:
                raise InvalidArgument("relations and scope go with items, not with discover")
            told = await self._gathered(context, discover, gathering)
            seen, links = await told.read()
            async with self._store.read() as connection:
                planner = await self._planner(connection, told.covers, allow_mass_retirement)
                content = await planner.planned(
                    seen, list(map(_as_discovered, links)), _scope_of(told.covers)
                )
        else:
            async with self._store.read() as connection:
                planner = await self._planner(connection, None, allow_mass_retirement)
                limits = None if scope is None else (scope.ci_classes, scope.filters)
                content = await planner.planned(items or [], relations or [], limits)
        faults = planner.faults
        async with self._store.write() as connection:
            return await self._kept(connection, context, source, content, faults)

    async def _planner(
        self, connection: AsyncConnection, covers: Covers | None, mass_retirement: bool
    ) -> Planner:
        return Planner(
            connection,
            await self._catalogues.at(connection),
            postgresql=self._store.is_postgresql,
            covers=covers,
            mass_retirement=mass_retirement,
        )

    async def _gathered(self, context: Context, discover: Discover, gathering: str | None) -> Whole:
        if gathering is None:
            raise InvalidArgument(
                "nothing was gathered: the hub does that, for calls that come through it",
                hint="Call this tool at the hub; without one give items.",
            )
        told = await self._gatherings.whole(gathering, context.principal.name)
        if told.source != discover.service:
            raise InvalidArgument("what was gathered is of another service")
        if not told.covers.attributes:
            raise InvalidArgument(f"{told.source} does not say whose items it sees")
        return told

    async def apply_reconcile(
        self,
        context: Context,
        plan_id: PlanId,
        hash: Annotated[  # noqa: A002 - the preview names it
            str | None,
            Field(max_length=64, description="The preview's hash; refused when it is another."),
        ] = None,
    ) -> Applied:
        """Do exactly what previewReconcile showed under this planId, all of it or nothing.

        Answers conflict (details.items) when an item that the plan touches has changed since, a
        name was taken or a class now refuses an item; also when the plan was applied or expired.
        Preview again then. A plan is applied once.
        """
        async with self._store.write() as connection:
            row = await _plan(connection, plan_id)
            _check_usable(row, hash)
            content = PlanContent.model_validate(row["content"])
            catalogue = await self._catalogues.at(connection)
            tool = f"applyReconcile {plan_id}"
            done = await apply_plan(connection, catalogue, context, tool, content)
            await connection.execute(
                update(plan).where(plan.c.id == plan_id).values(applied_at=now())
            )
        return Applied(
            plan_id=plan_id,
            hash=row["hash"],
            created=len(content.creates),
            updated=len(content.updates),
            retired=len(content.retires),
            relations_created=len(content.relations),
            relations_ended=done.relations_ended,
            created_ids=done.created_ids[:500],
        )

    async def _kept(
        self,
        connection: AsyncConnection,
        context: Context,
        source: str,
        content: PlanContent,
        faults: Faults,
    ) -> Plan:
        moment = datetime.now(UTC)
        expires_at = written(moment + self._plan_ttl)
        who = context.principal.name
        await connection.execute(delete(plan).where(plan.c.expires_at < written(moment)))
        newest = (
            select(plan.c.id)
            .where(plan.c.principal == who)
            .order_by(plan.c.id.desc())
            .limit(MAX_PLANS - 1)
        )
        kept = list((await connection.execute(newest)).scalars())
        await connection.execute(
            delete(plan).where(plan.c.principal == who, plan.c.id.not_in(kept))
        )
        row: dict[str, Any] = {
            "id": new_id("plan"),
            "principal": who,
            "source": source,
            "content": content.stored(),
            "hash": content.hash(),
            "created_at": written(moment),
            "expires_at": expires_at,
        }
        await connection.execute(insert(plan), [row])
        return _shown(row, content, faults)


def _scope_of(covers: Covers) -> tuple[list[str], list[Filter]]:
    filters = [
        Filter(attribute=name, op="eq", value=value) for name, value in covers.attributes.items()
    ]
    return covers.ci_classes, filters


def _as_discovered(one: SeenRelation) -> DiscoveredRelation:
    # Not validated: an end that cannot be a name is that of no item, and is told so.
    ends = [
        EndRef.model_construct(ci_class=end.ci_class, name=end.name)
        for end in (one.source, one.target)
    ]
    return DiscoveredRelation.model_construct(source=ends[0], type=one.type, target=ends[1])


def _shown(row: dict[str, Any], content: PlanContent, faults: Faults) -> Plan:
    kinds = (
        content.creates,
        content.updates,
        content.retires,
        content.relations,
        content.ends,
    )
    return Plan(
        plan_id=row["id"],
        source=row["source"],
        counts=Counts(
            creates=len(content.creates),
            updates=len(content.updates),
            retires=len(content.retires),
            relations=len(content.relations),
            relations_ended=len(content.ends) or None,
            unchanged=content.unchanged,
        ),
        creates=content.creates[:MAX_SHOWN],
        updates=content.updates[:MAX_SHOWN],
        retires=content.retires[:MAX_SHOWN],
        relations=content.relations[:MAX_SHOWN],
        relations_ended=content.ends[:MAX_SHOWN] or None,
        left_out=faults.count or None,
        problems=faults.told or None,
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        hash=row["hash"],
        truncated=max(map(len, kinds)) > MAX_SHOWN,
    )


async def _plan(connection: AsyncConnection, plan_id: str) -> Any:
    found = await connection.execute(select(plan).where(plan.c.id == plan_id))
    row = found.mappings().one_or_none()
    if row is None:
        raise NotFound(
            f"there is no plan {plan_id!r}",
            hint="It expired and was removed, or never was: preview again.",
        )
    return row


def _check_usable(row: Any, expected_hash: str | None) -> None:
    if row["applied_at"] is not None:
        raise Conflict(
            f"plan {row['id']} was applied at {row['applied_at']}", hint="Preview again."
        )
    if row["expires_at"] < now():
        raise Conflict(f"plan {row['id']} expired at {row['expires_at']}", hint="Preview again.")
    if expected_hash is not None and expected_hash != row["hash"]:
        raise Conflict(
            f"plan {row['id']} has another hash than the one given",
            hint="Apply the plan that was looked at, with its own planId and hash.",
        )
    # The row may have been changed in the database by other hands.
    if hash_of(row["content"]) != row["hash"]:
        raise Conflict(f"plan {row['id']} is not what was previewed", hint="Preview again.")
