"""The store as a whole: its tables, its trail, many at once, a process that dies."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from flotilla import CommonSettings
from flotilla.toolbox import error_code_of
from secret_store import build
from secret_store.backend import Value, Wanted
from secret_store.database import database_at, place_of
from secret_store.embedded import Embedded
from secret_store.keyring import Keyring
from secret_store.master_key import MasterFile
from secret_store.settings import Settings
from secret_store.stamps import Clock
from secret_store.tables import metadata

if TYPE_CHECKING:
    from conftest import Opened, Store

    from tests.backends.postgres_server import Postgres

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary-7f3e9a51c2-value"
USER = "os.linux.runCommand"


async def test_the_migrations_make_what_the_queries_expect(settings: Settings) -> None:
    assert settings.database_url is not None
    database = database_at(place_of(settings.database_url, settings.database_schema))

    def differences(connection: Any) -> list[Any]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with database.opened(), database.read() as connection:
        assert await connection.run_sync(differences) == []


async def test_starting_twice_at_once_makes_one_set_of_keys(
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
    assert reasons == [None] * 3


async def test_calls_at_once_before_anything_was_opened_all_end(store: Store) -> None:
    # The keys are made by the first: the others wait for it and not for each other.
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for number in range(12):
                tasks.start_soon(store.write, f"many/{number}")
    assert (await store("listSecrets"))["returned"] == 12
    assert (await store.ask("verify"))["intact"] is True


async def test_a_database_that_goes_away_is_unavailable_and_comes_back(
    postgres: Postgres, opened: Opened, tmp_path: Path
) -> None:
    settings = Settings(database_url=postgres.url, database_schema="secrets_away")
    async with opened(settings, tmp_path) as store:
        await store.write()
        handle = (await store.lease())["handle"]
        postgres.stop()
        try:
            error = await store.refused("unavailable", "listSecrets")
            assert error["retryable"]
            assert await store.spoke.ready()
            error = await store.no("resolve", handle=handle, tool=USER, principal="ann")
            assert error.code == "unavailable"
            async with opened(settings, tmp_path) as late:
                await late.refused("unavailable", "getMetadata", path="db/password")
                postgres.start()
                assert await late.spoke.ready() is None
            # What was refused meanwhile cost no use.
            assert (await store.resolve(handle))["value"] == CANARY
        finally:
            postgres.start(again=True)


async def test_every_act_is_in_the_trail_and_no_value(store: Store) -> None:
    await store.write()
    await store("generateSecret", path="made", description="for a test")
    await store("rotateSecret", path="made")
    await store.ask("allow", path="db/password", allow={"services": ["linux_cli"]})
    leased = await store.lease(uses=2)
    await store.resolve(leased["handle"])
    await store.no("resolve", handle=leased["handle"], tool=USER, principal="mallory")
    await store.ask("credentials", service="linux_cli", names=["db/password", "made"])
    await store("revokeLease", lease=leased["leaseId"])
    await store("deleteSecret", path="made")
    entries = await store.trail()
    told = [(each["act"], each["outcome"], each.get("path")) for each in reversed(entries)]
    assert told == [
        ("written", "done", "db/password"),
        ("generated", "done", "made"),
        ("rotated", "done", "made"),
        ("allowed", "done", "db/password"),
        ("leased", "done", "db/password"),
        ("resolved", "done", "db/password"),
        ("resolved", "refused", "db/password"),
        ("given", "done", "db/password"),
        ("given", "refused", "made"),
        ("revoked", "done", "db/password"),
        ("deleted", "done", "made"),
    ]
    assert {each["principal"] for each in entries} == {
        "owner",
        "ann",
        "mallory",
        "service:linux_cli",
    }
    assert CANARY not in str(entries)
    assert leased["handle"] not in str(entries)
    (mine,) = await store.trail(principal="mallory")
    assert (mine["reason"], mine["givenTo"]) == ("handle_of_another_principal", USER)
    assert await store.trail(since="2999-01-01T00:00:00Z") == []
    first = await store("queryAudit", limit=4)
    rest = await store("queryAudit", limit=500, cursor=first["nextCursor"])
    assert [*first["items"], *rest["items"]] == entries
    await store.refused("invalid_argument", "queryAudit", since="yesterday")
    await store.refused("invalid_argument", "queryAudit", cursor="e30")


@pytest.mark.parametrize(
    "tampering",
    [
        "DELETE FROM trail WHERE seq = 3",
        "UPDATE trail SET principal = 'somebody' WHERE seq = 3",
        "UPDATE trail SET outcome = 'refused' WHERE seq = 3",
        "UPDATE trail SET seq = seq + 100 WHERE seq = 3",
        "INSERT INTO trail SELECT 100, at, act, outcome, reason, path, version, principal, tool, "
        "given_to, lease_id, correlation_id, link FROM trail WHERE seq = 2",
        "DELETE FROM trail WHERE seq = 1",
    ],
)
async def test_a_trail_that_was_tampered_with_is_found(
    small: Store, tmp_path: Path, tampering: str
) -> None:
    for number in range(5):
        await small.write(f"many/{number}")
    assert await small.ask("verify") == {"entries": 5, "intact": True, "brokenAt": None}
    with closing(sqlite3.connect(tmp_path / "secrets.sqlite3")) as connection:
        connection.execute(tampering)
        connection.commit()
    assert (await small.ask("verify"))["intact"] is False


async def test_services_get_what_they_are_allowed_and_why_not_the_rest(store: Store) -> None:
    await store.write(services=["linux_cli"])
    await store.write("other", "a value of another")
    names = ["db/password", "other", "none", "../../etc/passwd", "db/password"]
    given = await store.ask("credentials", service="linux_cli", names=names)
    assert given == {
        "values": {"db/password": CANARY},
        "versions": {"db/password": 1},
        "refused": {
            "other": "service_not_allowed",
            "none": "secret_unknown",
            "../../etc/passwd": "not_a_path",
        },
    }
    assert (await store.ask("credentials", service="cmdb", names=["db/password"]))["values"] == {}
    # Asked again every minute, the same is written down once an hour; news at once.
    count = len(await store.trail(act="given"))
    await store.ask("credentials", service="linux_cli", names=names)
    assert len(await store.trail(act="given")) == count
    await store.write(value="the second value of it", services=["linux_cli"])
    given = await store.ask("credentials", service="linux_cli", names=names)
    assert given["values"] == {"db/password": "the second value of it"}
    assert len(await store.trail(act="given")) == count + 1
    store.watch.pass_s(3601)
    await store.ask("credentials", service="linux_cli", names=["db/password"])
    assert len(await store.trail(act="given")) == count + 2


async def test_values_that_left_the_store_lately_are_told_to_the_hub(store: Store) -> None:
    await store.write()
    await store.write("unused", "never used at all")
    handle = (await store.lease(uses=2))["handle"]
    assert (await store.ask("released"))["values"] == []
    await store.resolve(handle)
    await store.resolve(handle)
    await store.write(value="the second value of it")
    assert await store.ask("released") == {"values": [CANARY], "truncated": False}
    store.watch.pass_s(24 * 3600 + 1)
    assert (await store.ask("released"))["values"] == []


async def test_an_open_store_leaves_no_core_and_is_not_looked_into(
    embedded: Settings, opened: Opened, tmp_path: Path
) -> None:
    def seen() -> tuple[int, int]:
        dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
        return dumpable, resource.getrlimit(resource.RLIMIT_CORE)[0]

    before = seen()
    async with opened(embedded, tmp_path):
        assert seen() == (0, 0)
    assert seen() == before


WRITER = """
    import asyncio, sys
    from secret_store import build
    from secret_store.settings import Settings
    from flotilla import CommonSettings

    async def main():
        spoke = build(Settings.from_env(), CommonSettings.from_env())
        operation = {each.name: each for each in spoke.operations}["write"]
        async with spoke.lifespan():
            number = 0
            while True:
                number += 1
                body = {"path": f"w/{number % 3}", "value": f"value-{number}"}
                done = await operation.run(operation.takes.model_validate(body))
                print(number, done.path, done.version, flush=True)

    asyncio.run(main())
"""


def killed_writer(environment: dict[str, str], lines: int, more_s: float) -> list[tuple[str, ...]]:
    """What a writer said it had written before it was killed, some time after so many lines."""
    argv = [sys.executable, "-c", textwrap.dedent(WRITER)]
    process = subprocess.Popen(
        argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    told = [process.stdout.readline() for _ in range(lines)]
    # Killed at a moment of chance, which is what is tested.
    with suppress(subprocess.TimeoutExpired):
        process.wait(more_s)
    process.send_signal(signal.SIGKILL)
    rest, errors = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGKILL, errors
    # The last line may be cut off, but was printed only after its version was told.
    return [
        tuple(line.split())
        for line in (*told, *rest.splitlines(keepends=True))
        if line.endswith("\n")
    ]


async def killed_and_checked(
    rounds: int, settings: Settings, opened: Opened, tmp_path: Path
) -> None:
    assert settings.database_url is not None
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / '13_secrets_mcp'}",
        "FLOTILLA_DATA_DIR": str(tmp_path),
        "SECRETS_DATABASE_URL": settings.database_url,
        "SECRETS_DATABASE_SCHEMA": settings.database_schema,
        "SECRETS_VERSIONS_KEPT": "1000",
    }
    moments = random.Random(13)
    for _ in range(rounds):
        told = await anyio.to_thread.run_sync(
            killed_writer, environment, moments.randint(1, 12), moments.uniform(0, 0.05)
        )
        async with opened(settings, tmp_path) as store:
            found = await values_in(settings, tmp_path, [(path, int(v)) for _, path, v in told])
            assert found == [f"value-{number}" for number, _, _ in told]
            assert (await store.ask("verify"))["intact"] is True
            written = {(each["path"], each["version"]) for each in await all_entries(store)}
            for _number, path, version in told:
                assert (path, int(version)) in written


async def values_in(
    settings: Settings, folder: Path, wanted: list[tuple[str, int]]
) -> list[str | None]:
    """What is in the store, read past all rules."""
    assert settings.database_url is not None
    database = database_at(place_of(settings.database_url, settings.database_schema))
    keyring = Keyring(database, MasterFile(folder / "secrets"), (), Clock())
    backend = Embedded(database, keyring, versions_kept=1000, clock=Clock())
    async with database.opened():
        found = await backend.get([Wanted(path, version) for path, version in wanted])
    return [each.text if isinstance(each, Value) else None for each in found]


async def all_entries(store: Store) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        more = {"cursor": cursor} if cursor else {}
        page = await store("queryAudit", act="written", limit=500, **more)
        found.extend(page["items"])
        cursor = page.get("nextCursor")
        if cursor is None:
            return found


@pytest.mark.real
async def test_a_process_killed_while_it_writes_loses_no_version_that_it_told(
    embedded: Settings, opened: Opened, tmp_path: Path
) -> None:
    await killed_and_checked(1, embedded, opened, tmp_path)


@pytest.mark.real
@pytest.mark.timeout(600)
async def test_a_process_killed_again_and_again_while_it_writes_loses_no_version(
    settings: Settings, opened: Opened, tmp_path: Path
) -> None:
    # The whole fleet is killed a hundred times by tests/crash; this is the store alone.
    await killed_and_checked(30, settings, opened, tmp_path)


async def test_a_thousand_secrets_are_listed_page_by_page(
    embedded: Settings, opened: Opened, tmp_path: Path
) -> None:
    async with opened(embedded, tmp_path) as store:
        await store.write("first")
        with closing(sqlite3.connect(tmp_path / "secrets.sqlite3")) as connection:
            for table, columns in (
                ("secret", "last_version, created_at, updated_at, deleted_at"),
                ("version", "number, data_key_id, sealed, created_at"),
                ("card", "description, tags, rules, recipe, public_key, expires_at, last_used_at"),
            ):
                for number in range(1000):
                    connection.execute(
                        f"INSERT INTO {table} (path, {columns}) "
                        f"SELECT ?, {columns} FROM {table} WHERE path = 'first'",
                        (f"many/{number:04}",),
                    )
            connection.commit()
        found: list[str] = []
        cursor: str | None = None
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = await store("listSecrets", prefix="many/", limit=300, **more)
            found.extend(each["path"] for each in page["items"])
            assert page["truncated"] == ("nextCursor" in page)
            cursor = page.get("nextCursor")
            if cursor is None:
                break
        assert found == [f"many/{number:04}" for number in range(1000)]
        # Their values were copied, so they belong to another path: none is taken for a secret.
        assert (await store("scanText", text=f"x {CANARY}"))["clean"] is False
        given = await store.ask("allow", path="many/0001", allow={"services": ["x"]})
        given = await store.ask("credentials", service="x", names=["many/0001"])
        assert given["refused"] == {"many/0001": "seal_broken"}


async def test_a_caller_that_gives_up_leaves_no_half(small: Store) -> None:
    await small.write()
    for deadline_s in (0.0005, 0.002, 0.005, 0.01):
        result = await small.raw("generateSecret", path="made", deadline_s=deadline_s)
        assert error_code_of(result) in ("timeout", "conflict", None)
    there = (await small("exists", path="made"))["exists"]
    acts = [each["act"] for each in await small.trail(path="made")]
    assert acts == (["generated"] if there else [])
    assert (await small.ask("verify"))["intact"] is True
