"""A service's database: opened, migrated, read and written in transactions, pinged and closed.

Writes happen one at a time, on SQLite because it has one writer and on PostgreSQL by a lock, so
that what a write has checked (a free name, a version) still holds when it commits.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import orjson
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateSchema

from flotilla.database.away import translated
from flotilla.database.migrating import turn, upgrade
from flotilla.database.place import Place
from flotilla.database.sqlite import Patient, keep_private, speak_sqlite
from flotilla.errors import Unavailable

log = structlog.get_logger(__name__)

_PING_S = 2.0
_GOODBYE_S = 2.0

_T = TypeVar("_T")
Seed = Callable[[AsyncConnection], Awaitable[None]]


class Database:
    """Opens nothing before `opened`; answers Unavailable while the database is away.

    `called` is the database in words for people, `versions` the folder of its migrations, `seed`
    what follows them. `connect_timeout_s` bounds a new connection, `lock_timeout_s` the wait for
    other processes, `answer_timeout_s` that for one answer of PostgreSQL.
    """

    def __init__(
        self,
        place: Place,
        *,
        service: str,
        called: str,
        versions: Path,
        pool_size: int,
        connect_timeout_s: float,
        lock_timeout_s: float,
        answer_timeout_s: float | None = None,
        seed: Seed | None = None,
    ) -> None:
        self._place = place
        self._service = service
        self._called = called
        self._versions = versions
        self._seed = seed
        self._pool_size = pool_size
        self._connect_timeout_s = connect_timeout_s
        self._lock_timeout_s = lock_timeout_s
        self._answer_timeout_s = answer_timeout_s
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
    async def opened(self, *, migrate: bool = True) -> AsyncGenerator[None]:
        """Open as long as the service runs; a database that is away is tried again later.

        Without `migrate` nothing is waited for: the first use migrates.
        """
        self._reader = self._engine(writes=False)
        self._writer = self._engine(writes=True)
        try:
            try:
                if (file := self._place.url.database) is not None and not self.is_postgresql:
                    keep_private(file)
                if migrate:
                    await self._migrate()
            except Unavailable as error:
                log.warning("database_away", service=self._service, reason=error.message)
            yield
        finally:
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as closing:
                    for engine in (self._reader, self._writer):
                        closing.start_soon(_disposed, engine)
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
            return f"{self._called} did not answer within {_PING_S:g} s"
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
            async with turn():
                await connection.run_sync(upgrade, self._versions)
            if self._seed is not None:
                await self._seed(connection)
        self._migrated = True

    async def _lock(self, connection: AsyncConnection) -> None:
        # BEGIN IMMEDIATE has done it on SQLite.
        if self.is_postgresql:
            await connection.execute(
                text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"),
                {"key": f"flotilla.{self._service}.{self._place.schema}"},
            )

    @asynccontextmanager
    async def _transaction(
        self, engine: AsyncEngine | None, gate: anyio.Semaphore
    ) -> AsyncGenerator[AsyncConnection]:
        if engine is None:
            raise Unavailable(f"{self._called} is not open")
        async with gate:
            with translated(self._called, self._place.key):
                kind = AsyncConnection if self.is_postgresql else Patient
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
            speak_sqlite(engine, writes=writes, lock_timeout_s=self._lock_timeout_s)
            return engine
        return create_async_engine(
            self._place.url,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED" if writes else "REPEATABLE READ",
            connect_args={
                "timeout": self._connect_timeout_s,
                "command_timeout": self._answer_timeout_s,
                "server_settings": {
                    "search_path": self._place.schema,
                    "application_name": f"flotilla-{self._service}",
                    "lock_timeout": str(int(self._lock_timeout_s * 1000)),
                    "default_transaction_read_only": "off" if writes else "on",
                },
            },
            **common,
        )


async def _disposed(engine: AsyncEngine) -> None:
    # A server that hangs would not say goodbye; its connections end all the same.
    with anyio.move_on_after(_GOODBYE_S):
        await engine.dispose()


async def _shielded(work: Awaitable[_T]) -> _T:
    """Let short work end although the caller has given up: half done, it would be nobody's."""
    with anyio.CancelScope(shield=True):
        return await work
    raise AssertionError("a shielded scope of no deadline is never left early")


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
