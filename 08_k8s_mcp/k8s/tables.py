"""Lists as the API server prints them for kubectl: a page of rows instead of whole objects.

A page is one request with `limit`; the server's own `continue` travels in our cursor. Rows are a
tenth of the objects and already say what an operator looks for.
Source: Kubernetes documentation, "Receiving resources as Tables", "Retrieving large results sets in
chunks".
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from flotilla.context import Deadline
from flotilla.errors import Conflict, FlotillaError, InvalidArgument, TooLarge, UpstreamError
from flotilla.model import Model
from flotilla.paging import Page, decode_cursor, encode_cursor
from flotilla.secret_shapes import names_a_secret
from k8s.answers import upstream_status
from k8s.api import Cluster
from k8s.fitting import how_many_fit
from k8s.hiding import HIDDEN, without_encoded_keys
from k8s.objects import members, number, objects, text

AS_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


Entry = TypeVar("Entry", bound=Model)

MAX_TRIES = 4
MAX_CELL_CHARS = 500


@dataclass(frozen=True, slots=True)
class Row:
    """`cells` by the columns' names, in their order, as text."""

    namespace: str
    name: str
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """A page: `columns` are those of kubectl without `-o wide`, `wide` are the others."""

    columns: tuple[str, ...]
    wide: tuple[str, ...]
    rows: tuple[Row, ...]
    next_cursor: str | None
    total: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which objects: a path of their kind, the namespace where it is of one, and selectors."""

    path: str
    namespace: str | None = None
    labels: str | None = None
    fields: str | None = None


async def table_page(
    cluster: Cluster, wanted: Wanted, *, limit: int, cursor: str | None, due: Deadline
) -> Table:
    """One page by one request.

    Raises Conflict for a cursor whose list the server does not remember any more.
    """
    kind = f"k8s:{_query_of(cluster.alias, wanted)}"
    token, offset = _position(kind, cursor)
    query = {
        "limit": limit,
        "continue": token,
        "labelSelector": wanted.labels or None,
        "fieldSelector": wanted.fields or None,
        # The metadata of a row is many times its cells; where it is known already, none is sent.
        "includeObject": "None" if wanted.namespace else "Metadata",
    }
    try:
        answer = await cluster.request("GET", wanted.path, due=due, query=query, accept=AS_TABLE)
    except FlotillaError as error:
        if token is not None and upstream_status(error) == 410:
            raise Conflict(
                f"cluster {cluster.alias} no longer remembers the list that this cursor belongs to",
                hint="Start anew without cursor; the API server keeps a list for some minutes.",
                details={**error.details, "reason": "cursor_expired"},
            ) from None
        raise
    found = members(answer)
    columns, wide, rows = parsed_rows(found, cluster.alias, wanted.namespace or "")
    meta = members(found, "metadata")
    more = text(meta.get("continue"))
    shown = offset + len(rows)
    rest = meta.get("remainingItemCount")
    total = shown + number(rest) if isinstance(rest, int) else None
    return Table(
        columns,
        wide,
        rows,
        encode_cursor(kind, [more, shown]) if more else None,
        total if more else shown,
    )


def parsed_rows(
    answer: Mapping[str, Any], alias: str, namespace: str = ""
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Row, ...]]:
    """Columns, wide columns and rows of a Table, or of a plain list where a server has none."""
    told = members(answer)
    if text(told.get("kind")) == "Table":
        definitions = objects(told.get("columnDefinitions"))
        names = [text(each.get("name")) for each in definitions]
        wide = tuple(text(d.get("name")) for d in definitions if number(d.get("priority")) > 0)
        rows = tuple(_row(names, each, namespace) for each in objects(told.get("rows")))
        return tuple(name for name in names if name not in wide), wide, rows
    if text(told.get("kind")).endswith("List"):
        rows = tuple(_plain(each, namespace) for each in objects(told.get("items")))
        return ("Name", "Created At"), (), rows
    raise UpstreamError(
        f"cluster {alias} answered with no list", details={"reason": "unexpected_answer"}
    )


def _row(names: list[str], row: dict[str, Any], namespace: str) -> Row:
    values = zip(names, row.get("cells") or (), strict=False)
    cells = {name: _cell(name, value) for name, value in values}
    meta = members(row, "object", "metadata")
    return Row(
        text(meta.get("namespace")) or namespace,
        text(meta.get("name")) or cells.get("Name", ""),
        cells,
    )


def _plain(thing: dict[str, Any], namespace: str) -> Row:
    meta = members(thing, "metadata")
    name, created = text(meta.get("name")), text(meta.get("creationTimestamp"))
    cells = {"Name": name, "Created At": created}
    return Row(text(meta.get("namespace")) or namespace, name, cells)


def _cell(column: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    told = without_encoded_keys(text(value))[:MAX_CELL_CHARS]
    # The columns of a custom resource are its author's choice.
    return HIDDEN if names_a_secret(column, told) else told


def _query_of(alias: str, wanted: Wanted) -> str:
    # A cursor is good for its own list alone: elsewhere its position would silently mean another.
    told = "\n".join((alias, wanted.path, wanted.labels or "", wanted.fields or ""))
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _position(kind: str, cursor: str | None) -> tuple[str | None, int]:
    if cursor is None:
        return None, 0
    position = decode_cursor(kind, cursor)
    if (
        isinstance(position, list)
        and len(position) == 2  # pyright: ignore[reportUnknownArgumentType]
        and isinstance(position[0], str)
        and isinstance(position[1], int)
    ):
        return position[0], position[1]
    raise InvalidArgument("cursor is not one that this tool gave out")


async def fitting(
    cluster: Cluster,
    wanted: Wanted,
    make: Callable[[Table], list[Entry]],
    *,
    limit: int,
    cursor: str | None,
    due: Deadline,
) -> tuple[Table, list[Entry]]:
    """A page whose entries fit into an answer; `make` turns its rows into entries.

    Where they do not, the page is asked for again with as many as fit: the server's `continue`
    stands behind the last row, so rows cannot just be left away.
    """
    for _ in range(MAX_TRIES):
        table = await table_page(cluster, wanted, limit=limit, cursor=cursor, due=due)
        entries = make(table)
        fit = how_many_fit(entries)
        if fit >= len(entries):
            return table, entries
        limit = max(1, fit)
    raise TooLarge("a page of this list does not fit", hint="Ask with a smaller limit.")


async def paged(
    cluster: Cluster,
    wanted: Wanted,
    make: Callable[[Row], Entry],
    *,
    limit: int,
    cursor: str | None,
    due: Deadline,
) -> Page[Entry]:
    """As `fitting`, for an entry a row."""
    table, items = await fitting(
        cluster,
        wanted,
        lambda table: [make(row) for row in table.rows],
        limit=limit,
        cursor=cursor,
        due=due,
    )
    return Page[Entry](
        items=items,
        returned=len(items),
        next_cursor=table.next_cursor,
        total=table.total,
        truncated=table.next_cursor is not None,
    )


def shown(cells: Mapping[str, str], column: str) -> str | None:
    """A cell, or None where it says that there is nothing."""
    value = cells.get(column, "")
    return None if value in ("", "<none>", "<unknown>", "<unset>") else value


def rendered(columns: tuple[str, ...], rows: tuple[Row, ...], *, namespaces: bool) -> str:
    """The rows as kubectl prints them, in aligned columns."""
    head = (*(("NAMESPACE",) if namespaces else ()), *(each.upper() for each in columns))
    lines = [
        head,
        *(
            (
                *((row.namespace,) if namespaces else ()),
                *(" ".join(row.cells.get(each, "").split()) or "<none>" for each in columns),
            )
            for row in rows
        ),
    ]
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
