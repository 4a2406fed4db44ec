"""The search: words, conditions, a class, an order, a page."""

from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import ColumnElement, Select, Text, bindparam, literal_column, select, text, tuple_

from cmdb.catalogue import Catalogue
from cmdb.filters import Filters, condition
from cmdb.items import ITEM_COLUMNS, Item, fitting, item_of
from cmdb.positions import read_position
from cmdb.seeding import Catalogues
from cmdb.store import Store
from cmdb.tables import item
from cmdb.values import ClassName, words
from flotilla import (
    Cursor,
    InvalidArgument,
    Limit,
    Page,
    Tool,
    encode_cursor,
    reads,
)

Sort = Literal["name", "createdAt", "updatedAt"]
Order = Literal["asc", "desc"]
Query = Annotated[
    str | None,
    Field(
        max_length=500,
        description="Words that all must start a word of the name or of an attribute's value.",
    ),
]
MAX_QUERY_WORDS = 20

_COLUMNS: dict[Sort, ColumnElement[Any] | None] = {
    "name": item.c.name,
    "updatedAt": item.c.updated_at,
    # IDs are made in the order of time, so one column is the whole position.
    "createdAt": None,
}


class SearchTools:
    """data.cmdb.searchItems."""

    def __init__(self, store: Store, catalogues: Catalogues) -> None:
        self._store = store
        self._catalogues = catalogues

    def tools(self) -> tuple[Tool, ...]:
        return (reads("data.cmdb.searchItems", self.search_items, title="Search items"),)

    async def search_items(
        self,
        query: Query = None,
        ci_class: ClassName | None = None,
        filters: Filters | None = None,
        include_subclasses: bool = True,
        include_retired: bool = False,
        sort: Sort = "name",
        order: Order = "asc",
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Page[Item]:
        """Find configuration items by words, class and conditions on attributes, page by page.

        Everything given must hold at once; with nothing given all live items are listed. Pages are
        stable while items change: none is shown twice and none that stays is missed. Say
        `{"attribute": "environment", "op": "eq", "value": "production"}` for a condition.
        """
        async with self._store.read() as connection:
            catalogue = await self._catalogues.at(connection)
            where = selection(
                catalogue,
                postgresql=self._store.is_postgresql,
                query=query,
                ci_class=ci_class,
                filters=filters or [],
                include_subclasses=include_subclasses,
                include_retired=include_retired,
            )
            statement = paged(select(*ITEM_COLUMNS).where(*where), sort, order, cursor)
            rows = (await connection.execute(statement.limit(limit + 1))).mappings().all()
        found = [item_of(row) for row in rows]
        shown = fitting(found[:limit])
        more = len(found) > shown
        return Page[Item](
            items=found[:shown],
            returned=shown,
            next_cursor=_cursor_after(found[shown - 1], sort, order) if more else None,
            truncated=more,
        )


def selection(
    catalogue: Catalogue,
    *,
    postgresql: bool,
    query: str | None = None,
    ci_class: str | None = None,
    filters: Filters,
    include_subclasses: bool = True,
    include_retired: bool = False,
) -> list[ColumnElement[bool]]:
    """The conditions of a search; NotFound for an unknown class."""
    where: list[ColumnElement[bool]] = []
    if not include_retired:
        where.append(item.c.retired_at.is_(None))
    if ci_class is not None:
        catalogue.get(ci_class)
        classes = catalogue.descendants(ci_class) if include_subclasses else [ci_class]
        where.append(item.c.ci_class.in_(classes))
    if query is not None and query.strip():
        where.append(_has_words(query, postgresql=postgresql))
    where.extend(condition(wanted, postgresql=postgresql) for wanted in filters)
    return where


def paged(
    statement: Select[*tuple[Any, ...]], sort: Sort, order: Order, cursor: str | None
) -> Select[*tuple[Any, ...]]:
    """The statement in order, after the cursor's position."""
    column = _COLUMNS[sort]
    keys = [item.c.id] if column is None else [column, item.c.id]
    if cursor is not None:
        position = read_position(_kind(sort, order), cursor, *([str] * len(keys)))
        key, last = (
            tuple_(*keys),
            tuple_(*(bindparam(None, p, Text, unique=True) for p in position)),
        )
        statement = statement.where(key > last if order == "asc" else key < last)
    return statement.order_by(*(key if order == "asc" else key.desc() for key in keys))


def _cursor_after(last: Item, sort: Sort, order: Order) -> str:
    position = {
        "name": [last.name, last.id],
        "updatedAt": [last.updated_at, last.id],
        "createdAt": [last.id],
    }[sort]
    return encode_cursor(_kind(sort, order), position)


def _kind(sort: Sort, order: Order) -> str:
    return f"items:{sort}:{order}"


def _has_words(query: str, *, postgresql: bool) -> ColumnElement[bool]:
    found = list(dict.fromkeys(words(query)))
    if not found or len(found) > MAX_QUERY_WORDS:
        raise InvalidArgument(
            f"query has {len(found)} words; 1 to {MAX_QUERY_WORDS} can be searched for",
            hint="A word is a run of letters and digits; use filters for exact values.",
        )
    # Words hold letters and digits alone, so quoting them is enough in either language.
    if postgresql:
        match = " & ".join(f"'{word}':*" for word in found)
        return literal_column("item.search_words").op("@@")(
            text("CAST(:words AS tsquery)").bindparams(bindparam("words", match, Text))
        )
    match = " ".join(f'"{word}" *' for word in found)
    hits = text("SELECT rowid FROM item_words WHERE item_words MATCH :words")
    return item.c.seq.in_(hits.bindparams(words=match).columns(item.c.seq))
