"""The keys: made once, wrong, changed, rotated, killed in the middle; and what tampering gives."""

from __future__ import annotations

import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flotilla import CommonSettings, FlotillaError, Misconfigured, NotConfigured
from secret_store import build
from secret_store.master_key import MasterFile
from secret_store.sealing import (
    Argon2,
    WrongSeal,
    new_key,
    place_of_value,
    read_key,
    seal,
    unseal,
    written_key,
)
from secret_store.settings import Settings

if TYPE_CHECKING:
    from conftest import Opened, Store

pytestmark = pytest.mark.anyio

CANARY = "canary-7f3e9a51c2-value"
USER = "os.linux.runCommand"


def rows(folder: Path, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """What somebody with the file alone can do to it."""
    with closing(sqlite3.connect(folder / "secrets.sqlite3")) as connection:
        found = connection.execute(statement, values).fetchall()
        connection.commit()
    return found


async def value_of(store: Store, path: str = "db/password") -> str:
    handle = (await store.lease(path))["handle"]
    return (await store.resolve(handle))["value"]


async def test_the_master_key_is_made_once_for_its_owner_alone(
    embedded: Settings, opened: Opened, tmp_path: Path
) -> None:
    async with opened(embedded, tmp_path) as store:
        await store.write()
        file = tmp_path / "secrets" / "master_key"
        key = file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    async with opened(embedded, tmp_path) as store:
        assert await value_of(store) == CANARY
    assert file.read_text() == key


async def test_the_database_alone_tells_no_value(
    embedded: Settings, opened: Opened, tmp_path: Path
) -> None:
    async with opened(embedded, tmp_path) as store:
        await store.write()
        await store("generateSecret", path="key", kind="ed25519")
        handle = (await store.lease())["handle"]
        await store.resolve(handle)
    raw = b"".join(file.read_bytes() for file in tmp_path.glob("secrets.sqlite3*"))
    assert CANARY.encode() not in raw
    assert handle.removeprefix("secret://").encode() not in raw
    assert b"OPENSSH PRIVATE KEY" not in raw
    assert read_key((tmp_path / "secrets" / "master_key").read_text()) not in raw


@pytest.mark.parametrize("change", ["another", "gone", "rubbish"])
async def test_with_a_wrong_key_it_says_so_and_gives_nothing(
    embedded: Settings, opened: Opened, tmp_path: Path, change: str
) -> None:
    async with opened(embedded, tmp_path) as store:
        await store.write()
    file = tmp_path / "secrets" / "master_key"
    right = file.read_text()
    wrong = {"another": written_key(new_key()), "gone": "", "rubbish": "not a key"}[change]
    file.write_text(wrong) if wrong else file.unlink()
    async with opened(embedded, tmp_path) as store:
        reason = await store.spoke.ready()
        assert reason is not None
        assert "master key" in reason
        assert right.strip() not in reason and (not wrong or wrong not in reason)
        for tool, arguments in (
            ("leaseSecret", {"path": "db/password", "tool": USER}),
            ("generateSecret", {"path": "new"}),
            ("scanText", {"text": CANARY}),
        ):
            error = await store.refused("not_configured", tool, **arguments)
            assert "master key" in error["message"]
        error = await store.no("credentials", service="linux_cli", names=["db/password"])
        assert isinstance(error, NotConfigured)
        # What is not sealed can still be looked at, so that a person sees what he has.
        assert (await store("listSecrets"))["returned"] == 1
    assert not wrong or file.read_text() == wrong
    file.write_text(right)
    async with opened(embedded, tmp_path) as store:
        assert await value_of(store) == CANARY


async def test_a_key_that_is_not_one_stops_the_start_and_is_not_told(tmp_path: Path) -> None:
    for text in ("short", "x" * 44, "0" * 63):
        with pytest.raises(Misconfigured, match="SECRETS_MASTER_KEY") as caught:
            build(Settings(master_key=text), CommonSettings(data_dir=tmp_path))
        assert text not in str(caught.value)
    with pytest.raises(Misconfigured, match="both set"):
        Settings.from_env({"SECRETS_MASTER_KEY": "a" * 64, "SECRETS_PASSPHRASE": "b" * 20})
    with pytest.raises(Misconfigured, match="SECRETS_PASSPHRASE") as caught:
        Settings.from_env({"SECRETS_PASSPHRASE": "tooshort"})
    assert "tooshort" not in str(caught.value)
    assert "canary" not in repr(Settings(passphrase="canary canary canary"))


@pytest.mark.real
async def test_a_passphrase_opens_the_store_again_and_another_does_not(
    embedded: Settings, opened: Opened, tmp_path: Path
) -> None:
    right = embedded.model_copy(update={"passphrase": "correct horse battery staple"})
    wrong = embedded.model_copy(update={"passphrase": "correct horse battery stable"})
    async with opened(right, tmp_path) as store:
        await store.write()
    (row,) = rows(tmp_path, "SELECT length(salt), iterations, lanes, memory_kib FROM master_key")
    # RFC 9106, section 4: the second recommended choice.
    assert row == (16, 3, 4, 64 * 1024)
    assert not (tmp_path / "secrets" / "master_key").exists()
    async with opened(right, tmp_path) as store:
        assert await value_of(store) == CANARY
    async with opened(wrong, tmp_path) as store:
        assert "another master key" in (await store.spoke.ready() or "")


async def test_stored_parameters_of_a_passphrase_cannot_be_made_dear_or_cheap(
    embedded: Settings, opened: Opened, tmp_path: Path
) -> None:
    settings = embedded.model_copy(update={"passphrase": "correct horse battery staple"})
    async with opened(settings, tmp_path) as store:
        await store.write()
    for memory in (64 * 1024 * 1024, 1):
        rows(tmp_path, "UPDATE master_key SET memory_kib = ?", memory)
        async with opened(settings, tmp_path) as store:
            assert "out of bounds" in (await store.spoke.ready() or "")


async def test_values_that_are_moved_or_changed_in_the_store_do_not_open(
    embedded: Settings, opened: Opened, tmp_path: Path
) -> None:
    attacks = (
        "UPDATE version SET sealed = (SELECT sealed FROM version WHERE path = 'other') "
        "WHERE path = 'db/password' AND number = 2",
        "UPDATE version SET sealed = (SELECT sealed FROM version WHERE path = 'db/password' "
        "AND number = 1) WHERE path = 'db/password' AND number = 2",
        "UPDATE version SET sealed = CAST(substr(sealed, 1, length(sealed) - 1) || "
        "CASE WHEN substr(sealed, -1) = x'00' THEN x'01' ELSE x'00' END AS BLOB) "
        "WHERE path = 'db/password'",
        "UPDATE version SET sealed = x'00' WHERE path = 'db/password'",
        "UPDATE version SET data_key_id = 1 WHERE path = 'db/password'",
    )
    async with opened(embedded, tmp_path) as store:
        await store.write(value="the first value of it")
        await store.write()
        await store.write("other", "a value of another", tools=[USER], services=["cmdb"])
        handle = (await store.lease(uses=1))["handle"]
        rows(tmp_path, "CREATE TABLE untouched AS SELECT * FROM version")
        for attack in attacks:
            rows(tmp_path, attack)
            error = await store.no("resolve", handle=handle, tool=USER, principal="ann")
            assert error.code == "internal"
            assert error.details == {"reason": "seal_broken"}
            assert "value of" not in f"{error} {error.hint}"
            # The others are not kept back by it.
            given = await store.ask("credentials", service="cmdb", names=["db/password", "other"])
            assert given["values"] == {"other": "a value of another"}
            rows(tmp_path, "DELETE FROM version")
            rows(tmp_path, "INSERT INTO version SELECT * FROM untouched")
        # None of it cost the handle its use.
        assert (await store.resolve(handle))["value"] == CANARY


async def test_data_keys_that_are_changed_do_not_open(
    embedded: Settings, opened: Opened, tmp_path: Path
) -> None:
    async with opened(embedded, tmp_path) as store:
        await store.write()
    rows(tmp_path, "UPDATE data_key SET purpose = 'values' WHERE id = 1")
    async with opened(embedded, tmp_path) as store:
        assert "do not open" in (await store.spoke.ready() or "")


async def test_a_new_master_key_changes_no_value_and_the_old_one_opens_nothing(
    settings: Settings, opened: Opened, tmp_path: Path
) -> None:
    async with opened(settings, tmp_path) as store:
        await store.write()
        file = tmp_path / "secrets" / "master_key"
        old = file.read_text()
        before = (await store("getMetadata", path="db/password"))["history"]
        told = await store.ask("rewrap", newMasterKey=True)
        assert file.read_text() != old
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert [each.name for each in file.parent.glob("master_key*")] == ["master_key"]
        assert told["values"] == 0
        assert await value_of(store) == CANARY
        assert (await store("getMetadata", path="db/password"))["history"] == before
        assert (await store.ask("verify"))["intact"] is True
    async with opened(settings, tmp_path) as store:
        assert await value_of(store) == CANARY
    file.write_text(old)
    async with opened(settings, tmp_path) as store:
        assert "another master key" in (await store.spoke.ready() or "")


@pytest.mark.real
async def test_new_data_keys_seal_every_value_anew_and_destroy_the_old_ones(
    settings: Settings, opened: Opened, tmp_path: Path
) -> None:
    async with opened(settings, tmp_path) as store:
        for number in range(5):
            await store.write(f"many/{number}", f"value number {number}")
            await store.write(f"many/{number}", f"newer value number {number}")
        told = await store.ask("rewrap", values=True)
        assert (told["values"], told["dataKeysDestroyed"]) == (10, 1)
        again = await store.ask("rewrap", values=True)
        assert (again["values"], again["dataKeysDestroyed"]) == (10, 1)
        for number in range(5):
            assert await value_of(store, f"many/{number}") == f"newer value number {number}"
        await store.write()
    async with opened(settings, tmp_path) as store:
        assert await value_of(store) == CANARY
        assert await value_of(store, "many/3") == "newer value number 3"


async def test_another_process_of_the_store_finds_the_new_keys(
    settings: Settings, opened: Opened, tmp_path: Path
) -> None:
    async with opened(settings, tmp_path) as one, opened(settings, tmp_path) as two:
        await one.write()
        assert await value_of(two) == CANARY
        await one.ask("rewrap", newMasterKey=True, values=True)
        assert await value_of(two) == CANARY
        await two.write(value="written by the other one")
        assert await value_of(one) == "written by the other one"
        assert (await two.ask("rewrap", values=True))["values"] == 2
        assert await value_of(one) == "written by the other one"
        assert (await one.ask("verify"))["intact"] is True


@pytest.mark.real
async def test_a_key_or_passphrase_of_the_operator_is_changed_by_naming_the_old_one(
    embedded: Settings, opened: Opened, tmp_path: Path
) -> None:
    first, second = written_key(new_key()), new_key().hex()
    steps: list[dict[str, str]] = [
        {"master_key": first},
        {"master_key": second, "previous_master_key": first},
        {"passphrase": "correct horse battery staple", "previous_master_key": second},
        {
            "passphrase": "another horse battery staple",
            "previous_passphrase": "correct horse battery staple",
        },
    ]
    for step in steps:
        settings = embedded.model_copy(update=step)
        async with opened(settings, tmp_path) as store:
            assert await store.spoke.ready() is None
            if step == steps[0]:
                await store.write()
                error = await store.no("rewrap", newMasterKey=True)
                assert error.code == "conflict"
            else:
                await store.ask("rewrap")
            assert await value_of(store) == CANARY
    alone = {key: value for key, value in steps[-1].items() if "previous" not in key}
    async with opened(embedded.model_copy(update=alone), tmp_path) as store:
        assert await value_of(store) == CANARY


async def test_a_rotation_of_the_master_key_that_was_killed_leaves_a_store_that_opens(
    embedded: Settings, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(embedded, tmp_path) as store:
        await store.write()
        old = (tmp_path / "secrets" / "master_key").read_text()
        # Before the database has changed: the next key lies there and is nobody's.
        MasterFile(tmp_path / "secrets").begin_next()
    async with opened(embedded, tmp_path) as store:
        assert await value_of(store) == CANARY
        assert (tmp_path / "secrets" / "master_key").read_text() == old
        # After it has changed and before the file is in its place.
        monkeypatch.setattr(MasterFile, "settle", lambda *_: None)
        await store.ask("rewrap", newMasterKey=True)
        assert (tmp_path / "secrets" / "master_key").read_text() == old
    monkeypatch.undo()
    async with opened(embedded, tmp_path) as store:
        assert await value_of(store) == CANARY
        assert (tmp_path / "secrets" / "master_key").read_text() != old
        assert not (tmp_path / "secrets" / "master_key.next").exists()


def test_what_is_sealed_opens_at_its_place_alone() -> None:
    key = new_key()
    sealed = seal(key, b"plain", place_of_value("a/b", 1, 2))
    assert unseal(key, sealed, place_of_value("a/b", 1, 2)) == b"plain"
    assert seal(key, b"plain", b"") != seal(key, b"plain", b"")
    others = [("a/b", 1, 3), ("a/b", 2, 2), ("a", 1, 2), ("a/b/1", 1, 2)]
    for other in others:
        with pytest.raises(WrongSeal):
            unseal(key, sealed, place_of_value(*other))
    for broken in (
        b"",
        sealed[:11],
        sealed[:-1],
        sealed + b"x",
        bytes([sealed[0] ^ 1]) + sealed[1:],
    ):
        with pytest.raises(WrongSeal):
            unseal(key, broken, place_of_value("a/b", 1, 2))
    with pytest.raises(WrongSeal):
        unseal(new_key(), sealed, place_of_value("a/b", 1, 2))


def test_a_passphrase_is_derived_as_by_everybody_elses_argon2id() -> None:
    # From the tests of the reference implementation (phc-winner-argon2, version 0x13).
    derived = Argon2(b"somesalt", iterations=2, lanes=1, memory_kib=65_536).derive("password")
    assert derived.hex() == "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"


def test_no_error_of_the_tree_is_made_with_a_key_in_it() -> None:
    key = written_key(new_key())
    with pytest.raises(Misconfigured) as caught:
        Settings.from_env({"SECRETS_MASTER_KEY": key, "SECRETS_VERSIONS_KEPT": "none"})
    assert key not in str(caught.value)
    assert key not in json.dumps(FlotillaError("x").as_json("c"))
