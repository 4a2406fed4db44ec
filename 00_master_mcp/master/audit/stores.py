"""Where the rows are written: a SQLite file through a thread of its own, or a PostgreSQL.

The hub's database would write to SQLite too, but each statement of it is a way to a thread and
back: nine of them are ten times what the disk takes for a commit, and a call that writes waits for
them.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import text

from flotilla import Unavailable
from flotilla.database.database import Database
from master.audit.steps import Found, Statement, Steps

_T = TypeVar("_T")
_CALLED = "the audit's database"


class Store(Protocol):
    async def write(self, steps: Callable[[], Steps[_T]]) -> _T:
        """Carry out steps in one transaction that is durable when this returns.

        Unavailable where it cannot be; whether it was carried out is then not known.
        """
        ...

    def running(self) -> AbstractAsyncContextManager[None]: ...


class PostgresStore:
    """The database that hubs share; its lock makes their rows one chain."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, steps: Callable[[], Steps[_T]]) -> _T:
        async with self._database.write() as connection:
            under_way = steps()
            try:
                asked = next(under_way)
                while True:
                    done = await connection.execute(text(asked.sql), _values(asked))
                    found: Found = [tuple(row) for row in done.all()] if done.returns_rows else ()
                    asked = under_way.send(found)
            except StopIteration as end:
                return end.value

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        yield


class SqliteStore:
    """One connection to the hub's file, in a thread that lives as long as the store runs."""

    def __init__(self, file: Path, database: Database, *, lock_timeout_s: float = 5.0) -> None:
        self._file = file
        self._database = database
        self._lock_timeout_s = lock_timeout_s
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._prepared = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
            self._thread.shutdown(wait=False)

    async def write(self, steps: Callable[[], Steps[_T]]) -> _T:
        if not self._prepared:
            # Its first use makes the tables.
            async with self._database.read():
                self._prepared = True
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._write, steps)

    def _write(self, steps: Callable[[], Steps[_T]]) -> _T:
        try:
            connection = self._opened()
            with _transaction(connection):
                return _carried_out(connection, steps())
        except (sqlite3.Error, OSError) as error:
            self._close()
            reason = getattr(error, "sqlite_errorname", None) or type(error).__name__
            raise Unavailable(
                f"{_CALLED} cannot be written ({reason})",
                hint="Is the disk of FLOTILLA_DATA_DIR full, or was the file taken away?",
            ) from error

    def _opened(self) -> sqlite3.Connection:
        """The connection; a new one where the file is not the one that was opened."""
        status = os.stat(self._file)  # noqa: PTH116  a Path's own costs half of it again
        inode = (status.st_dev, status.st_ino)
        if self._connection is not None and inode == self._inode:
            return self._connection
        self._close()
        connection = sqlite3.connect(
            self._file, timeout=self._lock_timeout_s, isolation_level=None, check_same_thread=False
        )
        self._connection, self._inode = connection, inode
        # Full sync: what is told to be there is on the disk.
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "temp_store = MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Generator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _carried_out(connection: sqlite3.Connection, steps: Steps[_T]) -> _T:
    try:
        asked = next(steps)
        while True:
            if isinstance(asked.values, dict):
                found: Found = connection.execute(asked.sql, asked.values).fetchall()
            else:
                connection.executemany(asked.sql, asked.values)
                found = ()
            asked = steps.send(found)
    except StopIteration as end:
        return end.value


def _values(asked: Statement) -> Any:
    return asked.values if isinstance(asked.values, dict) else list(asked.values)
