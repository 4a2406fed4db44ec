"""A push: judged by ServiceNow's dry run, sent in batches, read back, and remembered here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import anyio
import structlog

from cmdb.items import Item, live_by_ids, live_relations
from cmdb.ledger import Ledger
from cmdb.seeding import Catalogues
from cmdb.servicenow.answers import PROVIDER
from cmdb.servicenow.class_map import CLASS, INSTANCE, KEY
from cmdb.servicenow.connection import Connection
from cmdb.servicenow.fields import check_not_hidden
from cmdb.servicenow.hidden_fields import HiddenFields
from cmdb.servicenow.identification import (
    Outcome,
    Sent,
    Tie,
    failed,
    outcomes,
    payload,
    sent,
    ties_told,
)
from cmdb.servicenow.read_back import DONE, compared, confirmed, drawn_already
from cmdb.store import Store
from flotilla import (
    Conflict,
    Context,
    FlotillaError,
    InvalidArgument,
    NotAllowed,
    NotConfigured,
    NotFound,
    RateLimited,
)

log = structlog.get_logger(__name__)

MAX_ITEMS = 200
BATCH = 50
PATH = "/api/now/identifyreconcile"
MIN_LEFT_S = 5.0
"""A batch is only begun with so much time left: its answer must not be lost."""
REMEMBER_S = 10.0
"""How long keeping the sys_ids may take after a call was cancelled."""

_NOT_TAKEN = (InvalidArgument, NotAllowed, NotConfigured, NotFound, RateLimited)
_NEVER_THERE = ("unreachable", "hibernating", "html_page")
"""Errors, and reasons of others, after which nothing of a batch is done."""


@dataclass
class Push:
    """What became of all items so far."""

    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    relations_made: int = 0
    relations_unchanged: int = 0
    relation_errors: list[str] = field(default_factory=list[str])
    stopped_by: str | None = None

    def has_done(self) -> bool:
        return any(one.state in (*DONE, "unconfirmed", "unknown") for one in self.outcomes)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Items that go in one request; `again` where they went before and only tie here."""

    items: Sequence[Sent]
    ties: Sequence[Tie]
    again: bool = False


class Pushing:
    """Pushes items of one store."""

    def __init__(self, store: Store, catalogues: Catalogues, hidden: HiddenFields) -> None:
        self._store = store
        self._catalogues = catalogues
        self._hidden = hidden

    async def previewed(
        self,
        context: Context,
        connection: Connection,
        wanted: Mapping[str, int],
        count: int,
        *,
        relations: bool,
    ) -> Push:
        """What a push would do, with the changes of each CI that is there."""
        items, ties = await self._read(context, connection, wanted, count, relations=relations)
        push = Push()
        ties = await _without_drawn(connection, items, ties, push, context)
        for batch in _batches(items, ties):
            told = await self._asked(context, connection, batch, push, commits=False)
            if not batch.again:
                told = await compared(connection, batch.items, told, context.deadline)
                push.outcomes.extend(told)
        return push

    async def pushed(
        self,
        context: Context,
        connection: Connection,
        wanted: Mapping[str, int],
        count: int,
        *,
        relations: bool,
    ) -> Push:
        """Send them. An error before anything was done is raised; a later one ends the push."""
        items, ties = await self._read(context, connection, wanted, count, relations=relations)
        push = Push()
        ties = await _without_drawn(connection, items, ties, push, context)
        good: set[str] = set()
        for batch in _batches(items, ties):
            if push.stopped_by is None and context.deadline.remaining_s() < MIN_LEFT_S:
                push.stopped_by = "there was no time left for further batches"
            if push.stopped_by is not None:
                _give_up(batch, push)
                continue
            try:
                await self._one(context, connection, batch, push, good)
            except FlotillaError as error:
                if not push.has_done():
                    raise
                push.stopped_by = f"{error.code}: {error.message}"[:500]
            done, total = len(push.outcomes), len(items)
            await context.report(done, total, f"{done} of {total} items told to {PROVIDER}")
        return push

    async def _one(
        self, context: Context, connection: Connection, batch: _Batch, push: Push, good: set[str]
    ) -> None:
        """Send one batch: what the dry run refuses is left out, so that it holds up no other."""
        if batch.again:
            await self._tied(context, connection, batch, push, good)
            return
        at_first = len(push.outcomes)
        try:
            foreseen = await self._asked(context, connection, batch, None, commits=False)
            refused = [one for one in foreseen if one.state not in DONE]
            push.outcomes.extend(refused)
            out = {one.id for one in refused}
            left = [one for one in batch.items if one.item.id not in out]
            rest = _only(batch, {one.item.id for one in left})
            if dropped := len(batch.ties) - len(rest.ties):
                push.relation_errors.append(f"{dropped} relations of refused items are left out")
            if not left:
                return
            told = await self._asked(context, connection, rest, push, commits=True)
        except FlotillaError as error:
            known = {one.id for one in push.outcomes[at_first:]}
            lost = error.details.get("outcome") == "unknown"
            push.outcomes.extend(
                failed(one, error.message, "unknown" if lost else "notSent")
                for one in batch.items
                if one.item.id not in known
            )
            if lost and at_first == 0:
                # Nothing else is known: the error says it better than a report.
                push.outcomes.clear()
            raise
        good.update(one.id for one in told if one.state in DONE)
        linked = await self._remembered(context, connection, told)
        push.outcomes.extend(await confirmed(connection, left, linked, context.deadline))

    async def _tied(
        self, context: Context, connection: Connection, batch: _Batch, push: Push, good: set[str]
    ) -> None:
        """Send relations between items of other batches, which go along once more."""
        rest = _only(batch, good)
        if dropped := len(batch.ties) - len(rest.ties):
            push.relation_errors.append(f"{dropped} relations of items not sent are left out")
        if not rest.ties:
            return
        try:
            await self._asked(context, connection, rest, push, commits=True)
        except FlotillaError as error:
            lost = error.details.get("outcome") == "unknown"
            state = "may or may not be there" if lost else "were not sent"
            push.relation_errors.append(f"{len(rest.ties)} relations {state}: {error.message}")
            raise

    async def _asked(
        self,
        context: Context,
        connection: Connection,
        batch: _Batch,
        push: Push | None,
        *,
        commits: bool,
    ) -> list[Outcome]:
        """The engine's word on a batch; counts relations in `push` where one is given."""
        source = connection.instance.data_source
        try:
            answered = await connection.post(
                PATH if commits else f"{PATH}/query",
                {"sysparm_data_source": source},
                payload(batch.items, batch.ties, source),
                context.deadline,
                is_read=not commits,
            )
        except FlotillaError as error:
            if commits and not _is_untaken(error):
                error.details["outcome"] = "unknown"
                error.hint = "It may have been done all the same: preview again before a retry."
            raise
        told = outcomes(batch.items, answered.result)
        if push is not None:
            made, there, errors = ties_told(batch.ties, answered.result)
            push.relations_made += made
            push.relations_unchanged += there
            push.relation_errors.extend(errors)
        return told

    async def _read(
        self,
        context: Context,
        connection: Connection,
        wanted: Mapping[str, int],
        count: int,
        *,
        relations: bool,
    ) -> tuple[list[Sent], list[Tie]]:
        """The items at the versions wanted, and what ties them."""
        if len(wanted) < count:
            raise InvalidArgument("items names one twice")
        async with self._store.read() as database:
            held = await live_by_ids(database, wanted)
            rows = await live_relations(database, list(held)) if relations else []
        _check_versions(wanted, held)
        items = [_as_sent(held[item_id], connection) for item_id in wanted]
        fields = dict.fromkeys(name for one in items for name in one.values)
        hidden = await self._hidden.of(connection, context.deadline)
        check_not_hidden(fields, hidden)
        ties: list[Tie] = []
        for row in rows:
            if row["source_id"] not in held or row["target_id"] not in held:
                continue
            known = connection.classes.pushed(row["type"])
            if known is not None:
                name, mapped = known
                ends = (row["source_id"], row["target_id"])
                parent, child = reversed(ends) if mapped.reversed else ends
                ties.append(Tie(name, parent, child, row["type"]))
        return items, ties

    async def _remembered(
        self, context: Context, connection: Connection, told: Sequence[Outcome]
    ) -> list[Outcome]:
        """Keep the sys_ids on our items, also when the call is cancelled meanwhile.

        Where that fails the push is done all the same: ServiceNow knows the item by its ID.
        """
        found = {one.id: one for one in told if one.state in DONE and one.sys_id}
        versions: dict[str, int] = {}
        problem: str | None = None
        refused: set[str] = set()
        with anyio.move_on_after(REMEMBER_S, shield=True) as limit:
            try:
                async with self._store.write() as database:
                    catalogue = await self._catalogues.at(database)
                    held = await live_by_ids(database, found)
                    pairs: list[tuple[Item, Item]] = []
                    for one in held.values():
                        linked = _linked(one, found[one.id], connection)
                        # A class may take no other attributes than its own.
                        if catalogue.problems(one.ci_class, linked.attributes):
                            refused.add(one.id)
                        else:
                            pairs.append((one, linked))
                    ledger = Ledger(database, context, f"pushServiceNow {connection.alias}")
                    versions = {one.id: one.version for one in await ledger.update(pairs)}
            except FlotillaError as error:
                problem = error.message
        if limit.cancelled_caught or problem is not None:
            problem = problem or "the database took too long"
            log.warning("servicenow_sys_ids_not_kept", instance=connection.alias, items=len(found))
            return [_unkept(one, problem) if one.id in found else one for one in told]
        why = "the item does not fit its class with it"
        return [
            one.model_copy(update={"version": versions[one.id]})
            if one.id in versions
            else (_unkept(one, why) if one.id in refused else one)
            for one in told
        ]


def _unkept(one: Outcome, why: str) -> Outcome:
    return one.model_copy(
        update={"warnings": [*one.warnings, f"its sys_id is not kept here: {why}"]}
    )


async def _without_drawn(
    connection: Connection,
    items: Sequence[Sent],
    ties: Sequence[Tie],
    push: Push,
    context: Context,
) -> list[Tie]:
    """The ties that ServiceNow does not have, under whichever of its names for that type."""
    there = await drawn_already(connection, items, ties, context.deadline)
    push.relations_unchanged += len(there)
    return [tie for tie in ties if tie not in there]


def _give_up(batch: _Batch, push: Push) -> None:
    why = "the push ended before it"
    if not batch.again:
        push.outcomes.extend(failed(one, why, "notSent") for one in batch.items)
    if batch.ties:
        push.relation_errors.append(f"{len(batch.ties)} relations were not sent")


def _is_untaken(error: FlotillaError) -> bool:
    return isinstance(error, _NOT_TAKEN) or error.details.get("reason") in _NEVER_THERE


def _check_versions(wanted: Mapping[str, int], held: Mapping[str, Item]) -> None:
    missing = [item_id for item_id in wanted if item_id not in held]
    if missing:
        raise NotFound(f"there is no live item {missing[0][:64]!r}", details={"ids": missing[:50]})
    moved = [
        {"id": one.id, "version": one.version, "expectedVersion": wanted[one.id]}
        for one in held.values()
        if one.version != wanted[one.id]
    ]
    if moved:
        raise Conflict(
            f"{len(moved)} of the items have changed since they were looked at",
            hint="Read them again and push what they are now.",
            details={"items": moved[:50]},
        )


def _as_sent(item: Item, connection: Connection) -> Sent:
    mapped = connection.classes.get(item.ci_class)
    if mapped is None:
        raise InvalidArgument(
            f"{item.id} is a {item.ci_class}, which is not mapped to a class of {PROVIDER}",
            hint=f"Mapped are: {', '.join(connection.classes)}; servicenow.yaml adds others.",
        )
    source = item.attributes.get(INSTANCE)
    if source is not None and source != connection.alias:
        raise Conflict(
            f"{item.id} is linked to a CI of the instance {source!r}",
            hint="An item is linked to one instance; remove servicenow_instance to link it anew.",
            details={"reason": "other_instance"},
        )
    return sent(item, mapped, connection.classes, connection.alias)


def _linked(item: Item, told: Outcome, connection: Connection) -> Item:
    own = {KEY: told.sys_id, INSTANCE: connection.alias}
    # The CI that was there may be of a class below the one that was named.
    if told.state == "insert":
        own[CLASS] = told.class_name
    return item.model_copy(update={"attributes": {**item.attributes, **own}})


def _batches(items: Sequence[Sent], ties: Sequence[Tie]) -> Iterator[_Batch]:
    """The items in parts; ties go with both of their ends, those across parts at the end."""
    across = list(ties)
    for start in range(0, len(items), BATCH):
        part = items[start : start + BATCH]
        ids = {one.item.id for one in part}
        within = [tie for tie in across if tie.parent in ids and tie.child in ids]
        across = [tie for tie in across if tie not in within]
        yield _Batch(part, within)
    known = {one.item.id: one for one in items}
    for start in range(0, len(across), BATCH // 2):
        some = across[start : start + BATCH // 2]
        ends = dict.fromkeys(end for tie in some for end in (tie.parent, tie.child))
        yield _Batch([known[end] for end in ends], some, again=True)


def _only(batch: _Batch, ids: set[str]) -> _Batch:
    """The batch without other items, and without what ties to them."""
    ties = [tie for tie in batch.ties if tie.parent in ids and tie.child in ids]
    ends = {end for tie in ties for end in (tie.parent, tie.child)}
    kept = ends if batch.again else ids
    return _Batch([one for one in batch.items if one.item.id in kept], ties, batch.again)
