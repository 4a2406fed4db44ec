"""Books of the audit to run one suite over: on a SQLite file, and on a real PostgreSQL."""

import secrets
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import pytest

from flotilla.chain import Checked
from flotilla.database.database import Database
from flotilla.database.place import Place
from flotilla.redaction import Redactor
from master.audit.book import Book
from master.audit.opened import open_book
from master.audit.reading import Filter, Rows
from master.audit.seam import Row
from master.audit.settings import AuditSettings
from master.audit.verifying import verified
from master.database.opened import open_database, place_of
from tests.backends.postgres_server import Postgres
from tools.memory_folder import memory_folder

CANARY = "canary/of-the-audit+9f3"


@dataclass
class Hub:
    """One hub's book, open; and what may be asked of its database."""

    book: Book
    rows: Rows
    database: Database

    async def told(self, **wanted: Any) -> list[str]:
        """`tool outcome` of all rows of calls, the oldest first."""
        links = await self.rows.links(0, 100_000, Filter(**wanted))
        shown = [link for link in links if link.columns["kind"] != "audit"]
        return [f"{link.columns['tool']} {link.columns['outcome']}" for link in shown]

    async def verify(self) -> Checked:
        found = [
            each async for each in verified(self.rows, self.book.public_key, self.book.head_file)
        ]
        assert isinstance(found[-1], Checked)
        return found[-1]


@dataclass
class Site:
    """A database, and the data folder of a hub that uses it."""

    url: str | None
    folder: Path
    settings: AuditSettings = field(default_factory=AuditSettings)

    def place(self) -> Place:
        return place_of(self.url, self.folder)

    @asynccontextmanager
    async def hub(self, **settings: Any) -> AsyncGenerator[Hub]:
        """A hub of this folder: several at once are processes of one hub."""
        place = self.place()
        database = open_database(place, lock_timeout_s=1)
        book = open_book(
            place,
            database,
            self.folder,
            Redactor([CANARY]),
            self.settings.model_copy(update=settings),
        )
        async with database.opened(), book.running():
            yield Hub(book, Rows(database), database)

    def elsewhere(self, folder: Path) -> "Site":
        """Another machine whose hub uses the same database, and has the same key."""
        (folder / "audit").mkdir(parents=True, exist_ok=True)
        key = self.folder / "audit" / "private_key.pem"
        settings = self.settings.model_copy(update={"key": key.read_text()})
        return Site(self.url, folder, settings)

    async def forge(self, *statements: str) -> None:
        """What somebody can do who owns the database: the triggers are gone first."""
        if self.url is None:
            with closing(sqlite3.connect(self.folder / "hub.sqlite3")) as opened, opened:
                for trigger in ("changed", "removed"):
                    opened.execute(f"DROP TRIGGER IF EXISTS hub_audit_is_not_{trigger}")
                opened.execute("DROP TRIGGER IF EXISTS hub_audit_is_added_to")
                for statement in statements:
                    opened.execute(statement)
            return
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute("SET search_path TO flotilla_hub")
            await connection.execute("ALTER TABLE hub_audit DISABLE TRIGGER USER")
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def meddle(self, statement: str) -> None:
        """As `forge`, with the triggers in their place."""
        if self.url is None:
            with closing(sqlite3.connect(self.folder / "hub.sqlite3")) as opened, opened:
                opened.execute(statement)
            return
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute("SET search_path TO flotilla_hub")
            await connection.execute(statement)
        finally:
            await connection.close()


@pytest.fixture
async def database_url(postgres: Postgres) -> str:
    """An empty database of its own."""
    name = f"hub_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(postgres.url)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    finally:
        await connection.close()
    return postgres.url.removesuffix("/postgres") + f"/{name}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    url = None if request.param == "sqlite" else request.getfixturevalue("database_url")
    return Site(url, tmp_path / "hub")


@pytest.fixture
def lite(tmp_path: Path) -> Site:
    return Site(None, tmp_path / "hub")


@pytest.fixture
def swift() -> Iterator[Site]:
    """On no disk, where the machine has the room: what happens to others' files holds up none of
    these, and what a killed process had written is there all the same."""
    with TemporaryDirectory(prefix="flotilla-audit-", dir=memory_folder()) as folder:
        yield Site(None, Path(folder) / "hub")


def row(tool: str = "os.linux.listProcesses", **more: Any) -> Row:
    return Row(**{"kind": "call", "principal": "ann", "tool": tool, **more})


MakeHub = Callable[..., AbstractAsyncContextManager[Hub]]
