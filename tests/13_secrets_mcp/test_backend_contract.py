"""What every backend does: another one gets a kit here and nothing else."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from flotilla import Conflict
from secret_store.backend import Backend, Value, Wanted, whole
from secret_store.database import database_at, place_of
from secret_store.embedded import Embedded
from secret_store.keyring import Keyring
from secret_store.master_key import GivenKey
from secret_store.sealing import new_key, written_key
from secret_store.settings import Settings
from secret_store.stamps import Clock
from secret_store.vault.making import vault_backend
from secret_store.vault.settings import VaultSettings
from tests.backends.vault_server import VaultServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    from flotilla.database.database import Database
    from tests.backends.postgres_server import Postgres
    from tests.backends.vault_program import VaultProgram

pytestmark = pytest.mark.anyio

KEPT = 4
ODD = "line one\nline two\r\n\ttab \\ \" ' ключ \U0001f511 \u202e"


class Kit:
    """A backend with the spoke's own database; `is_in_it` where it writes in its transactions."""

    def __init__(self, backend: Backend, database: Database, *, is_in_it: bool) -> None:
        self.backend = backend
        self.database = database
        self.is_in_it = is_in_it

    async def put(self, path: str, value: str, expected: int | None = None) -> int:
        async with self.database.write() as transaction:
            kept = await self.backend.put(path, value, expected=expected, transaction=transaction)
        return kept.version

    async def delete(self, path: str) -> None:
        async with self.database.write() as transaction:
            await self.backend.delete(path, transaction=transaction)

    async def value(self, path: str, version: int | None = None) -> str | None:
        (found,) = await self.backend.get([Wanted(path, version)])
        value = whole(found)
        return None if value is None else value.text


@asynccontextmanager
async def embedded_kit(settings: Settings) -> AsyncGenerator[Kit]:
    assert settings.database_url is not None
    database = database_at(place_of(settings.database_url, settings.database_schema))
    clock = Clock()
    source = GivenKey(written_key(new_key()), "a test's key")
    keyring = Keyring(database, source, (), clock)
    backend = Embedded(database, keyring, versions_kept=KEPT, clock=clock)
    async with database.opened(), backend.opened():
        await keyring.unlock()
        yield Kit(backend, database, is_in_it=True)


@asynccontextmanager
async def vault_kit(settings: Settings, vault: VaultSettings) -> AsyncGenerator[Kit]:
    assert settings.database_url is not None
    database = database_at(place_of(settings.database_url, settings.database_schema))
    backend = vault_backend(vault, versions_kept=KEPT, clock=Clock(), learn=lambda _: None)
    async with database.opened(), backend.opened():
        yield Kit(backend, database, is_in_it=False)


@pytest.fixture(params=["sqlite", "postgresql", "vault", "a real vault"])
async def kit(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kit]:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/secrets.sqlite3")
    token = tmp_path / "token"
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres")
        schema = f"secrets_{secrets.token_hex(6)}"
        settings = Settings(database_url=server.url, database_schema=schema)
    if request.param == "a real vault":
        program: VaultProgram = request.getfixturevalue("vault_program")
        token.write_text(program.token)
        folder = secrets.token_hex(6)
        vault = VaultSettings(url=program.url, token_file=token, folder=folder)
        async with vault_kit(settings, vault) as ready:
            yield ready
    elif request.param == "vault":
        async with VaultServer().running() as own:
            token.write_text(own.root)
            vault = VaultSettings(url=own.url, token_file=token)
            async with vault_kit(settings, vault) as ready:
                yield ready
    else:
        async with embedded_kit(settings) as ready:
            yield ready


async def test_what_is_put_comes_back_and_an_open_backend_is_ready(kit: Kit) -> None:
    assert await kit.backend.ready() is None
    for path, value in (("a", "x"), ("b/c-d_e.f", ODD), ("big", "ю" * 32_768)):
        assert await kit.put(path, value) == 1
        assert await kit.value(path) == value


async def test_what_is_not_there_is_none_and_not_an_error(kit: Kit) -> None:
    await kit.put("a", "x")
    assert await kit.value("b") is None
    assert await kit.value("a", 2) is None
    assert await kit.backend.metadata("b") is None
    assert await kit.backend.versions("b") == []
    assert await kit.backend.list("b", "", 10) == []
    assert list(await kit.backend.get([])) == []


async def test_each_write_is_a_version_and_the_oldest_go(kit: Kit) -> None:
    for number in range(1, KEPT + 3):
        assert await kit.put("a", f"value {number}") == number
    assert [each.number for each in await kit.backend.versions("a")] == [6, 5, 4, 3]
    assert await kit.value("a") == "value 6"
    assert await kit.value("a", 3) == "value 3"
    assert await kit.value("a", 2) is None
    kept = await kit.backend.metadata("a")
    assert kept is not None
    assert (kept.version, kept.versions) == (6, KEPT)
    assert kept.created_at <= kept.updated_at


async def test_many_values_are_got_at_once_in_the_order_asked(kit: Kit) -> None:
    await kit.put("a", "a1")
    await kit.put("a", "a2")
    await kit.put("b", "b1")
    wanted = [
        Wanted("b"),
        Wanted("none"),
        Wanted("a", 1),
        Wanted("a"),
        Wanted("b", 2),
        Wanted("a", 2),
    ]
    found = await kit.backend.get(wanted)
    assert [each.text if isinstance(each, Value) else each for each in found] == [
        "b1",
        None,
        "a1",
        "a2",
        None,
        "a2",
    ]
    assert "a1" not in repr(found)


async def test_a_write_that_expected_another_version_changes_nothing(kit: Kit) -> None:
    await kit.put("a", "first", expected=0)
    for expected in (0, 2):
        with pytest.raises(Conflict) as caught:
            await kit.put("a", "lost", expected=expected)
        assert caught.value.details == {"currentVersion": 1}
        assert "lost" not in str(caught.value)
    with pytest.raises(Conflict):
        await kit.put("b", "lost", expected=1)
    assert await kit.put("a", "second", expected=1) == 2
    assert await kit.value("a") == "second"


async def test_of_many_who_write_at_once_on_the_same_version_one_wins(kit: Kit) -> None:
    await kit.put("a", "first")
    outcomes: list[str] = []

    async def write(name: str) -> None:
        try:
            await kit.put("a", name, expected=1)
            outcomes.append(name)
        except Conflict:
            outcomes.append("lost")

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(write, f"writer {number}")
    assert outcomes.count("lost") == 7
    (winner,) = [name for name in outcomes if name != "lost"]
    assert await kit.value("a") == winner
    assert [each.number for each in await kit.backend.versions("a")] == [2, 1]


async def test_a_deleted_secret_is_gone_and_its_numbers_never_come_back(kit: Kit) -> None:
    await kit.put("a", "first")
    await kit.put("a", "second")
    await kit.delete("a")
    await kit.delete("a")
    await kit.delete("never")
    assert await kit.value("a") is None
    assert await kit.value("a", 1) is None
    assert await kit.backend.metadata("a") is None
    assert await kit.backend.list("", "", 10) == []
    assert await kit.put("a", "third", expected=0) == 3
    assert await kit.value("a", 2) is None


async def test_lists_page_in_byte_order_below_a_prefix(kit: Kit) -> None:
    paths = ["Z", "a", "a-b", "a.b", "a/b", "a/c/d", "a0", "aa", "b_", "ba"]
    for path in reversed(paths):
        await kit.put(path, "x")
    found = [kept.path for kept in await kit.backend.list("", "", 100)]
    assert found == sorted(paths)
    assert [kept.path for kept in await kit.backend.list("a/", "", 100)] == ["a/b", "a/c/d"]
    assert [kept.path for kept in await kit.backend.list("b_", "", 100)] == ["b_"]
    assert [kept.path for kept in await kit.backend.list("", "a/b", 2)] == found[5:7]


async def test_what_was_not_committed_was_not_put(kit: Kit) -> None:
    with pytest.raises(RuntimeError):
        async with kit.database.write() as transaction:
            await kit.backend.put("a", "x", expected=None, transaction=transaction)
            raise RuntimeError("something after it failed")
    if not kit.is_in_it:
        # Another system has it for good when the write returns, whatever becomes of ours.
        assert await kit.value("a") == "x"
        return
    assert await kit.value("a") is None
    assert await kit.put("a", "y") == 1
