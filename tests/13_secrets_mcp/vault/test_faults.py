"""A Vault that is sealed, away, hanging, lying, or written by others meanwhile."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, cast

import pytest
from aiohttp import web

from flotilla import Conflict, FlotillaError
from secret_store.stamps import Clock
from secret_store.vault.kv import Kv
from secret_store.vault.logins import login_of
from secret_store.vault.settings import VaultSettings
from secret_store.vault.speaking import Speaker
from secret_store.vault.store import Vault
from secret_store.vault.tickets import Tickets
from tests.conftest import find_free_port, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Ours, Speaking
    from sqlalchemy.ext.asyncio import AsyncConnection

    from tests.backends.vault_server import VaultServer

pytestmark = pytest.mark.anyio

VALUE = "canary-9b1f-value"


async def is_ready(ours: Ours) -> bool:
    """Logged in, and the mount looked at: a short time limit that was missed is no matter."""
    return await ours.backend.ready() is None


async def test_a_vault_that_is_sealed_midway_is_told_and_comes_back(
    vault: VaultServer, ours: Ours
) -> None:
    await ours.put("a", VALUE)
    vault.sealed = True
    for error in (await ours.no_value(), await ours.no_put()):
        assert (error.code, error.details) == ("unavailable", {"reason": "vault_sealed"})
    assert await ours.backend.ready() == "Vault is sealed"
    vault.sealed = False
    assert await ours.value("a") == VALUE
    assert await ours.backend.ready() is None


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (429, "standby"),
        (472, "disaster recovery"),
        (473, "standby"),
        (501, "not initialized"),
        (503, "sealed"),
        (299, "299"),
    ],
)
async def test_readiness_says_what_the_node_is(
    vault: VaultServer, ours: Ours, status: int, told: str
) -> None:
    vault.health_status = status
    assert told in (await ours.backend.ready() or "")
    (method, _, headers) = vault.asked[-1]
    assert method == "GET"
    assert "x-vault-token" not in headers


async def test_a_vault_that_hangs_holds_nobody_longer_than_the_time_limit(
    vault: VaultServer, speaking: Speaking
) -> None:
    vault.put("flotilla/a", {"value": VALUE})
    async with speaking(timeout_s=0.1) as ours:
        await until(lambda: is_ready(ours))
        vault.hang_on = "/"
        started = monotonic()
        for error in (await ours.no_value(), await ours.no_put()):
            assert (error.code, error.details) == ("unavailable", {"reason": "vault_hangs"})
        assert "does not answer in time" in (await ours.backend.ready() or "")
        assert monotonic() - started < 2
        vault.hang_on = None
        await until(lambda: is_ready(ours))
    async with speaking() as patient:
        assert await patient.value("a") == VALUE


async def test_a_write_that_hangs_is_bounded_as_a_whole(
    vault: VaultServer, speaking: Speaking
) -> None:
    vault.put("flotilla/a", {"value": VALUE})
    async with speaking(timeout_s=0.25) as ours:
        await until(lambda: is_ready(ours))
        vault.hang_on = "/data/"
        started = monotonic()
        with pytest.raises(FlotillaError) as caught:
            await ours.put("a", "second")
        assert monotonic() - started < 1
        assert VALUE not in str(caught.value)
        assert caught.value.details == {"reason": "outcome_unknown"}
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("act", "hangs", "reason", "write_s"),
    [
        ("put", "/metadata/", "vault_hangs", 0.1),
        ("put", "/data/", "outcome_unknown", 1.0),
        ("delete", "/metadata/", "vault_hangs", 0.1),
        ("delete", "/destroy/", "outcome_unknown", 1.0),
    ],
)
async def test_only_a_write_that_vault_was_asked_for_may_have_been_done(
    vault: VaultServer, tmp_path: Path, act: str, hangs: str, reason: str, write_s: float
) -> None:
    vault.put("flotilla/a", {"value": "first"})
    vault.hang_on = hangs
    token = tmp_path / "token"
    token.write_text(vault.root)
    settings = VaultSettings(url=vault.url, token_file=token)
    speaker, learn = Speaker(settings), list[str]().extend
    tickets = Tickets(speaker, login_of(settings, learn), learn=learn)
    kv = Kv(speaker, tickets, mount=settings.mount, folder=settings.folder, clock=Clock())
    backend = Vault(speaker, tickets, kv, versions_kept=4, write_s=write_s)
    transaction = cast("AsyncConnection", None)
    async with backend.opened():
        with pytest.raises(FlotillaError) as caught:
            if act == "put":
                await backend.put("a", VALUE, expected=None, transaction=transaction)
            else:
                await backend.delete("a", transaction=transaction)
    assert caught.value.details == {"reason": reason}
    assert caught.value.retryable == (reason == "vault_hangs")


async def test_a_write_whose_answer_is_lost_counts_when_it_is_there(
    vault: VaultServer, ours: Ours
) -> None:
    await ours.put("a", "first")

    def only_writes(request: web.Request) -> None:
        vault.lose_answers_to = "/data/" if request.method == "POST" else None

    vault.before = only_writes
    kept = await ours.put("a", VALUE, expected=1)
    assert (kept.version, kept.versions) == (2, 2)
    assert vault.requests("secret/data/flotilla/a") == 3
    assert await ours.value("a") == VALUE


async def test_a_write_of_which_nobody_knows_is_told_as_such_and_not_done_again(
    vault: VaultServer, ours: Ours
) -> None:
    await ours.put("a", "first")

    def broken(request: web.Request) -> web.Response | None:
        return web.Response(status=502) if request.method == "POST" else None

    vault.instead = broken
    error = await ours.no_put("a", VALUE)
    assert (error.code, error.details) == ("upstream_error", {"reason": "outcome_unknown"})
    assert VALUE not in f"{error} {error.hint}"
    vault.instead = None
    assert await ours.value("a") == "first"


async def test_a_read_outlasts_a_short_failure(vault: VaultServer, ours: Ours) -> None:
    await ours.put("a", VALUE)
    left = [502, 429]

    def failing(_: web.Request) -> web.Response | None:
        return web.json_response({"errors": []}, status=left.pop()) if left else None

    vault.instead = failing
    assert await ours.value("a") == VALUE


ANSWERS: dict[str, Callable[[], web.Response]] = {
    "a page": lambda: web.Response(text="<html>hello</html>", content_type="text/html"),
    "nothing": lambda: web.Response(),
    "another shape": lambda: web.json_response({"data": {"data": ["x"], "metadata": 3}}),
    "no object": lambda: web.json_response([1]),
    "a proxy's 404": lambda: web.Response(status=404, text="not found"),
    "a teapot": lambda: web.Response(status=418),
    "deep": lambda: web.Response(text="[" * 100_000),
    "much": lambda: web.Response(body=b" " * (9 * 1024 * 1024)),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_garbage_is_told_and_never_taken_for_a_secret_or_for_none(
    vault: VaultServer, ours: Ours, answer: Callable[[], web.Response]
) -> None:
    await ours.put("a", VALUE)
    vault.instead = lambda _: answer()
    for error in (await ours.no_value(), await ours.no_put()):
        assert (error.code, error.details) == ("upstream_error", {"reason": "vault_garbage"})
        assert "hello" not in str(error)
    assert vault.keys["flotilla/a"].current == 1


async def test_a_redirect_carries_the_token_nowhere(vault: VaultServer, ours: Ours) -> None:
    await ours.put("a", VALUE)
    elsewhere: list[str] = []

    def away(request: web.Request) -> web.Response:
        elsewhere.append(request.path)
        return web.Response(status=307, headers={"location": f"{vault.url}/v1/elsewhere"})

    vault.instead = away
    for error in (await ours.no_value(), await ours.no_put()):
        assert (error.code, error.details) == ("unavailable", {"reason": "vault_standby"})
    assert "/v1/elsewhere" not in elsewhere


async def test_a_vault_that_is_away_at_the_start_is_tried_later(speaking: Speaking) -> None:
    async with speaking(url=f"http://127.0.0.1:{find_free_port()}") as ours:
        error = await ours.no_value()
        assert (error.code, error.details) == ("unavailable", {"reason": "vault_unreachable"})
        assert "cannot be reached" in (await ours.backend.ready() or "")


async def test_of_two_spokes_that_write_on_the_same_version_one_wins(
    vault: VaultServer, speaking: Speaking
) -> None:
    async with speaking() as one, speaking() as other:
        await one.put("a", "first")
        done = await asyncio.gather(
            *(who.put("a", f"{number}", 1) for number, who in enumerate([one, other] * 4)),
            return_exceptions=True,
        )
        lost = [each for each in done if isinstance(each, BaseException)]
        assert len(lost) == 7
        assert all(isinstance(each, Conflict) for each in lost)
        assert vault.keys["flotilla/a"].current == 2


async def test_a_write_that_says_no_version_goes_after_the_others(
    vault: VaultServer, ours: Ours
) -> None:
    await ours.put("a", "first")

    def race(request: web.Request) -> None:
        if request.method == "POST" and vault.keys["flotilla/a"].current < 3:
            vault.put("flotilla/a", {"value": "theirs"})

    vault.before = race
    kept = await ours.put("a", VALUE)
    assert kept.version == 4
    assert [await ours.value("a", number) for number in (3, 4)] == ["theirs", VALUE]

    vault.before = lambda request: (
        vault.put("flotilla/a", {"value": "theirs"}) and None if request.method == "POST" else None
    )
    with pytest.raises(Conflict):
        await ours.put("a", VALUE)


async def test_a_mount_that_is_no_engine_of_version_2_is_never_written(
    vault: VaultServer, speaking: Speaking
) -> None:
    vault.version = "1"
    async with speaking() as ours:
        error = await ours.no_put("a", VALUE)
        assert (error.code, error.details) == ("not_configured", {"reason": "vault_mount"})
        assert "version 2" in (await ours.backend.ready() or "")
    async with speaking(mount="other") as ours:
        assert (await ours.no_value()).details == {"reason": "vault_mount"}
    assert vault.keys == {}


async def test_a_read_that_is_given_up_leaves_the_backend_as_it_was(
    vault: VaultServer, ours: Ours
) -> None:
    vault.hang_on = "lookup-self"
    reading = asyncio.create_task(ours.value("a"))
    while not vault.requests("lookup-self"):
        await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    vault.go_on()
    await ours.put("a", VALUE)
    assert await ours.value("a") == VALUE
