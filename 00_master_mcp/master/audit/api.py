"""`/api/audit`: the audit for its owner, to look through, to take away and to check."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute

from flotilla import FlotillaError, InvalidArgument, correlation
from flotilla.chain import Checked, Link
from flotilla.paging import DEFAULT_LIMIT, MAX_LIMIT
from master.audit.book import Book
from master.audit.query import filter_of, page_of_rows
from master.audit.reading import Filter, Rows
from master.audit.verifying import verified
from master.owner import owner_routes

PIECE = 1000
_LINES = "application/x-ndjson"


class AuditApi:
    """What is streamed is JSON lines; an error after the first line is a line `{"error": ...}`."""

    def __init__(self, rows: Rows, book: Book) -> None:
        self._rows = rows
        self._book = book

    def routes(self) -> list[BaseRoute]:
        return owner_routes(
            [
                ("GET", "/audit", self._query),
                ("GET", "/audit/export", self._export),
                ("GET", "/audit/verify", self._verify),
            ]
        )

    async def _query(self, request: Request) -> Any:
        query = request.query_params
        limit = _whole(query.get("limit"), "limit", DEFAULT_LIMIT)
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidArgument(f"limit is 1 to {MAX_LIMIT}")
        wanted = filter_of(query)
        return await page_of_rows(self._rows, wanted, limit=limit, cursor=query.get("cursor"))

    async def _export(self, request: Request) -> Response:
        """Rows as they are stored, the oldest first, and at the end what is signed about them.

        They are those of the moment at which it is asked.
        """
        query = request.query_params
        after = _whole(query.get("after"), "after", 0)
        lines = self._exported(filter_of(query), after)
        return StreamingResponse(_to_the_end(lines, request), media_type=_LINES)

    async def _verify(self, request: Request) -> Response:
        """How far it is, `{"at": 12000}`, and at last `{"checked": ...}`."""
        return StreamingResponse(_to_the_end(self._verified(), request), media_type=_LINES)

    async def _exported(self, wanted: Filter, after: int) -> AsyncGenerator[bytes]:
        signed = await self._rows.signed()
        while links := await self._rows.links(after, PIECE, wanted):
            # The heads at the end do not tell of what is written meanwhile.
            old = [link for link in links if link.number <= signed.last]
            if not old:
                break
            yield b"".join(exported(link) for link in old)
            after = old[-1].number
        for head in [*([] if signed.anchor is None else [signed.anchor]), *signed.heads]:
            yield b'{"signed":%s}\n' % head.text().encode()

    async def _verified(self) -> AsyncGenerator[bytes]:
        async for found in verified(self._rows, self._book.public_key, self._book.head_file):
            if isinstance(found, Checked):
                yield orjson.dumps({"checked": found}, option=orjson.OPT_APPEND_NEWLINE)
            else:
                yield orjson.dumps({"at": found}, option=orjson.OPT_APPEND_NEWLINE)


def exported(link: Link) -> bytes:
    """A row on one line; `row` stands there byte for byte as it was hashed."""
    head = f'{{"number":{link.number},"previous":"{link.previous}","hash":"{link.hash}"'
    return f'{head},"row":{link.body}}}\n'.encode()


async def _to_the_end(lines: AsyncIterator[bytes], request: Request) -> AsyncGenerator[bytes]:
    try:
        async for line in lines:
            yield line
    except FlotillaError as error:
        told = {"error": error.as_json(request.scope[correlation.SCOPE])}
        yield orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)


def _whole(text: str | None, called: str, otherwise: int) -> int:
    if text is None:
        return otherwise
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidArgument(f"{called} is a whole number")
    return int(text)
