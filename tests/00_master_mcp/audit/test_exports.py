"""What the owner takes away of a hub that goes on writing."""

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from flotilla import correlation
from flotilla.chain import Link
from flotilla.identity import Caller
from flotilla.serving.gates import CALLER
from master.audit import api
from master.audit.api import AuditApi
from master.audit.reading import Filter, Rows
from master.principals import OWNER

from .conftest import Hub, Site, row

pytestmark = pytest.mark.anyio


class Busy(Rows):
    """Rows to which one more is written whenever some are read."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub.database)
        self._book = hub.book

    async def links(self, after: int, many: int, wanted: Filter | None = None) -> list[Link]:
        await self._book.keep(row("late"))
        return await super().links(after, many, wanted)


async def export(rows: Rows, hub: Hub, query: bytes = b"") -> list[dict[str, Any]]:
    routes = cast("list[Route]", AuditApi(rows, hub.book).routes())
    ask = next(each.endpoint for each in routes if each.path == "/api/audit/export")
    known = {CALLER: Caller(OWNER), correlation.SCOPE: "c"}
    answer: StreamingResponse = await ask(
        Request({"type": "http", "headers": [], "query_string": query, **known})
    )
    pieces = cast("AsyncIterator[bytes]", answer.body_iterator)
    lines = b"".join([piece async for piece in pieces]).splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("piece", [1, 2, 1000])
async def test_an_export_ends_with_the_head_of_its_last_row_though_rows_are_written_meanwhile(
    site: Site, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(api, "PIECE", piece)
    async with site.hub() as hub:
        for number in range(3):
            await hub.book.keep(row(f"t{number}"))
        with anyio.fail_after(10):
            *rows, head = await export(Busy(hub), hub)
            assert [each["row"]["tool"] for each in rows] == ["audit.opened", "t0", "t1", "t2"]
            assert (head["signed"]["number"], head["signed"]["hash"]) == (4, rows[-1]["hash"])
            *late, head = await export(Busy(hub), hub, b"tool=late&after=4")
            assert [each["number"] for each in late] == list(range(5, head["signed"]["number"] + 1))
            assert (await export(Rows(hub.database), hub, b"after=1000"))[0].keys() == {"signed"}
