"""What the hub brings of a source: kept page by page, for the call that plans with it, then gone.

A gathering is used by the principal that had it gathered, and only once it is complete: what a
source failed to tell must never look like what is not there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import anyio.lowlevel
import orjson
from sqlalchemy import RowMapping, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from cmdb.stamps import now, written
from cmdb.store import Store
from cmdb.tables import gathered_page, gathering
from flotilla import Conflict, InvalidArgument, NotFound, RateLimited, TooLarge
from flotilla.discovery import (
    MAX_ITEMS,
    Covers,
    Gathered,
    Gathering,
    Kept,
    Seen,
    SeenRelation,
)
from flotilla.operations import HUB_ROLE, Operation

PAGE = "reconcile.gather"
DROP = "reconcile.drop"
TTL = timedelta(minutes=30)
"""For how long one outlives a hub that ended before it could drop it."""
MAX_GATHERINGS = 16


@dataclass(frozen=True, slots=True)
class Whole:
    """All that a source has told."""

    source: str
    covers: Covers
    pages: Sequence[bytes]

    async def read(self) -> tuple[list[Seen], list[SeenRelation]]:
        """Items and relations of all pages; between two of them others get their turn."""
        items: list[Seen] = []
        relations: list[SeenRelation] = []
        for page in self.pages:
            await anyio.lowlevel.checkpoint()
            told = orjson.loads(page)
            items.extend(map(Seen.model_validate, told["items"]))
            relations.extend(map(SeenRelation.model_validate, told["relations"]))
        return items, relations


class Gatherings:
    def __init__(self, store: Store) -> None:
        self._store = store

    def operations(self) -> tuple[Operation, Operation]:
        return (
            Operation(name=PAGE, takes=Gathered, run=self.keep, role=HUB_ROLE),
            Operation(name=DROP, takes=Gathering, run=self.drop, role=HUB_ROLE),
        )

    async def keep(self, told: Gathered) -> Kept:
        """Keep a page; InvalidArgument for a page out of turn, TooLarge beyond 50,000 items."""
        async with self._store.write() as connection:
            if told.page == 0:
                await self._begin(connection, told)
            held = await _held(connection, told.gathering)
            query = select(func.count()).where(gathered_page.c.gathering_id == told.gathering)
            pages = (await connection.execute(query)).scalar_one()
            mine = (held["principal"], held["source"]) == (told.principal, told.source)
            if not mine or held["complete"] or pages != told.page:
                raise InvalidArgument("the page is not the next one of its gathering")
            items = held["items"] + len(told.items)
            if items > MAX_ITEMS:
                raise TooLarge(
                    f"the source tells of more than {MAX_ITEMS} items", hint="Narrow `within`."
                )
            page = told.model_dump(mode="json", include={"items", "relations"})
            await connection.execute(
                insert(gathered_page),
                [
                    {
                        "gathering_id": told.gathering,
                        "page": told.page,
                        "content": orjson.dumps(page).decode(),
                    }
                ],
            )
            await connection.execute(
                update(gathering)
                .where(gathering.c.id == told.gathering)
                .values(items=items, complete=told.complete)
            )
        return Kept(items=items)

    async def drop(self, told: Gathering) -> Kept:
        """Forget it, whether it is there or not."""
        async with self._store.write() as connection:
            await _forget(connection, [told.gathering])
        return Kept(items=0)

    async def whole(self, gathering_id: str, principal: str) -> Whole:
        """All of it; NotFound for what is not the principal's, Conflict while pages are missing."""
        async with self._store.read() as connection:
            held = await _held(connection, gathering_id)
            if held["principal"] != principal or held["expires_at"] < now():
                raise _missing()
            if not held["complete"]:
                raise Conflict(
                    "the source was not read to its end", hint="Call again; nothing was planned."
                )
            rows = await connection.execute(
                select(gathered_page.c.content)
                .where(gathered_page.c.gathering_id == gathering_id)
                .order_by(gathered_page.c.page)
            )
            pages = [content.encode() for content in rows.scalars()]
        return Whole(held["source"], Covers.model_validate_json(held["covers"]), pages)

    async def _begin(self, connection: AsyncConnection, told: Gathered) -> None:
        old = select(gathering.c.id).where(gathering.c.expires_at < now())
        await _forget(connection, list((await connection.execute(old)).scalars()))
        held = (await connection.execute(select(gathering.c.id))).scalars().all()
        if told.gathering in held:
            raise InvalidArgument("the gathering has begun already")
        if len(held) >= MAX_GATHERINGS:
            raise RateLimited(f"{len(held)} gatherings are under way", retry_after_ms=5000)
        await connection.execute(
            insert(gathering),
            [
                {
                    "id": told.gathering,
                    "principal": told.principal,
                    "source": told.source,
                    "covers": told.covers.model_dump_json(by_alias=True),
                    "items": 0,
                    "complete": False,
                    "expires_at": written(datetime.now(UTC) + TTL),
                }
            ],
        )


async def _held(connection: AsyncConnection, gathering_id: str) -> RowMapping:
    found = await connection.execute(select(gathering).where(gathering.c.id == gathering_id))
    row = found.mappings().one_or_none()
    if row is None:
        raise _missing()
    return row


async def _forget(connection: AsyncConnection, ids: Sequence[str]) -> None:
    if ids:
        await connection.execute(delete(gathered_page).where(gathered_page.c.gathering_id.in_(ids)))
        await connection.execute(delete(gathering).where(gathering.c.id.in_(ids)))


def _missing() -> NotFound:
    return NotFound("there is no such gathering", hint="Name the source in `discover` again.")
