"""How SQLite is spoken to: its pragmas, its transactions, and callers that give up."""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import anyio
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from flotilla.errors import Unavailable

_INTERRUPT_AGAIN_S = 0.02

_T = TypeVar("_T")


class Patient(AsyncConnection):
    """A connection to SQLite whose statements have ended before a caller that gives up goes on.

    A cancellation inside the driver would leave its thread at work: the lock stays taken, and a
    task waits for ever for a thread that was stopped. So each statement is a task of its own, which
    a cancellation interrupts and waits for.
    """

    async def execute(self, *args: Any, **kwargs: Any) -> Any:
        return await self._to_its_end(super().execute(*args, **kwargs))

    async def exec_driver_sql(self, *args: Any, **kwargs: Any) -> Any:
        return await self._to_its_end(super().exec_driver_sql(*args, **kwargs))

    async def run_sync(self, *args: Any, **kwargs: Any) -> Any:
        return await self._to_its_end(super().run_sync(*args, **kwargs))

    async def _to_its_end(self, work: Coroutine[Any, Any, _T]) -> _T:
        statement = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(statement)
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await self._interrupt(statement)
            raise

    async def _interrupt(self, statement: asyncio.Future[Any]) -> None:
        driver: Any = (await self.get_raw_connection()).driver_connection
        while not statement.done():
            # One that has not begun yet takes no notice, so again.
            await driver.interrupt()
            await asyncio.wait({statement}, timeout=_INTERRUPT_AGAIN_S)
        statement.exception()  # it was interrupted, which is what was wanted


def keep_private(file: str) -> None:
    """Make the database's file, or what is there, its owner's alone; its journals follow it.

    Unavailable where it cannot be made.
    """
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        Path(file).chmod(0o600)
    except OSError as error:
        raise Unavailable(f"cannot open {file}: {error.strerror}") from None


def speak_sqlite(engine: AsyncEngine, *, writes: bool, lock_timeout_s: float) -> None:
    """Set up each connection of the engine, and how its transactions begin."""
    pragmas = [f"busy_timeout = {int(lock_timeout_s * 1000)}", "foreign_keys = ON"]
    # Full sync: what a client was told is on the disk.
    pragmas += ["journal_mode = WAL", "synchronous = FULL"] if writes else ["query_only = ON"]
    pragmas += ["temp_store = MEMORY", "cache_size = -16000"]

    def connected(connection: Any, _record: object) -> None:
        # The driver would open transactions on its own, and deferred ones.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    def begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "begin", begun)
