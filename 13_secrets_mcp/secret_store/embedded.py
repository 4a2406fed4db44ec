"""The embedded backend: values sealed with AES-256-GCM in the spoke's own database."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from sqlalchemy import RowMapping, Select, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla import Conflict
from flotilla.database.database import Database
from secret_store.backend import Broken, Found, Kept, Value, VersionKept, Wanted, whole
from secret_store.keyring import Keyring
from secret_store.sealing import WrongSeal, place_of_value, seal, unseal
from secret_store.stamps import Clock
from secret_store.tables import secret, version

log = structlog.get_logger(__name__)

_AT_ONCE = 200
_AFTER_ALL = "~"
"""Sorts after every character of a path."""


class Embedded:
    """Keeps the newest `versions_kept` versions of each secret."""

    def __init__(
        self, database: Database, keyring: Keyring, *, versions_kept: int, clock: Clock
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._versions_kept = versions_kept
        self._clock = clock

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        yield

    async def ready(self) -> str | None:
        return await self._keyring.ready()

    async def get(self, wanted: Sequence[Wanted]) -> Sequence[Found]:
        paths = sorted({each.path for each in wanted})
        found: dict[Wanted, Value | Broken] = {}
        await self._keyring.unlock()
        async with self._database.read() as connection:
            for start in range(0, len(paths), _AT_ONCE):
                some = set(paths[start : start + _AT_ONCE])
                asked = {each for each in wanted if each.path in some}
                rows = await connection.execute(_rows(asked))
                for row in rows.mappings():
                    for key in (Wanted(row["path"], row["number"]), Wanted(row["path"])):
                        if key in asked and (key.version or row["number"] == row["newest"]):
                            found[key] = await self._open(row, connection)
        return [found.get(each) for each in wanted]

    async def put(
        self, path: str, value: str, *, expected: int | None, transaction: AsyncConnection
    ) -> Kept:
        held = await transaction.execute(select(secret).where(secret.c.path == path))
        row = held.mappings().one_or_none()
        newest = 0 if row is None or row["deleted_at"] else int(row["last_version"])
        if expected is not None and expected != newest:
            raise moved(path, newest)
        at = self._clock.now()
        number = 1 if row is None else int(row["last_version"]) + 1
        created_at = at if row is None or row["deleted_at"] else str(row["created_at"])
        stamps = {"last_version": number, "created_at": created_at, "updated_at": at}
        if row is None:
            await transaction.execute(insert(secret), [{"path": path, **stamps}])
        else:
            changed = update(secret).where(secret.c.path == path)
            await transaction.execute(changed.values(**stamps, deleted_at=None))
        key = await self._keyring.current(transaction)
        place = place_of_value(path, number, key.id)
        sealed = seal(key.key, value.encode(), place)
        mark = {"path": path, "number": number, "data_key_id": key.id, "created_at": at}
        await transaction.execute(insert(version), [{**mark, "sealed": sealed}])
        await transaction.execute(
            delete(version).where(
                version.c.path == path, version.c.number <= number - self._versions_kept
            )
        )
        count = await transaction.scalar(
            select(func.count()).select_from(version).where(version.c.path == path)
        )
        return Kept(path, number, int(count or 0), created_at, at)

    async def delete(self, path: str, *, transaction: AsyncConnection) -> None:
        await transaction.execute(delete(version).where(version.c.path == path))
        at = self._clock.now()
        # Its last number stays, so that an old value is never one of a new secret's versions.
        await transaction.execute(
            update(secret)
            .where(secret.c.path == path, secret.c.deleted_at.is_(None))
            .values(updated_at=at, deleted_at=at)
        )

    async def metadata(self, path: str) -> Kept | None:
        async with self._database.read() as connection:
            rows = await connection.execute(_kept().where(secret.c.path == path))
            row = rows.mappings().one_or_none()
        return None if row is None else _kept_of(row)

    async def versions(self, path: str) -> Sequence[VersionKept]:
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(version.c.number, version.c.created_at)
                .where(version.c.path == path)
                .order_by(version.c.number.desc())
            )
            return [VersionKept(row["number"], row["created_at"]) for row in rows.mappings()]

    async def list(self, prefix: str, after: str, limit: int) -> Sequence[Kept]:
        async with self._database.read() as connection:
            rows = await connection.execute(
                _kept()
                .where(
                    secret.c.path >= prefix,
                    secret.c.path < prefix + _AFTER_ALL,
                    secret.c.path > after,
                )
                .order_by(secret.c.path)
                .limit(limit)
            )
            return [_kept_of(row) for row in rows.mappings()]

    async def count_under_others(self, key_id: int, connection: AsyncConnection) -> int:
        """How many values are sealed under other data keys than that one."""
        found = await connection.scalar(
            select(func.count()).select_from(version).where(version.c.data_key_id != key_id)
        )
        return int(found or 0)

    async def reseal(self, key_id: int, transaction: AsyncConnection, limit: int) -> int:
        """Seal up to `limit` values anew that are not yet under that data key; how many."""
        rows = await transaction.execute(
            select(version).where(version.c.data_key_id != key_id).limit(limit)
        )
        some = rows.mappings().all()
        key = await self._keyring.value_key(key_id, transaction)
        for row in some:
            path, number = str(row["path"]), int(row["number"])
            value = whole(await self._open(row, transaction))
            assert value is not None
            plain = value.text.encode()
            await transaction.execute(
                update(version)
                .where(version.c.path == path, version.c.number == number)
                .values(data_key_id=key_id, sealed=seal(key, plain, _place(path, number, key_id)))
            )
        return len(some)

    async def _open(self, row: RowMapping, connection: AsyncConnection) -> Value | Broken:
        path, number, key_id = str(row["path"]), int(row["number"]), int(row["data_key_id"])
        try:
            key = await self._keyring.value_key(key_id, connection)
            plain = unseal(key, row["sealed"], _place(path, number, key_id))
        except WrongSeal:
            log.error("secret_does_not_open", path=path, version=number)
            return Broken(path, number)
        return Value(plain.decode(), number)


_place = place_of_value


def moved(path: str, newest: int) -> Conflict:
    """The refusal of a write that did not know what it was writing over."""
    told = f"is at version {newest}" if newest else "does not exist"
    return Conflict(
        f"{path} {told} now",
        hint="Look at it again with getMetadata and decide anew.",
        details={"currentVersion": newest},
    )


def _rows(wanted: set[Wanted]) -> Select[*tuple[Any, ...]]:
    """The versions of those paths that are asked for, each with the number of the newest."""
    newest = (
        select(version.c.path, func.max(version.c.number).label("newest"))
        .where(version.c.path.in_(sorted({each.path for each in wanted})))
        .group_by(version.c.path)
        .subquery()
    )
    numbers = sorted({each.version for each in wanted if each.version is not None})
    return (
        select(version, newest.c.newest)
        .join(newest, newest.c.path == version.c.path)
        .where((version.c.number == newest.c.newest) | version.c.number.in_(numbers))
    )


def _kept() -> Select[*tuple[Any, ...]]:
    counted = (
        select(func.count())
        .select_from(version)
        .where(version.c.path == secret.c.path)
        .scalar_subquery()
    )
    return select(
        secret.c.path,
        secret.c.last_version.label("version"),
        counted.label("versions"),
        secret.c.created_at,
        secret.c.updated_at,
    ).where(secret.c.deleted_at.is_(None))


def _kept_of(row: RowMapping) -> Kept:
    return Kept(
        str(row["path"]),
        int(row["version"]),
        int(row["versions"]),
        str(row["created_at"]),
        str(row["updated_at"]),
    )
