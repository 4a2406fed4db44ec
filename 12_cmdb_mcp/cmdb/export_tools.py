"""The tool that writes items and relations as text, page by page."""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.catalogue import Catalogue
from cmdb.exchange import (
    Format,
    What,
    csv_line,
    fitting_texts,
    item_cells,
    item_header,
    link_cells,
    link_header,
)
from cmdb.filters import Filters
from cmdb.items import ITEM_COLUMNS, refs
from cmdb.positions import read_position
from cmdb.search_tools import Query, selection
from cmdb.seeding import Catalogues
from cmdb.store import Store
from cmdb.tables import item, relation
from cmdb.values import ClassName
from flotilla import MAX_TEXT_BYTES, Cursor, Limit, Model, Tool, encode_cursor, reads


class Export(Model):
    """One page of a document; every page is a whole document that importItems takes."""

    format: Format
    what: What
    content: str
    returned: int
    next_cursor: str | None = None
    truncated: bool = False


class ExportTools:
    """data.cmdb.exportItems."""

    def __init__(self, store: Store, catalogues: Catalogues) -> None:
        self._store = store
        self._catalogues = catalogues

    def tools(self) -> tuple[Tool, ...]:
        return (reads("data.cmdb.exportItems", self.export_items, title="Export items"),)

    async def export_items(
        self,
        format: Format = "json",  # noqa: A002 - the catalogue names it
        what: What = "items",
        query: Query = None,
        ci_class: ClassName | None = None,
        filters: Filters | None = None,
        include_subclasses: bool = True,
        header: bool = True,
        limit: Limit = 500,
        cursor: Cursor = None,
    ) -> Export:
        """Export live items, or the live relations whose source is among them, as JSON or CSV text.

        Chosen as in searchItems. A page holds at most 48 KB and is a whole document that
        importItems takes back without loss; read on with nextCursor. To append CSV pages to one
        file, say header=false from the second on. CSV cells that a spreadsheet would run as
        formulas begin with an apostrophe.
        """
        async with self._store.read() as connection:
            catalogue = await self._catalogues.at(connection)
            chosen = selection(
                catalogue,
                postgresql=self._store.is_postgresql,
                query=query,
                ci_class=ci_class,
                filters=filters or [],
                include_subclasses=include_subclasses,
            )
            after = "" if cursor is None else read_position(f"export:{what}", cursor, str)[0]
            if what == "items":
                columns = _columns(catalogue, ci_class)
                rows = await connection.execute(
                    select(*ITEM_COLUMNS)
                    .where(*chosen, item.c.id > after)
                    .order_by(item.c.id)
                    .limit(limit + 1)
                )
                found = rows.mappings().all()
                texts = [_item_text(row, format, columns) for row in found]
                top = csv_line(item_header(columns))
            else:
                sources = select(item.c.id).where(*chosen)
                rows = await connection.execute(
                    select(relation)
                    .where(relation.c.ended_at.is_(None), relation.c.id > after)
                    .where(relation.c.source_id.in_(sources))
                    .order_by(relation.c.id)
                    .limit(limit + 1)
                )
                found = rows.mappings().all()
                texts = await _link_texts(connection, found, format)
                top = csv_line(link_header())
        top = top if header and format == "csv" else ""
        shown = fitting_texts(texts[:limit], MAX_TEXT_BYTES - len(top.encode()) - 64)
        more = len(texts) > shown
        position = [found[shown - 1]["id"]] if more else None
        return Export(
            format=format,
            what=what,
            content=_document(texts[:shown], format, what, top),
            returned=shown,
            next_cursor=encode_cursor(f"export:{what}", position) if position else None,
            truncated=more,
        )


def _columns(catalogue: Catalogue, ci_class: str | None) -> list[str]:
    """The same columns on every page: the attributes that the classes of the export name."""
    classes = catalogue.descendants(ci_class or "ci")
    named = {name for one in classes for name in catalogue.schema_of(one)["properties"]}
    return sorted(named)


def _item_text(row: Any, given: Format, columns: Sequence[str]) -> str:
    if given == "csv":
        return csv_line(item_cells(row["ci_class"], row["name"], row["attributes"], columns))
    told = {"ciClass": row["ci_class"], "name": row["name"], "attributes": row["attributes"]}
    return orjson.dumps({"id": row["id"], **told, "version": row["version"]}).decode()


async def _link_texts(connection: AsyncConnection, rows: Sequence[Any], given: Format) -> list[str]:
    known = await refs(connection, (row[end] for row in rows for end in ("source_id", "target_id")))
    texts: list[str] = []
    for row in rows:
        source, target = known[row["source_id"]], known[row["target_id"]]
        if given == "csv":
            texts.append(csv_line(link_cells(source, row["type"], target)))
            continue
        ends = {
            "source": {"ciClass": source.ci_class, "name": source.name},
            "type": row["type"],
            "target": {"ciClass": target.ci_class, "name": target.name},
        }
        texts.append(orjson.dumps(ends).decode())
    return texts


def _document(texts: Sequence[str], given: Format, what: What, top: str) -> str:
    if given == "csv":
        return top + "".join(texts)
    return f'{{"{what}":[{",".join(texts)}]}}'
