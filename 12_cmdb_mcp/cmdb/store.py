"""The database: opened, migrated, read and written in transactions, pinged and closed.

Writes happen one at a time, on SQLite because it has one writer and on PostgreSQL by a lock, so
that what a write has checked (a free name, an item's version, a class) still holds when it commits.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import aiosqlite
import anyio
import asyncpg
import orjson
import structlog
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateSchema

from cmdb import migrations, seeding
from cmdb.place import Place
from flotilla import Unavailable

log = structlog.get_logger(__name__)

_SQLITE_AWAY = frozenset(
    [
        "SQLITE_BUSY",
        "SQLITE_LOCKED",
        "SQLITE_IOERR",
        "SQLITE_CANTOPEN",
        "SQLITE_FULL",
        "SQLITE_READONLY",
        "SQLITE_INTERRUPT",
        "SQLITE_PROTOCOL",
        "SQLITE_NOTADB",
        "SQLITE_CORRUPT",
    ]
)
# Connection lost, rolled back by the server, out of resources, shutting down, lock not granted.
_POSTGRESQL_AWAY = ("08", "40", "53", "57", "55P03", "58", "28", "3D")
_PING_S = 2.0
_INTERRUPT_AGAIN_S = 0.02

_T = TypeVar("_T")


class Store:
    """Opens nothing before `opened`; answers Unavailable while the database is away.

    `connect_timeout_s` bounds a new connection, `lock_timeout_s` the wait for other processes.
    """

    def __init__(
        self, place: Place, *, pool_size: int, connect_timeout_s: float, lock_timeout_s: float
    ) -> None:
        self._place = place
        self._pool_size = pool_size
        self._connect_timeout_s = connect_timeout_s
        self._lock_timeout_s = lock_timeout_s
        self._reader: AsyncEngine | None = None
        self._writer: AsyncEngine | None = None
        self._migrated = False
        # Waiting stands here and not in the engines' pools: a cancelled wait then leaves nothing.
        self._reading = anyio.Semaphore(pool_size)
        self._writing = anyio.Semaphore(1)

    @property
    def is_postgresql(self) -> bool:
        return self._place.is_postgresql

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """The store for as long as the spoke runs; a database that is away is tried again later."""
        self._reader = self._engine(writes=False)
        self._writer = self._engine(writes=True)
        try:
            try:
                await self._migrate()
            except Unavailable as error:
                log.warning("cmdb_store_away", reason=error.message)
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await self._reader.dispose()
                await self._writer.dispose()
            self._migrated = False

    async def ready(self) -> str | None:
        """Why the database does not answer just now, or None."""
        try:
            with anyio.fail_after(_PING_S):
                async with self.read() as connection:
                    await connection.execute(text("SELECT 1"))
        except Unavailable as error:
            return error.message
        except TimeoutError:
            return f"the CMDB's database did not answer within {_PING_S:g} s"
        return None

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction that sees one moment of the database and changes nothing."""
        if not self._migrated:
            await self._migrate()
        async with self._transaction(self._reader, self._reading) as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection]:
        """The transaction of the only writer; commits at the end, takes all back on any error."""
        if not self._migrated:
            await self._migrate()
        async with self._transaction(self._writer, self._writing) as connection:
            await self._lock(connection)
            yield connection

    async def _migrate(self) -> None:
        async with self._transaction(self._writer, self._writing) as connection:
            if self._migrated:
                return
            await self._lock(connection)
            if self.is_postgresql:
                await connection.execute(CreateSchema(self._place.schema, if_not_exists=True))
            await connection.run_sync(migrations.upgrade)
            await seeding.seed(connection)
        self._migrated = True

    async def _lock(self, connection: AsyncConnection) -> None:
        # BEGIN IMMEDIATE has done it on SQLite.
        if self.is_postgresql:
            await connection.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"),
                {"key": f"flotilla.cmdb.{self._place.schema}"},
            )

    @asynccontextmanager
    async def _transaction(
        self, engine: AsyncEngine | None, gate: anyio.Semaphore
    ) -> AsyncGenerator[AsyncConnection]:
        if engine is None:
            raise Unavailable("the CMDB's store is not open")
        async with gate:
            with _translated():
                kind = AsyncConnection if self.is_postgresql else _Patient
                connection = await _shielded(kind(engine).start())
                try:
                    await _shielded(connection.begin().start())
                    yield connection
                    await _shielded(connection.commit())
                finally:
                    # Rolls back what was not committed, also when the caller has given up.
                    await _shielded(connection.close())

    def _engine(self, *, writes: bool) -> AsyncEngine:
        common: dict[str, Any] = {
            "pool_size": 1 if writes else self._pool_size,
            "max_overflow": 0,
            "pool_timeout": self._connect_timeout_s,
            "json_serializer": _json,
            "json_deserializer": orjson.loads,
            "hide_parameters": True,
        }
        if not self.is_postgresql:
            arguments = {"timeout": self._lock_timeout_s}
            engine = create_async_engine(self._place.url, connect_args=arguments, **common)
            _speak_sqlite(engine, writes=writes, lock_timeout_s=self._lock_timeout_s)
            return engine
        return create_async_engine(
            self._place.url,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED" if writes else "REPEATABLE READ",
            connect_args={
                "timeout": self._connect_timeout_s,
                "server_settings": {
                    "search_path": self._place.schema,
                    "application_name": "flotilla-cmdb",
                    "lock_timeout": str(int(self._lock_timeout_s * 1000)),
                    "default_transaction_read_only": "off" if writes else "on",
                },
            },
            **common,
        )


class _Patient(AsyncConnection):
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
        driver = (await self.get_raw_connection()).driver_connection
        assert isinstance(driver, aiosqlite.Connection)
        while not statement.done():
            # One that has not begun yet takes no notice, so again.
            await driver.interrupt()
            await asyncio.wait({statement}, timeout=_INTERRUPT_AGAIN_S)
        statement.exception()  # it was interrupted, which is what was wanted


async def _shielded(work: Awaitable[_T]) -> _T:
    """Let short work end although the caller has given up: half done, it would be nobody's."""
    with anyio.CancelScope(shield=True):
        return await work
    raise AssertionError("a shielded scope of no deadline is never left early")


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _speak_sqlite(engine: AsyncEngine, *, writes: bool, lock_timeout_s: float) -> None:
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


@contextmanager
def _translated() -> Generator[None]:
    """Unavailable instead of the drivers' ways to say that the database is away."""
    try:
        yield
    except DBAPIError as error:
        if not is_away(error):
            raise
        raise _away(error) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, PoolTimeout, OSError) as error:
        raise _away(error) from error


def _away(error: Exception) -> Unavailable:
    kind = type(getattr(error, "orig", None) or error).__name__
    return Unavailable(
        f"the CMDB's database does not answer ({kind})",
        hint="Try again; if it lasts, look at the database and CMDB_DATABASE_URL.",
    )


def is_away(error: DBAPIError) -> bool:
    """Whether the error is the database's state and not the statement's fault."""
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    code = getattr(error.orig, "sqlite_errorname", None)
    if isinstance(code, str):
        return any(code.startswith(away) for away in _SQLITE_AWAY)
    state = getattr(error.orig, "sqlstate", None)
    return isinstance(state, str) and state.startswith(_POSTGRESQL_AWAY)
