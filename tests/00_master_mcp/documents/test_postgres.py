"""Documents in PostgreSQL: migrated by many at once, away and back, hung, and refused."""

import os
from collections.abc import Generator
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import asyncpg
import psutil
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

from flotilla import Misconfigured, Unavailable
from flotilla.database.place import read_place
from master.database.opened import SCHEMA
from master.database.tables import metadata
from master.documents.opened import open_documents
from master.documents.seam import Document
from tests.backends.postgres_server import PASSWORD, Postgres
from tests.conftest import until

from .conftest import documents_at

pytestmark = pytest.mark.anyio


async def test_hubs_that_start_at_once_on_an_empty_database_make_its_tables_once(
    database_url: str,
) -> None:
    found: list[Document] = []

    async def start() -> None:
        documents = documents_at(database_url)
        async with documents.running():
            found.append(await documents.load("servers"))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(start)
        await start()
    assert found == [Document({}, None)] * 7


async def test_the_migrations_make_what_the_statements_expect(database_url: str) -> None:
    documents = documents_at(database_url)
    async with documents.running():
        await documents.save("servers", {}, None)
    place = read_place(database_url, SCHEMA, "x")
    arguments = {"server_settings": {"search_path": SCHEMA}}
    engine = create_async_engine(place.url, connect_args=arguments)

    def differences(connection: Any) -> list[Any]:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


@pytest.fixture
def killed(postgres: Postgres) -> Generator[Postgres]:
    """The server, which the test may stop: it runs again afterwards."""
    yield postgres
    postgres.start(again=True)


async def test_a_database_that_is_killed_is_unavailable_and_comes_back_with_what_was_saved(
    database_url: str, killed: Postgres
) -> None:
    documents = documents_at(database_url)
    async with documents.running():
        version = await documents.save("servers", {"a": 1}, None)
        killed.stop()
        for asked in (
            documents.load("servers"),
            documents.version("servers"),
            documents.save("servers", {"a": 2}, version),
        ):
            with pytest.raises(Unavailable, match="the hub's database does not answer") as raised:
                await asked
            assert PASSWORD not in f"{raised.value} {raised.value.hint}"
        late = documents_at(database_url)
        async with late.running():
            with pytest.raises(Unavailable):
                await late.load("servers")
            killed.start()
            assert await late.load("servers") == Document({"a": 1}, version)
        assert await documents.save("servers", {"a": 3}, version) != version


async def test_a_database_that_hangs_is_given_up_in_time_also_at_the_end(
    database_url: str, postgres: Postgres
) -> None:
    patient = documents_at(database_url)
    async with patient.running():
        version = await patient.save("servers", {"a": 1}, None)
    documents = documents_at(database_url, connect_timeout_s=0.3, answer_timeout_s=0.3)

    async def loads() -> bool:
        # The limits are for who hangs; who works may be held up by other programs.
        try:
            return (await documents.load("servers")).body["a"] in (1, 2)
        except Unavailable:
            return False

    async def saves() -> bool:
        nonlocal version
        try:
            version = await documents.save("servers", {"a": 1}, version)
        except Unavailable:
            return False
        return True

    async with documents.running():
        await until(saves)
        await until(loads)
        serving = await _serving(database_url, postgres)
        assert len(serving) == 2, "one that reads and one that writes"
        try:
            for process in serving:
                process.suspend()
            begun = monotonic()
            with pytest.raises(Unavailable):
                await documents.load("servers")
            with pytest.raises(Unavailable):
                await documents.save("servers", {"a": 2}, version)
            assert monotonic() - begun < 5
        finally:
            for process in serving:
                process.resume()
        await until(loads)


async def _serving(database_url: str, postgres: Postgres) -> list[psutil.Process]:
    """The server's processes for the connections to that database."""
    connection = await asyncpg.connect(postgres.url)
    try:
        # PostgreSQL itself may be tidying up in it.
        asked = (
            "SELECT pid FROM pg_stat_activity "
            "WHERE datname = $1 AND backend_type = 'client backend'"
        )
        rows = await connection.fetch(asked, database_url.rpartition("/")[2])
    finally:
        await connection.close()
    return [psutil.Process(row["pid"]) for row in rows]


async def test_a_caller_that_gives_up_leaves_a_document_whole_and_the_connection_free(
    database_url: str,
) -> None:
    documents = documents_at(database_url)
    async with documents.running():
        version = await documents.save("servers", {"n": 0}, None)
        for within_s in (0, 0.0005, 0.001, 0.002, 0.004, 0.008):
            with anyio.move_on_after(within_s):
                await documents.save("servers", {"n": 1, "fill": "x" * 100_000}, version)
            found = await documents.load("servers")
            assert found.body["n"] == (0 if found.version == version else 1)
            version = found.version or ""
            version = await documents.save("servers", {"n": 0}, version)


async def test_a_role_that_may_not_make_tables_is_told_as_misconfigured(
    database_url: str, postgres: Postgres
) -> None:
    connection = await asyncpg.connect(database_url)
    role = f"weak_{os.urandom(4).hex()}"
    await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    await connection.close()
    weak = documents_at(database_url.replace("postgresql://postgres:", f"postgresql://{role}:"))
    async with weak.running():
        with pytest.raises(Misconfigured, match="FLOTILLA_DATABASE_URL: the database refuses"):
            await weak.load("servers")


@pytest.mark.parametrize("url", ["sqlite:////tmp/hub.sqlite3", "mysql://a/b", "nonsense"])
def test_a_url_of_another_database_stops_the_start(url: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="FLOTILLA_DATABASE_URL"):
        open_documents(url, tmp_path)


async def test_files_that_a_database_replaces_are_told_of(told: Any, tmp_path: Path) -> None:
    (tmp_path / "servers.json").write_text("{}")
    open_documents("postgresql://a@127.0.0.1/b", tmp_path)
    assert [(each["event"], each["files"]) for each in told] == [
        ("documents_in_files_are_unused", ["servers.json"])
    ]
