"""The tool that reads records of ServiceNow."""

import hashlib
from collections.abc import Sequence
from typing import Annotated

import orjson
from pydantic import Field

from cmdb.servicenow.encoded_query import Conditions, Order, encoded, fields_of, is_sys_id
from cmdb.servicenow.estate import Estate, InstanceName
from cmdb.servicenow.fields import check_field, check_not_hidden, check_table
from cmdb.servicenow.records import Asked, Records, Row, check_fields_known, read_page, text_of
from flotilla import (
    MAX_TEXT_BYTES,
    Context,
    Cursor,
    InvalidArgument,
    Limit,
    Model,
    Tool,
    cut,
    decode_cursor,
    encode_cursor,
    reads,
)

MAX_ROWS_BYTES = MAX_TEXT_BYTES - 6 * 1024
"""Of the records of an answer; the rest of it is beside them."""
MAX_CELL_BYTES = 2000
SHOWN = [
    "name",
    "sys_class_name",
    "short_description",
    "operational_status",
    "ip_address",
    "serial_number",
    "number",
]
SHOWN_OF: dict[str, list[str]] = {"cmdb_rel_ci": ["parent", "type", "child"]}

TableName = Annotated[str, Field(max_length=80, description="Say cmdb_ci_server or cmdb_rel_ci.")]
FieldNames = Annotated[
    list[Annotated[str, Field(max_length=120)]],
    Field(max_length=30, description="Which to show; by default a few that tell what a CI is."),
]


class Found(Model):
    """A page of records. Every value is text, as ServiceNow stores or (displayValue) shows it."""

    instance: str
    table: str
    items: list[dict[str, str]]
    returned: int
    next_cursor: str | None = None
    total: int | None = None
    """How many records meet the conditions, those that the account may not read among them."""
    hidden_by_acl: int
    """Records of this page that ServiceNow's access rules kept back."""
    missing_fields: list[str]
    """Fields asked for that no record of this page has: unknown, or not to be read."""
    cut_fields: list[str]
    """Fields of which a value was too long and is cut; ask for them alone to see more."""
    truncated: bool


class QueryTools:
    """data.cmdb.queryServiceNow."""

    def __init__(self, estate: Estate) -> None:
        self._estate = estate

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads(
                "data.cmdb.queryServiceNow",
                self.query_service_now,
                title="Query ServiceNow",
                open_world=True,
                untrusted=True,
            ),
        )

    async def query_service_now(
        self,
        context: Context,
        table: TableName,
        conditions: Conditions | None = None,
        any_of: Conditions | None = None,
        fields: FieldNames | None = None,
        order_by: Order | None = None,
        display_value: bool = False,
        instance: InstanceName = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Found:
        """Read records of a ServiceNow table by the Table API: CIs, or relations of cmdb_rel_ci.

        All `conditions` must hold and, where `anyOf` is given, one of those at least, say
        `{"field": "operational_status", "op": "eq", "value": "1"}`. sys_id is always shown. A page
        may have fewer records than `limit`; go on while there is `nextCursor`. Passwords are never
        read, and tables outside the owner's allow-list are refused.
        """
        connection = self._estate.chosen(instance)
        check_table(table, connection.instance.tables)
        shown = list(dict.fromkeys(["sys_id", *(fields or SHOWN_OF.get(table, SHOWN))]))
        for field in shown:
            check_field(field)
        wanted, either = conditions or [], any_of or []
        order = [order_by] if order_by else []
        # Checked before anything is sent: an encoded query with a mistake asks for everything.
        encoded(wanted, either, order)
        spoken_of = fields_of(wanted, either, order)
        hidden = await self._estate.hidden.of(connection, context.deadline)
        check_not_hidden([*shown, *spoken_of], hidden)
        kind = _kind(connection.alias, table, wanted, either, order)
        after, offset = _position(kind, cursor)
        by_id = not order
        tail = [*order, Order(field="sys_id")]
        asked = Asked(
            table=table,
            query=encoded(wanted, either, tail, after if by_id else None),
            fields=list(dict.fromkeys([*shown, *spoken_of])),
            limit=limit,
            offset=offset,
            display="true" if display_value else "false",
        )
        page = await read_page(connection, asked, context.deadline)
        check_fields_known(table, spoken_of, page.rows)
        items, was_cut = _shown(page.rows, shown)
        next_cursor = _next(kind, asked, page, len(items), by_id=by_id, after=after)
        return Found(
            instance=connection.alias,
            table=table,
            items=items,
            returned=len(items),
            next_cursor=next_cursor,
            total=page.total if cursor is None or not by_id else None,
            hidden_by_acl=page.hidden,
            missing_fields=[f for f in shown if page.rows and not any(f in r for r in page.rows)]
            if fields
            else [],
            cut_fields=was_cut,
            truncated=next_cursor is not None or bool(was_cut),
        )


def _kind(alias: str, table: str, *told: Sequence[Model]) -> str:
    """What a cursor is of: going on with another question would skip or repeat records."""
    whole = [alias, table, [[one.model_dump(mode="json") for one in some] for some in told]]
    return f"servicenow:{hashlib.sha256(orjson.dumps(whole)).hexdigest()[:16]}"


def _position(kind: str, cursor: str | None) -> tuple[str | None, int]:
    """`(the sys_id after which the page begins, how many records then to leave out)`."""
    if cursor is None:
        return None, 0
    told = decode_cursor(kind, cursor)
    match told:
        case [str(after), int(offset)] if is_sys_id(after) and 0 <= offset < 10**9:
            return after, offset
        case [None, int(offset)] if 0 <= offset < 10**9:
            return None, offset
        case _:
            raise InvalidArgument("cursor is not one that this tool gave out")


def _next(
    kind: str, asked: Asked, page: Records, shown: int, *, by_id: bool, after: str | None
) -> str | None:
    """Where the next page begins.

    In the order of sys_ids that is behind the last record, so that none is missed or repeated
    while others come and go; a page of which all is kept from us is stepped over.
    """
    all_shown = shown == len(page.rows)
    if all_shown and not page.more_after(asked):
        return None
    if by_id and shown:
        last = text_of(page.rows[shown - 1].get("sys_id"))
        if is_sys_id(last):
            return encode_cursor(kind, [last, 0])
    step = asked.limit if all_shown else shown
    return encode_cursor(kind, [after if by_id else None, asked.offset + step])


def _shown(rows: Sequence[Row], fields: Sequence[str]) -> tuple[list[dict[str, str]], list[str]]:
    """As many records as fit an answer, one at least, and the fields of which values were cut."""
    most = min(MAX_CELL_BYTES, MAX_ROWS_BYTES // max(1, len(fields)))
    items: list[dict[str, str]] = []
    was_cut: dict[str, None] = {}
    size = 0
    for row in rows:
        told: dict[str, str] = {}
        for field in fields:
            if field not in row:
                continue
            text = text_of(row[field])
            told[field] = fitting_text(text, most)
            if told[field] != text:
                was_cut[field] = None
        size += len(orjson.dumps(told)) + 1
        if items and size > MAX_ROWS_BYTES:
            break
        items.append(told)
    return items, list(was_cut)


def fitting_text(text: str, max_bytes: int) -> str:
    """The longest start of a text that is at most so long as JSON, or somewhat less."""
    if len(text) * 6 <= max_bytes:
        return text
    text = text.encode(errors="replace").decode()
    if len(orjson.dumps(text)) <= max_bytes:
        return text
    first, _ = cut(text, max_bytes)
    # A control character takes six bytes as JSON.
    return first if len(orjson.dumps(first)) <= max_bytes else cut(text, max_bytes // 6)[0]
