"""Records of a table by the Table API: one page of them, and what was kept from us."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar, cast

import anyio.lowlevel

from cmdb.servicenow.answers import PROVIDER, whole
from cmdb.servicenow.connection import Connection
from cmdb.servicenow.encoded_query import is_sys_id
from flotilla import Deadline, InvalidArgument, NotFound, TooLarge, UpstreamError

PATH = "/api/now/table"
TOTAL = "X-Total-Count"

_STEP = 200
"""Records between two looks at who else waits."""

Kept = TypeVar("Kept")
Row = dict[str, Any]
"""Field -> value, or `{display_value, value}` where both were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One page of a table; `display` is `false`, `true` or `all`."""

    table: str
    query: str
    fields: Sequence[str]
    limit: int
    offset: int = 0
    display: str = "false"

    def params(self) -> dict[str, str]:
        return {
            "sysparm_query": self.query,
            "sysparm_fields": ",".join(self.fields),
            "sysparm_limit": str(self.limit),
            "sysparm_offset": str(self.offset),
            "sysparm_display_value": self.display,
            "sysparm_exclude_reference_link": "true",
            "sysparm_suppress_pagination_header": "true",
        }


@dataclass(frozen=True, slots=True)
class Records:
    """`total` counts what meets the query, also what this account may not read; None: untold."""

    rows: list[Row]
    total: int | None
    hidden: int
    """Of this page, kept back by ServiceNow's access rules."""

    def more_after(self, asked: Asked) -> bool:
        """Whether anything follows this page."""
        if self.total is None:
            return len(self.rows) >= asked.limit
        return asked.offset + asked.limit < self.total


class Drawn(NamedTuple):
    """A relation of cmdb_rel_ci: the sys_ids of its ends, and the name of its type."""

    sys_id: str
    parent: str
    child: str
    type: str


DRAWN_FIELDS = ("sys_id", "parent", "child", "type.name")


def drawn(row: Row) -> Drawn:
    return Drawn(*(text_of(row.get(name)) for name in DRAWN_FIELDS))


async def read_page(connection: Connection, asked: Asked, deadline: Deadline) -> Records:
    """The page; a table without a record that meets the query is an empty one."""
    try:
        answered = await connection.get(f"{PATH}/{asked.table}", asked.params(), deadline)
    except NotFound as error:
        # Older releases say 404 for a list that is empty.
        if error.details.get("reason") == "no_record":
            return Records([], 0, 0)
        raise
    rows = answered.result
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):  # pyright: ignore[reportUnknownVariableType]
        raise UpstreamError(
            f"{PROVIDER}'s answer holds no list of records", details={"reason": "broken_json"}
        )
    found = cast("list[Row]", rows)
    if len(found) > asked.limit:
        raise UpstreamError(f"{PROVIDER} gives {len(found)} records, not {asked.limit}")
    total = whole(answered.headers, TOTAL)
    expected = 0 if total is None else min(asked.limit, max(0, total - asked.offset))
    return Records(found, total, max(0, expected - len(found)))


async def every_record(
    connection: Connection,
    asked: Callable[[str | None], Asked],
    deadline: Deadline,
    progress: Callable[[int, int | None], Awaitable[None]],
    keep: Callable[[Row], Kept],
    *,
    most: int,
    spoken_of: Sequence[str] = (),
) -> tuple[list[Kept], int]:
    """What is kept of all records of a query, by their sys_ids, and how many were kept from us.

    `asked(after)` is the page behind a sys_id, `spoken_of` are the fields of its conditions. Raises
    TooLarge where there are more than `most`, which the first page tells.
    """
    found: dict[str, Kept] = {}
    after: str | None = None
    offset, in_all = 0, 0
    while True:
        page_asked = replace(asked(after), offset=offset)
        page = await read_page(connection, page_asked, deadline)
        check_fields_known(page_asked.table, spoken_of, page.rows)
        if after is None and offset == 0:
            in_all = page.total or 0
        if max(in_all, len(found) + len(page.rows)) > most:
            raise TooLarge(
                f"{page_asked.table} has {in_all or 'more'} such records; {most} are read at once",
                hint="Narrow the conditions, say by class, location or the beginning of the name.",
            )
        before = len(found)
        for number, row in enumerate(page.rows):
            if number % _STEP == 0:
                await anyio.lowlevel.checkpoint()
            found[text_of(row.get("sys_id"))] = keep(row)
        if len(found) - before != len(page.rows):
            raise UpstreamError(f"{PROVIDER} gives records of {page_asked.table} a second time")
        await progress(len(found), in_all or None)
        if not page.more_after(page_asked):
            return list(found.values()), max(0, in_all - len(found))
        last = text_of(page.rows[-1].get("sys_id")) if page.rows else ""
        # Behind the last one that we may read; a page of which all is kept back is stepped over.
        after, offset = (last, 0) if is_sys_id(last) else (after, offset + page_asked.limit)


def check_fields_known(
    table: str, fields: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Raise InvalidArgument where a field that conditions speak of is in no record.

    ServiceNow leaves a condition on such a field out, and so gives records that nobody asked for.
    """
    if not rows:
        return
    for field in fields:
        if not any(field in row for row in rows):
            raise InvalidArgument(
                f"{table} has no field {field!r} that this account may read",
                hint="ServiceNow would have left that condition out and given other records.",
                details={"reason": "unknown_field"},
            )


def text_of(value: Any, *, display: bool = False) -> str:
    """A value as text; the shown one with `display`. References are their sys_id or their name."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        first, second = ("display_value", "value") if display else ("value", "display_value")
        value = members.get(first, members.get(second))
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)
