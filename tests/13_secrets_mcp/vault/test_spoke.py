"""The spoke with its values in a Vault: what clients and the hub meet, and what stays where."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from secret_store.vault.settings import VaultSettings

if TYPE_CHECKING:
    import io
    from collections.abc import AsyncIterator

    from conftest import Opened, Store

    from secret_store.settings import Settings
    from tests.backends.vault_server import VaultServer

pytestmark = pytest.mark.anyio

README = Path(__file__).resolve().parents[3] / "13_secrets_mcp" / "README.md"
CANARY = "canary-7f3e9a51c2-value"
SECOND = "canary-d0c4b2a8e1-second"


@pytest.fixture
async def in_vault(
    opened: Opened, embedded: Settings, tmp_path: Path, vault: VaultServer, heard: io.StringIO
) -> AsyncIterator[Store]:
    del heard
    file = tmp_path / "secret_id"
    file.write_text(vault.make_role("fleet"))
    settings = VaultSettings(url=vault.url, role_id="fleet", secret_id_file=file, timeout_s=1)
    async with opened(embedded, tmp_path, settings) as ready:
        yield ready


async def test_a_secret_goes_its_whole_way_and_its_value_is_in_vault_alone(
    in_vault: Store, vault: VaultServer, tmp_path: Path, heard: io.StringIO
) -> None:
    store = in_vault
    await store.write(value=CANARY)
    lease = await store.lease()
    assert (await store.resolve(lease["handle"]))["value"] == CANARY
    await store.ask("rotate", path="db/password", kind="hex")
    assert (await store("getMetadata", path="db/password"))["version"] == 2
    assert [each["path"] for each in (await store("listSecrets"))["items"]] == ["db/password"]
    found = await store("scanText", text=f"it is {vault_value(vault)} here")
    assert found["findings"][0]["kind"] == "stored"
    await store("deleteSecret", path="db/password")
    assert not (await store("exists", path="db/password"))["exists"]
    assert vault.keys["flotilla/db/password"].versions[2].data is None

    acts = [each["act"] for each in await store.trail()]
    assert {"written", "leased", "resolved", "rotated", "deleted"} <= set(acts)
    files = b"".join(each.read_bytes() for each in tmp_path.rglob("*") if each.is_file())
    tokens = [each for each in vault.tokens if each != vault.root]
    assert tokens
    for secret in (CANARY, *tokens):
        assert secret.encode() not in files
        assert secret not in heard.getvalue()


async def test_the_policy_in_the_readme_lets_the_spoke_do_all_that_it_does(
    in_vault: Store, vault: VaultServer
) -> None:
    store = in_vault
    allowed = {
        path: set(re.findall(r'"(\w+)"', capabilities))
        for path, capabilities in re.findall(
            r'^path "([^"*]+)\*" +{ capabilities = \[(.+)\] }$', README.read_text(), re.MULTILINE
        )
    }
    for number in range(4):
        await store.write(path="a", value=f"{CANARY}{number}")
    await store("listSecrets")
    await store.resolve((await store.lease("a"))["handle"])
    await store("deleteSecret", path="a")
    await store.write(path="a", value=CANARY)

    used: dict[str, set[str]] = {}
    for method, path, _ in vault.asked:
        if path.startswith("secret/"):
            place = next(each for each in allowed if path.startswith(each))
            reads = "list" if path.endswith("/") else "read"
            used.setdefault(place, set()).add(reads if method == "GET" else "update")
    # To Vault, the first write of a path is one that creates it.
    for place in ("secret/data/flotilla/", "secret/metadata/flotilla/"):
        used[place].add("create")
    assert used == allowed


def vault_value(vault: VaultServer) -> str:
    data = vault.keys["flotilla/db/password"].versions[2].data
    assert data is not None
    return data["value"]


async def test_while_vault_is_sealed_the_spoke_is_not_ready_and_what_fails_leaves_no_trace(
    in_vault: Store, vault: VaultServer
) -> None:
    store = in_vault
    await store.write(value=CANARY)
    assert await store.spoke.ready() is None
    before = await store.trail()
    vault.sealed = True
    assert await store.spoke.ready() == "Vault is sealed"
    error = await store.no("write", path="db/password", value=SECOND)
    assert error.details == {"reason": "vault_sealed"}
    await store.refused("unavailable", "deleteSecret", path="db/password")
    vault.sealed = False
    assert len(await store.trail()) == len(before)
    lease = await store.lease()
    assert (await store.resolve(lease["handle"]))["value"] == CANARY


async def test_values_in_vault_are_not_ours_to_seal_anew(in_vault: Store) -> None:
    assert "not kept here" in (await in_vault.no("rewrap", values=True)).message
