"""The data keys, opened with the master key: made at first start, rewrapped, rotated.

Values are sealed under a data key and data keys under the master key, so that another master key
costs a few rows and no value is written again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
from anyio import to_thread
from sqlalchemy import RowMapping, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla import Conflict, Misconfigured, NotConfigured
from flotilla.database.database import Database
from secret_store.master_key import MasterFile, MasterKey, Source
from secret_store.sealing import Argon2, WrongSeal, new_key, place_of_key, seal, unseal
from secret_store.stamps import Clock
from secret_store.tables import data_key, master_key, version

VALUES = "values"
TRAIL = "trail"


@dataclass(frozen=True, slots=True)
class DataKey:
    id: int
    key: bytes = field(repr=False)


@dataclass(slots=True)
class _Unlocked:
    """What is in memory once the master key fitted."""

    master: MasterKey
    values: dict[int, bytes] = field(repr=False)
    trail: bytes = field(repr=False)


class Keyring:
    """Opens the data keys at the first use; NotConfigured where the master key is not theirs."""

    def __init__(
        self, database: Database, source: Source, previous: Sequence[Source], clock: Clock
    ) -> None:
        self._database = database
        self._source = source
        self._previous = previous
        self._clock = clock
        self._unlocked: _Unlocked | None = None
        self._one_at_a_time = anyio.Lock()

    async def ready(self) -> str | None:
        """Why nothing can be opened just now, or None; Unavailable when the database is away."""
        try:
            await self.unlock()
        except NotConfigured as error:
            return error.message
        return None

    async def unlock(self) -> None:
        if self._unlocked is not None:
            return
        async with self._one_at_a_time:
            if self._unlocked is None:
                self._unlocked = await self._opened()

    async def trail_key(self) -> bytes:
        return (await self._open()).trail

    async def current(self, transaction: AsyncConnection) -> DataKey:
        """The key that new values are sealed under; another process may have made it just now."""
        newest = await transaction.scalar(
            select(func.max(data_key.c.id)).where(data_key.c.purpose == VALUES)
        )
        key_id = int(newest or 0)
        return DataKey(key_id, await self.value_key(key_id, transaction))

    async def value_key(self, key_id: int, connection: AsyncConnection) -> bytes:
        """A data key; WrongSeal where there is none of that number."""
        unlocked = await self._open()
        key = unlocked.values.get(key_id)
        if key is None:
            fresh = await self._fitting(connection)
            unlocked.values.update(fresh.values)
            key = fresh.values.get(key_id)
        if key is None:
            raise WrongSeal("there is no such data key")
        return key

    async def rewrap(self, transaction: AsyncConnection, *, new_master: bool) -> MasterKey:
        """Seal all data keys with the master key as it is configured now, or with a new one.

        What `settle` does must follow once the transaction has committed.
        """
        await self._open()
        held = await self._fitting(transaction)
        master = await self._wanted_master(held, new_master=new_master)
        known = await transaction.scalar(
            select(func.count()).select_from(master_key).where(master_key.c.id == master.id)
        )
        if not known:
            await transaction.execute(insert(master_key), [self._row_of(master)])
        keys = {**{each: (VALUES, key) for each, key in held.values.items()}}
        rows = (await transaction.execute(select(data_key.c.id, data_key.c.purpose))).all()
        for key_id, purpose in rows:
            plain = keys[key_id][1] if purpose == VALUES else held.trail
            await transaction.execute(
                update(data_key)
                .where(data_key.c.id == key_id)
                .values(
                    master_id=master.id,
                    wrapped=seal(master.key, plain, place_of_key(key_id, purpose, master.id)),
                )
            )
        await transaction.execute(delete(master_key).where(master_key.c.id != master.id))
        return master

    def settle(self, master: MasterKey) -> None:
        """The store is sealed with this master key now."""
        if self._unlocked is not None:
            self._unlocked.master = master
        if isinstance(self._source, MasterFile):
            self._source.settle(master.id)

    async def rotate(self, transaction: AsyncConnection) -> int:
        """Make a new data key, under which values are sealed from now on; its number."""
        newest = await transaction.scalar(select(func.max(data_key.c.id)))
        key_id = int(newest or 0) + 1
        held = await self._fitting(transaction)
        # Not kept in memory yet: the transaction may fail, and the number be another process's.
        await self._add(transaction, key_id, VALUES, held.master, new_key())
        return key_id

    async def drop_unused(self, transaction: AsyncConnection) -> int:
        """Destroy the data keys that no value is sealed under, but for the newest; how many."""
        newest = select(func.max(data_key.c.id)).where(data_key.c.purpose == VALUES)
        used = select(version.c.data_key_id)
        gone = await transaction.execute(
            delete(data_key)
            .where(
                data_key.c.purpose == VALUES,
                data_key.c.id != newest.scalar_subquery(),
                data_key.c.id.not_in(used),
            )
            .returning(data_key.c.id)
        )
        ids = list(gone.scalars())
        for key_id in ids:
            (await self._open()).values.pop(key_id, None)
        return len(ids)

    async def _open(self) -> _Unlocked:
        await self.unlock()
        assert self._unlocked is not None
        return self._unlocked

    async def _opened(self) -> _Unlocked:
        async with self._database.read() as connection:
            is_new = await connection.scalar(select(func.count()).select_from(data_key)) == 0
        if is_new:
            async with self._database.write() as transaction:
                await self._begin(transaction)
        async with self._database.read() as connection:
            unlocked = await self._fitting(connection)
        if isinstance(self._source, MasterFile):
            self._source.settle(unlocked.master.id)
        return unlocked

    async def _begin(self, transaction: AsyncConnection) -> None:
        """The first keys of a new store, unless another process was faster."""
        if await transaction.scalar(select(func.count()).select_from(data_key)):
            return
        try:
            master = await to_thread.run_sync(self._source.made)
        except (OSError, Misconfigured) as error:
            raise NotConfigured(f"the master key cannot be made: {error}") from None
        await transaction.execute(insert(master_key), [self._row_of(master)])
        await self._add(transaction, 1, TRAIL, master, new_key())
        await self._add(transaction, 2, VALUES, master, new_key())

    async def _add(
        self,
        transaction: AsyncConnection,
        key_id: int,
        purpose: str,
        master: MasterKey,
        key: bytes,
    ) -> None:
        row = {
            "id": key_id,
            "purpose": purpose,
            "master_id": master.id,
            "wrapped": seal(master.key, key, place_of_key(key_id, purpose, master.id)),
            "created_at": self._clock.now(),
        }
        await transaction.execute(insert(data_key), [row])

    async def _fitting(self, connection: AsyncConnection) -> _Unlocked:
        """All data keys, opened with whichever of the known master keys is theirs."""
        rows = (await connection.execute(select(data_key).order_by(data_key.c.id))).mappings().all()
        masters = (await connection.execute(select(master_key))).mappings().all()
        wanted = {str(row["master_id"]) for row in rows}
        master = await self._master_of(wanted, masters)
        try:
            opened = {
                (str(row["purpose"]), int(row["id"])): unseal(
                    master.key,
                    row["wrapped"],
                    place_of_key(row["id"], row["purpose"], row["master_id"]),
                )
                for row in rows
            }
        except WrongSeal:
            raise NotConfigured(
                "the data keys of the store were changed and do not open",
                hint="Restore the database from a backup.",
            ) from None
        trail = [key for (purpose, _), key in opened.items() if purpose == TRAIL]
        values = {key_id: key for (purpose, key_id), key in opened.items() if purpose == VALUES}
        return _Unlocked(master, values, trail[0])

    async def _master_of(self, wanted: set[str], rows: Sequence[RowMapping]) -> MasterKey:
        if self._unlocked is not None and wanted == {self._unlocked.master.id}:
            return self._unlocked.master
        for source in (self._source, *self._previous):
            for master in await self._known(source, rows):
                if wanted == {master.id}:
                    return master
        called = ", ".join(source.called for source in (self._source, *self._previous))
        raise NotConfigured(
            f"the store is sealed with another master key ({', '.join(sorted(wanted))}) than "
            f"that of {called}",
            hint="Restore the master key that the store was made with, or name it as "
            "SECRETS_PREVIOUS_MASTER_KEY_FILE or SECRETS_PREVIOUS_PASSPHRASE_FILE.",
        )

    async def _known(self, source: Source, rows: Sequence[RowMapping]) -> list[MasterKey]:
        try:
            derivations = [
                Argon2(bytes(row["salt"]), row["iterations"], row["lanes"], row["memory_kib"])
                for row in rows
                if row["salt"] is not None
            ]
            return await to_thread.run_sync(source.known, derivations)
        except Misconfigured as error:
            raise NotConfigured(str(error)) from None
        except WrongSeal as error:
            raise NotConfigured(str(error), hint="Restore the database from a backup.") from None

    async def _wanted_master(self, held: _Unlocked, *, new_master: bool) -> MasterKey:
        if new_master:
            if not isinstance(self._source, MasterFile):
                raise Conflict(
                    f"the master key is that of {self._source.called}, which is yours to change",
                    hint="Set the new one, name the old one as SECRETS_PREVIOUS_MASTER_KEY_FILE or "
                    "SECRETS_PREVIOUS_PASSPHRASE_FILE, restart and rewrap.",
                )
            return await to_thread.run_sync(self._source.begin_next)
        derived = [] if held.master.derived is None else [held.master.derived]
        mine = await to_thread.run_sync(self._source.known, derived)
        if held.master.id in {each.id for each in mine}:
            return held.master
        return await to_thread.run_sync(self._source.made)

    def _row_of(self, master: MasterKey) -> dict[str, Any]:
        derived = master.derived
        return {
            "id": master.id,
            "salt": derived.salt if derived else None,
            "iterations": derived.iterations if derived else None,
            "lanes": derived.lanes if derived else None,
            "memory_kib": derived.memory_kib if derived else None,
            "created_at": self._clock.now(),
        }
