"""What ServiceNow's records show of a push, beforehand and afterwards."""

from collections.abc import Mapping, Sequence

from cmdb.servicenow.connection import Connection
from cmdb.servicenow.encoded_query import Condition, encoded, is_sys_id, related_to
from cmdb.servicenow.fields import check_table
from cmdb.servicenow.identification import Outcome, Sent, Tie, all_values, differences
from cmdb.servicenow.records import DRAWN_FIELDS, Asked, drawn, every_record, read_page, text_of
from flotilla import Deadline, FlotillaError, NotAllowed

DONE = ("insert", "update", "unchanged")
MAX_RELATIONS = 20_000
_ENDS = 80
_PAGE = 1000
_RELATIONS = "cmdb_rel_ci"

Records = Mapping[str, Mapping[str, str]]
"""The fields of CIs by their sys_ids."""


async def compared(
    connection: Connection, some: Sequence[Sent], told: Sequence[Outcome], deadline: Deadline
) -> list[Outcome]:
    """With what differs between the records and what is sent, where they can be read."""
    found, _ = await _records(connection, some, told, deadline)
    by_id = {one.item.id: one for one in some}
    return [
        one.model_copy(update={"changes": all_values(by_id[one.id])})
        if one.state == "insert"
        else one
        for one in _with_changes(some, told, found)
    ]


async def confirmed(
    connection: Connection, some: Sequence[Sent], told: Sequence[Outcome], deadline: Deadline
) -> list[Outcome]:
    """After a commit: what the records do not show is not said to be done."""
    try:
        found, closed = await _records(connection, some, told, deadline)
    except FlotillaError as error:
        why = f"it could not be read back: {error.code}"
        # Beside an error in the same answer, nothing else of that answer is sure.
        doubtful = any(one.state == "error" for one in told)
        return [_doubted(one, why, doubtful=doubtful and one.state in DONE) for one in told]
    return [
        _doubted(one, "its record does not show it", doubtful=True)
        if one.state in DONE
        and (one.changes or (one.class_name not in closed and one.sys_id not in found))
        else one
        for one in _with_changes(some, told, found)
    ]


def _doubted(one: Outcome, why: str, *, doubtful: bool) -> Outcome:
    state = "unconfirmed" if doubtful else one.state
    return one.model_copy(update={"state": state, "warnings": [*one.warnings, why]})


def _with_changes(some: Sequence[Sent], told: Sequence[Outcome], found: Records) -> list[Outcome]:
    by_id = {one.item.id: one for one in some}
    shown: list[Outcome] = []
    for one in told:
        if one.sys_id is None or one.sys_id not in found:
            shown.append(one)
            continue
        changes = differences(by_id[one.id], found[one.sys_id])
        kept = [change for change in changes if change.field not in one.masked]
        shown.append(one.model_copy(update={"changes": kept}))
    return shown


async def _records(
    connection: Connection, some: Sequence[Sent], told: Sequence[Outcome], deadline: Deadline
) -> tuple[Records, set[str]]:
    """The records of the CIs that were found, and the tables that may not be read."""
    values = {one.item.id: one.values for one in some}
    tables: dict[str, dict[str, str]] = {}
    for one in told:
        if one.sys_id is not None and is_sys_id(one.sys_id):
            tables.setdefault(one.class_name, {})[one.sys_id] = one.id
    found: dict[str, dict[str, str]] = {}
    closed: set[str] = set()
    for table, ids in tables.items():
        try:
            check_table(table, connection.instance.tables)
        except NotAllowed:
            closed.add(table)
            continue
        fields = dict.fromkeys(["sys_id", *(name for i in ids.values() for name in values[i])])
        wanted = Condition(field="sys_id", op="in", value=list(ids))
        asked = Asked(table=table, query=encoded([wanted]), fields=list(fields), limit=len(ids))
        page = await read_page(connection, asked, deadline)
        for row in page.rows:
            found[text_of(row.get("sys_id"))] = {name: text_of(row[name]) for name in row}
    return found, closed


async def drawn_already(
    connection: Connection, items: Sequence[Sent], ties: Sequence[Tie], deadline: Deadline
) -> set[Tie]:
    """The ties between CIs that ServiceNow has, perhaps under another of its names for the type.

    It has `Hosted on::Hosts` and `Runs on::Runs` where we have one: pushing what was pulled must
    not draw a second line.
    """
    linked = {one.item.id: one.linked for one in items if one.linked}
    asked_for = [tie for tie in ties if tie.parent in linked and tie.child in linked]
    try:
        check_table(_RELATIONS, connection.instance.tables)
    except NotAllowed:
        return set()
    parents = list(dict.fromkeys(str(linked[tie.parent]) for tie in asked_for))
    there: set[tuple[str, str, str]] = set()
    for start in range(0, len(parents), _ENDS):
        some = parents[start : start + _ENDS]

        def asked(after: str | None, some: list[str] = some) -> Asked:
            return Asked(
                table=_RELATIONS,
                query=related_to(some, after),
                fields=DRAWN_FIELDS,
                limit=_PAGE,
            )

        lines, _ = await every_record(
            connection, asked, deadline, _silently, drawn, most=MAX_RELATIONS
        )
        for one in lines:
            mapped = connection.classes.relation(one.type)
            if mapped is None:
                continue
            ends = one.parent, one.child
            source, target = reversed(ends) if mapped.reversed else ends
            there.add((source, mapped.type, target))
    return {tie for tie in asked_for if _as_ours(connection, tie, linked) in there}


def _as_ours(
    connection: Connection, tie: Tie, linked: Mapping[str, str | None]
) -> tuple[str, str, str]:
    mapped = connection.classes.relation(tie.type)
    ends = str(linked[tie.parent]), str(linked[tie.child])
    source, target = reversed(ends) if mapped is not None and mapped.reversed else ends
    return source, tie.ours, target


async def _silently(_done: int, _total: int | None) -> None:
    """Nobody is told of these steps."""
