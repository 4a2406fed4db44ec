"""The store: migrations, a database that goes away, callers that give up, a process that dies."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from cmdb import build
from cmdb.place import file_place, place_of
from cmdb.settings import Settings
from cmdb.store import Store
from cmdb.tables import metadata
from flotilla import CommonSettings, Misconfigured
from flotilla.toolbox import error_code_of

if TYPE_CHECKING:
    from conftest import Cmdb

    from tests.backends.postgres_server import Postgres

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]


def store_of(settings: Settings) -> Store:
    assert settings.database_url is not None
    place = place_of(settings.database_url, settings.database_schema)
    return Store(place, pool_size=5, connect_timeout_s=5, lock_timeout_s=15)


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
async def test_the_migrations_make_what_the_queries_expect(settings: Settings) -> None:
    store = store_of(settings)

    def differences(connection: Any) -> list[Any]:
        context = MigrationContext.configure(connection)
        return [
            told
            for told in compare_metadata(context, metadata)
            # Search and partial indices are the migration's own affair.
            if "index" not in str(told[0]) and "words" not in str(told)
        ]

    async with store.opened(), store.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_starting_again_and_twice_at_once_keeps_what_is_there(
    settings: Settings, tmp_path: Path
) -> None:
    spokes = [build(settings, CommonSettings(data_dir=tmp_path)) for _ in range(3)]
    reasons: list[str | None] = []

    async def start(number: int) -> None:
        async with spokes[number].lifespan():
            reasons.append(await spokes[number].ready())

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(start, number)
        await start(0)
    assert reasons == [None] * 4


async def test_before_it_is_opened_the_store_is_unavailable(
    settings: Settings, tmp_path: Path
) -> None:
    spoke = build(settings, CommonSettings(data_dir=tmp_path))
    assert "not open" in (await spoke.ready() or "")


async def test_a_caller_that_gives_up_leaves_no_trace(cmdb: Cmdb) -> None:
    rows = ",".join(f'{{"ciClass": "server", "name": "s{n}"}}' for n in range(3000))
    for deadline_s in (0.01, 0.05, 0.1, 0.2):
        result = await cmdb.raw("importItems", content=f"[{rows}]", deadline_s=deadline_s)
        assert error_code_of(result) in ("timeout", None)
        found = await cmdb("searchItems", limit=1)
        assert found["returned"] == (0 if result["isError"] else 1)
        if not result["isError"]:
            break
    # More calls than the pool has connections: each came back.
    for _ in range(12):
        await cmdb.raw("searchItems", deadline_s=0.0005)
    with anyio.fail_after(20):
        await cmdb.item("after")


async def test_a_long_statement_stops_when_its_caller_gives_up(
    settings: Settings, postgres: Postgres
) -> None:
    del postgres
    store = store_of(settings)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    async with store.opened():
        with anyio.fail_after(10):
            with anyio.move_on_after(0.2):
                async with store.read() as connection:
                    await connection.exec_driver_sql(endless)
            assert await store.ready() is None


async def test_a_database_that_goes_away_is_unavailable_and_comes_back(
    postgres: Postgres, opened: Any, tmp_path: Path
) -> None:
    settings = Settings(database_url=postgres.url, database_schema="cmdb_away")
    async with opened(settings, tmp_path) as cmdb:
        id_ = await cmdb.item("web")
        postgres.stop()
        try:
            for tool, arguments in (
                ("getItem", {"id": id_}),
                ("createItem", {"ciClass": "server", "name": "x", "attributes": {}}),
            ):
                error = await cmdb.refused("unavailable", tool, **arguments)
                assert error["retryable"]
                assert "canary" not in str(error)
            reason = await cmdb.spoke.ready()
            assert reason
            assert "canary" not in reason
            # A spoke that starts while its database is away waits for it.
            async with opened(settings, tmp_path) as late:
                await late.refused("unavailable", "getItem", id=id_)
                postgres.start()
                assert (await late("getItem", id=id_))["name"] == "web"
            assert (await cmdb("getItem", id=id_))["name"] == "web"
            assert await cmdb.spoke.ready() is None
        finally:
            postgres.start(again=True)


IMPORT = """
    import asyncio, os, signal, sys
    from cmdb import build
    from cmdb.ledger import Ledger
    from cmdb.settings import Settings
    from flotilla import CommonSettings, Context, Deadline, Principal
    from flotilla.redaction import Redactor
    from flotilla.toolbox import Toolbox

    whole = Ledger.relate

    async def dies(self, links, versions):
        await whole(self, links, versions)
        os.kill(os.getpid(), signal.SIGKILL)

    Ledger.relate = dies

    async def main():
        spoke = build(Settings.from_env(), CommonSettings())
        async with spoke.lifespan():
            context = Context(
                principal=Principal("p"), correlation_id="c", deadline=Deadline.after(60)
            )
            content = "ciClass,name\\n" + "".join(f"server,s{n}\\n" for n in range(500))
            await Toolbox(spoke.tools, Redactor()).call(
                "data.cmdb.importItems", {"content": content, "format": "csv"}, context
            )

    asyncio.run(main())
"""


async def test_a_process_killed_in_the_middle_of_an_import_leaves_nothing_half_done(
    settings: Settings, opened: Any, tmp_path: Path
) -> None:
    assert settings.database_url is not None
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / '12_cmdb_mcp'}",
        "CMDB_DATABASE_URL": settings.database_url,
        "CMDB_DATABASE_SCHEMA": settings.database_schema,
    }
    argv = [sys.executable, "-c", textwrap.dedent(IMPORT)]
    died = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)
    assert died.returncode == -signal.SIGKILL, died.stderr
    async with opened(settings, tmp_path) as cmdb:
        assert (await cmdb("searchItems"))["items"] == []
        await cmdb.item("s1")


async def test_two_spokes_write_one_file_without_an_error(tmp_path: Path, opened: Any) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/cmdb.sqlite3")
    async with opened(settings, tmp_path) as one, opened(settings, tmp_path) as two:
        async with anyio.create_task_group() as tasks:
            for number in range(15):
                tasks.start_soon(one.item, f"one-{number}")
                tasks.start_soon(two.item, f"two-{number}")
        assert (await one("searchItems"))["returned"] == 30


async def test_the_embedded_file_syncs_fully_and_lies_in_the_data_folder(
    tmp_path: Path, opened: Any
) -> None:
    async with opened(Settings(), tmp_path) as cmdb:
        await cmdb.item("web")
        file = tmp_path / "cmdb" / "cmdb.sqlite3"
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            connection.execute("INSERT INTO item_words(item_words) VALUES ('integrity-check')")


def test_settings_take_the_database_from_the_fleet_or_a_file(tmp_path: Path) -> None:
    assert Settings.from_env({}).database_url is None
    fleet = {"FLOTILLA_DATABASE_URL": "postgresql://a@b/c"}
    assert Settings.from_env(fleet).database_url == "postgresql://a@b/c"
    secret = tmp_path / "url"
    secret.write_text("postgresql://x:canary@y/z\n")
    own = Settings.from_env({**fleet, "CMDB_DATABASE_URL_FILE": str(secret)})
    assert own.database_url == "postgresql://x:canary@y/z"
    assert "canary" not in repr(own)


def test_a_url_of_no_known_database_stops_the_start() -> None:
    for url in ("mysql://a/b", "nonsense", "sqlite://", "sqlite:///:memory:"):
        with pytest.raises(Misconfigured, match="CMDB_DATABASE_URL"):
            place_of(url, "cmdb")
    place = place_of("postgres://u:p@h/d?sslmode=require", "cmdb")
    assert place.url.drivername == "postgresql+asyncpg"
    assert place.url.query == {"ssl": "require"}


async def test_the_file_and_its_journals_are_their_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "open to all"
    folder.mkdir(mode=0o755)
    store = Store(file_place(folder, "cmdb"), pool_size=1, connect_timeout_s=5, lock_timeout_s=5)
    async with store.opened():
        async with store.write() as connection:
            await connection.execute(text("SELECT 1"))
        modes = {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}
    assert len(modes) == 3
    assert set(modes.values()) == {0o600}, modes
