"""Lists of what is in a Vault, where folders are listed one by one and others write too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from secret_store.vault.walk import walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conftest import Ours, Speaking

    from tests.backends.vault_server import VaultServer

pytestmark = pytest.mark.anyio

PATHS = ["a", "a-b", "a.b", "a/b", "a/b/c", "a/b-c", "a/b.c/d", "a/c", "a0", "aa/a", "b_", "z/z/z"]


class Tree:
    """Folders as Vault lists them, and which of them were."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self.listed: list[str] = []

    async def keys(self, folder: str) -> list[str]:
        self.listed.append(folder)
        below = {path.removeprefix(folder) for path in self.paths if path.startswith(folder)}
        return [f"{first}{slash}" for first, slash, _ in (each.partition("/") for each in below)]

    async def walked(self, prefix: str, after: str) -> list[str]:
        return [path async for path in walk(self.keys, prefix, after)]


async def test_a_walk_finds_in_byte_order_what_sorting_all_would_find() -> None:
    near = [*PATHS, "", "a/", "a/b/", "b", "zz", "~"]
    for prefix in near:
        for after in near:
            expected = sorted(path for path in PATHS if path.startswith(prefix) and path > after)
            assert await Tree(PATHS).walked(prefix, after) == expected, (prefix, after)


async def test_a_walk_lists_no_folder_that_can_hold_nothing_wanted() -> None:
    tree = Tree(PATHS)
    assert await tree.walked("a/b", "a/b.c") == ["a/b.c/d", "a/b/c"]
    assert tree.listed == ["a/", "a/b.c/", "a/b/"]


async def test_names_that_would_lead_a_walk_astray_are_left_out() -> None:
    async def keys(folder: str) -> list[str]:
        return ["/", "", "a", "b//", "/c", "x/y"] if folder == "" else ["never"]

    assert [path async for path in walk(keys, "", "")] == ["a"]


async def test_a_thousand_secrets_are_paged_through_without_one_twice_or_missed(
    vault: VaultServer, ours: Ours
) -> None:
    paths = sorted(f"team{number % 7}/app{number % 31}/s{number:04}" for number in range(1000))
    for path in paths:
        vault.put(f"flotilla/{path}", {"value": f"value of {path}"})
    found: list[str] = []
    while len(page := await ours.backend.list("", found[-1] if found else "", 300)) == 300:
        found.extend(kept.path for kept in page)
    found.extend(kept.path for kept in page)
    assert found == paths
    assert len(await ours.backend.list("team3/app1", "", 1000)) == sum(
        path.startswith("team3/app1") for path in paths
    )


async def test_only_secrets_that_are_there_and_can_be_named_are_listed(
    vault: VaultServer, ours: Ours
) -> None:
    for path in ("here", "deleted", "gone", "with space", ".hidden", "down/-x", "down/ok"):
        vault.put(f"flotilla/{path}", {"value": "x" * 9})
    vault.put("elsewhere/other", {"value": "x" * 9})
    vault.keys["flotilla/deleted"].versions[1].deleted = "2020-01-01T00:00:00.5Z"
    await ours.delete("gone")
    assert [kept.path for kept in await ours.backend.list("", "", 10)] == ["down/ok", "here"]


async def test_what_others_deleted_in_vault_is_not_there_also_its_older_versions(
    vault: VaultServer, ours: Ours
) -> None:
    await ours.put("a", "first")
    await ours.put("a", "second")
    vault.keys["flotilla/a"].versions[2].deleted = vault.stamp()
    assert await ours.value("a") is None
    assert await ours.backend.metadata("a") is None
    assert await ours.backend.versions("a") == []
    assert (await ours.put("a", "third", expected=0)).version == 3
    assert [each.number for each in await ours.backend.versions("a")] == [3, 1]


async def test_a_deletion_destroys_also_what_could_be_brought_back_in_vault(
    vault: VaultServer, ours: Ours
) -> None:
    await ours.put("a", "first")
    await ours.put("a", "second")
    vault.keys["flotilla/a"].versions[1].deleted = "2020-01-01T00:00:00Z"
    await ours.delete("a")
    versions = vault.keys["flotilla/a"].versions.values()
    assert all(each.destroyed and each.data is None for each in versions)


async def test_a_version_that_vault_will_delete_later_is_there_until_then(
    vault: VaultServer, ours: Ours
) -> None:
    await ours.put("a", "first")
    vault.keys["flotilla/a"].versions[1].deleted = "2099-01-01T00:00:00Z"
    assert (await ours.backend.metadata("a")) is not None
    assert await ours.value("a") == "first"


async def test_secrets_that_others_wrote_are_read_where_it_is_clear_which_value_is_meant(
    vault: VaultServer, ours: Ours
) -> None:
    vault.put("flotilla/one", {"password": "the only one"})
    vault.put("flotilla/named", {"value": "this one", "user": "ann"})
    vault.put("flotilla/several", {"password": "p4ssw0rd-it-is", "user": "ann"})
    vault.put("flotilla/number", {"value": 17})
    assert await ours.value("one") == "the only one"
    assert await ours.value("named") == "this one"
    for path in ("several", "number"):
        error = await ours.no_value(path)
        assert error.details == {"reason": "not_one_value"}
        assert "p4ssw0rd" not in f"{error} {error.hint}"


@pytest.mark.parametrize(("of_key", "left"), [(2, [6, 5]), (0, [6, 5, 4, 3]), (9, [6, 5, 4, 3])])
async def test_fewer_versions_than_ours_may_be_set_in_vault_and_not_more(
    vault: VaultServer, ours: Ours, of_key: int, left: list[int]
) -> None:
    vault.put("flotilla/a", {"value": "1"})
    vault.keys["flotilla/a"].max_versions = of_key
    for number in range(2, 7):
        kept = await ours.put("a", f"{number}")
        versions = await ours.backend.versions("a")
        assert kept.versions == len(versions)
    assert [each.number for each in versions] == left


async def test_the_whole_mount_and_a_namespace_can_be_meant(
    vault: VaultServer, speaking: Speaking
) -> None:
    vault.namespace = "team/a"
    async with speaking(folder="/", namespace="team/a") as ours:
        assert await ours.backend.ready() is None
        await ours.put("a/b", "x")
        assert [kept.path for kept in await ours.backend.list("", "", 10)] == ["a/b"]
    assert list(vault.keys) == ["a/b"]
    async with speaking() as ours:
        # Another namespace knows neither the token nor the engine.
        assert (await ours.no_value("a/b")).details == {"reason": "vault_login_refused"}
