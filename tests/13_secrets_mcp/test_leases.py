"""Handles: what they are bound to, and every way to get at a value that must fail."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from flotilla import FlotillaError

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Store

pytestmark = pytest.mark.anyio

CANARY = "canary-7f3e9a51c2-value"
USER = "os.linux.runCommand"


async def test_a_handle_stands_for_the_value_for_its_principal_and_tool(store: Store) -> None:
    await store.write()
    leased = await store.lease()
    assert leased["handle"].startswith("secret://")
    assert len(leased["handle"]) == len("secret://") + 32
    assert CANARY not in str(leased)
    told = await store.resolve(leased["handle"])
    assert told == {"value": CANARY, "path": "db/password", "version": 1}


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("handle_of_another_principal", {"principal": "mallory"}),
        ("handle_of_another_principal", {"principal": "ann "}),
        ("handle_of_another_tool", {"tool": "os.linux.readFile"}),
        ("handle_of_another_tool", {"tool": "os.linux.runCommand.more"}),
        ("handle_unknown", {"handle": "secret://" + "0" * 32}),
        ("handle_unknown", {"handle": "secret://"}),
        ("handle_unknown", {"handle": "secret://../../etc/passwd"}),
        ("handle_unknown", {"handle": ""}),
        ("handle_unknown", {"handle": "' OR 1=1 --"}),
    ],
)
async def test_a_handle_of_anybody_else_is_refused_with_its_reason(
    small: Store, reason: str, change: dict[str, str]
) -> None:
    await small.write()
    asked = {"handle": (await small.lease())["handle"], "tool": USER, "principal": "ann", **change}
    error = await small.no("resolve", **asked)
    assert (error.code, error.details) == ("not_allowed", {"reason": reason})
    assert CANARY not in f"{error} {error.hint} {error.details}"
    newest = (await small.trail(act="resolved"))[0]
    assert (newest["outcome"], newest["reason"]) == ("refused", reason)


async def test_a_handle_in_capitals_or_with_more_around_it_is_another(small: Store) -> None:
    await small.write()
    handle = (await small.lease())["handle"]
    for other in (handle.upper(), f"{handle} ", f"{handle}\n", f" {handle}", handle[:-1]):
        error = await small.no("resolve", handle=other, tool=USER, principal="ann")
        assert error.details == {"reason": "handle_unknown"}
    assert (await small.resolve(handle))["value"] == CANARY


async def test_a_handle_ends_with_its_time(store: Store) -> None:
    await store.write()
    handle = (await store.lease(ttlS=60, uses=5))["handle"]
    store.watch.pass_s(59)
    await store.resolve(handle)
    store.watch.pass_s(1)
    error = await store.no("resolve", handle=handle, tool=USER, principal="ann")
    assert error.details == {"reason": "handle_expired"}


async def test_a_handle_ends_with_its_uses_also_for_many_at_once(store: Store) -> None:
    await store.write()
    handle = (await store.lease(uses=3))["handle"]
    told: list[str] = []

    async def resolve() -> None:
        try:
            told.append((await store.resolve(handle))["value"])
        except FlotillaError as error:
            told.append(error.details["reason"])

    async with anyio.create_task_group() as tasks:
        for _ in range(12):
            tasks.start_soon(resolve)
    assert sorted(told) == [CANARY] * 3 + ["handle_used_up"] * 9


async def test_a_refused_guess_costs_the_owner_of_the_handle_no_use(small: Store) -> None:
    await small.write()
    handle = (await small.lease())["handle"]
    for change in ({"principal": "mallory"}, {"tool": "os.linux.writeFile"}):
        await small.no("resolve", **{"handle": handle, "tool": USER, "principal": "ann", **change})
    assert (await small.resolve(handle))["value"] == CANARY


async def test_nobody_may_lease_what_no_person_has_allowed(store: Store) -> None:
    await store.ask("write", path="db/password", value=CANARY)
    error = await store.refused("not_allowed", "leaseSecret", path="db/password", tool=USER)
    assert error["reason"] == "tool_not_allowed"
    assert "flotilla secrets allow db/password" in error["hint"]
    assert (await store.trail(act="leased"))[0]["reason"] == "tool_not_allowed"


@pytest.mark.parametrize(
    ("rules", "who", "tool", "reason"),
    [
        ({"tools": [USER]}, ("ann",), USER, None),
        ({"tools": ["os.linux.*"]}, ("ann",), USER, None),
        ({"tools": ["os.linux.*"]}, ("ann",), "os.linuxother.run", "tool_not_allowed"),
        ({"tools": ["os.linux.*"]}, ("ann",), "os.linux", "tool_not_allowed"),
        ({"tools": [USER]}, ("ann",), f"{USER}x", "tool_not_allowed"),
        ({"services": ["linux_cli"]}, ("ann",), USER, "tool_not_allowed"),
        ({"tools": [USER], "principals": ["ann"]}, ("ann",), USER, None),
        ({"tools": [USER], "principals": ["ann"]}, ("bob",), USER, "principal_not_allowed"),
        ({"tools": [USER], "roles": ["admin"]}, ("bob", "admin"), USER, None),
        ({"tools": [USER], "roles": ["admin"]}, ("admin", "viewer"), USER, "principal_not_allowed"),
    ],
)
async def test_rules_name_tools_principals_and_roles(
    small: Store, rules: dict[str, Any], who: tuple[str, ...], tool: str, reason: str | None
) -> None:
    await small.write(**rules)
    caller = small.as_principal(*who)
    if reason is None:
        handle = (await caller.lease(tool=tool))["handle"]
        assert (await caller.resolve(handle, tool))["value"] == CANARY
    else:
        error = await caller.refused("not_allowed", "leaseSecret", path="db/password", tool=tool)
        assert error["reason"] == reason


async def test_a_person_who_takes_the_permission_back_ends_leases_that_were_given(
    small: Store,
) -> None:
    await small.write()
    handle = (await small.lease())["handle"]
    await small.ask("allow", path="db/password", revoke={"tools": [USER]})
    error = await small.no("resolve", handle=handle, tool=USER, principal="ann")
    assert error.details == {"reason": "tool_not_allowed"}


async def test_a_lease_is_revoked_by_its_id_or_its_handle(store: Store) -> None:
    await store.write()
    for name in ("leaseId", "handle"):
        leased = await store.lease()
        ended = await store("revokeLease", lease=leased[name])
        assert ended["live"] is False
        assert leased["handle"] not in str(ended)
        error = await store.no("resolve", handle=leased["handle"], tool=USER, principal="ann")
        assert error.details == {"reason": "handle_revoked"}
        assert (await store("revokeLease", lease=leased[name]))["revokedAt"] == ended["revokedAt"]
    await store.refused("not_found", "revokeLease", lease="lease_nothing")


async def test_deleting_a_secret_ends_its_leases_and_a_new_one_does_not_revive_them(
    store: Store,
) -> None:
    await store.write()
    handle = (await store.lease())["handle"]
    await store("deleteSecret", path="db/password")
    error = await store.no("resolve", handle=handle, tool=USER, principal="ann")
    assert error.code == "not_allowed"
    await store.write(value="another-value-of-it")
    error = await store.no("resolve", handle=handle, tool=USER, principal="ann")
    assert error.details == {"reason": "handle_revoked"}


async def test_a_lease_follows_a_rotation_unless_it_names_a_version(store: Store) -> None:
    await store.write(value="first-value-of-it")
    newest, first = await store.lease(), await store.lease(version=1)
    await store.write(value="second-value-of-it")
    assert (await store.resolve(newest["handle"]))["value"] == "second-value-of-it"
    assert (await store.resolve(first["handle"]))["value"] == "first-value-of-it"
    await store.refused("not_found", "leaseSecret", path="db/password", tool=USER, version=7)


async def test_an_expired_secret_is_neither_leased_nor_resolved(small: Store) -> None:
    until = (small.watch.at + timedelta(days=365)).isoformat()
    await small.write()
    await small.ask("allow", path="db/password", expiresAt=until)
    handle = (await small.lease(ttlS=3600))["handle"]
    small.watch.pass_s(366 * 24 * 3600)
    error = await small.refused("not_allowed", "leaseSecret", path="db/password", tool=USER)
    assert error["reason"] == "secret_expired"
    error = await small.no("resolve", handle=handle, tool=USER, principal="ann")
    assert error.code == "not_allowed"


async def test_one_principal_cannot_fill_the_store_with_leases(
    small: Store, tmp_path: Path
) -> None:
    await small.write()
    await small.lease()
    with closing(sqlite3.connect(tmp_path / "secrets.sqlite3")) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(lease)")][2:]
        for number in range(99):
            connection.execute(
                f"INSERT INTO lease SELECT ?, ?, {', '.join(names)} FROM lease LIMIT 1",
                (f"lease_{number}", f"{number:064}"),
            )
        connection.commit()
    await small.refused("conflict", "leaseSecret", path="db/password", tool=USER)
    assert (await small.as_principal("bob").lease())["uses"] == 1
    small.watch.pass_s(301)
    await small.lease()


async def test_leases_are_shown_without_their_handles(store: Store) -> None:
    await store.write()
    handles = [(await store.lease())["handle"] for _ in range(3)]
    await store.resolve(handles[0])
    shown = await store.ask("leases", liveOnly=False, limit=2)
    rest = await store.ask("leases", liveOnly=False, limit=2, cursor=shown["nextCursor"])
    assert shown["truncated"] and not rest["truncated"]
    assert sorted(each["usesLeft"] for each in (*shown["items"], *rest["items"])) == [0, 1, 1]
    assert len((await store.ask("leases"))["items"]) == 2
    for handle in handles:
        assert handle.removeprefix("secret://") not in f"{shown} {rest}"
