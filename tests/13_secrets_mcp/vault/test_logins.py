"""How the spoke gets a token of Vault, keeps it good, and gives it back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.conftest import until

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Speaking

    from tests.backends.vault_server import VaultServer

pytestmark = pytest.mark.anyio

LOGIN = "auth/approle/login"


@pytest.fixture
def secret_id(tmp_path: Path, vault: VaultServer) -> Path:
    """The file with the secret ID of the role `fleet`."""
    file = tmp_path / "secret_id"
    file.write_text(vault.make_role("fleet") + "\n")
    return file


async def test_an_approle_logs_in_once_and_its_token_is_revoked_when_the_spoke_stops(
    vault: VaultServer, speaking: Speaking, secret_id: Path
) -> None:
    async with speaking(role_id="fleet", secret_id_file=secret_id) as ours:
        await asyncio.gather(*(ours.put(f"p{number}", "x") for number in range(8)))
        assert vault.requests(LOGIN) == 1
        (token,) = vault.tokens.keys() - {vault.root}
        assert {token, secret_id.read_text().strip()} <= set(ours.learnt)
    assert vault.tokens.keys() == {vault.root}
    assert token not in repr(ours.backend.__dict__)


async def test_a_token_of_the_operators_is_not_revoked(
    vault: VaultServer, speaking: Speaking
) -> None:
    async with speaking() as ours:
        await ours.put("a", "x")
    assert vault.root in vault.tokens
    assert vault.requests("revoke") == 0


async def test_a_wrapped_secret_id_opens_once_and_serves_every_later_login(
    vault: VaultServer, speaking: Speaking, secret_id: Path
) -> None:
    secret_id.write_text(vault.wrapped(secret_id.read_text().strip()))
    async with speaking(role_id="fleet", secret_id_file=secret_id, wrapped="on") as ours:
        await ours.put("a", "x")
        vault.tokens = {vault.root: vault.tokens[vault.root]}
        assert await ours.value("a") == "x"
        assert (vault.requests("unwrap"), vault.requests(LOGIN)) == (1, 2)
    async with speaking(role_id="fleet", secret_id_file=secret_id, wrapped="on") as ours:
        error = await ours.no_value()
        assert error.details == {"reason": "vault_login_refused"}
        assert "opened it before" in error.message


async def test_what_was_wrapped_by_somebody_else_is_not_opened(
    vault: VaultServer, speaking: Speaking, secret_id: Path
) -> None:
    foreign = vault.wrapped(secret_id.read_text().strip(), made_at="sys/wrapping/wrap")
    secret_id.write_text(foreign)
    async with speaking(role_id="fleet", secret_id_file=secret_id, wrapped="on") as ours:
        error = await ours.no_value()
    assert "no secret ID" in error.message
    assert foreign in vault.wrappings
    assert vault.requests(LOGIN) == 0


async def test_a_service_account_logs_in_with_the_token_that_is_there_at_that_time(
    vault: VaultServer, speaking: Speaking, tmp_path: Path
) -> None:
    jwt = tmp_path / "jwt"
    jwt.write_text("first.jwt")
    vault.service_accounts = {"first.jwt": "fleet"}
    async with speaking(kubernetes_role="fleet", kubernetes_token_file=jwt) as ours:
        await ours.put("a", "x")
        vault.service_accounts = {"second.jwt": "fleet"}
        jwt.write_text("second.jwt")
        vault.tokens = {vault.root: vault.tokens[vault.root]}
        assert await ours.value("a") == "x"


async def test_a_token_is_renewed_before_it_ends(
    vault: VaultServer, speaking: Speaking, secret_id: Path
) -> None:
    vault.lease_s = 2.0
    async with speaking(role_id="fleet", secret_id_file=secret_id) as ours:
        await ours.put("a", "x")
        await until(lambda: vault.requests("renew-self") >= 3)
        assert await ours.value("a") == "x"
        assert vault.requests(LOGIN) == 1


@pytest.mark.parametrize("how", ["not renewable", "at its utmost end"])
async def test_a_token_that_cannot_be_renewed_is_followed_by_another(
    vault: VaultServer, speaking: Speaking, secret_id: Path, how: str
) -> None:
    vault.lease_s, vault.renewable = 0.2, how != "not renewable"
    vault.most_s = 0.3 if vault.renewable else None
    async with speaking(role_id="fleet", secret_id_file=secret_id) as ours:
        await ours.put("a", "x")
        await until(lambda: vault.requests(LOGIN) >= 3)
        assert await ours.value("a") == "x"


async def test_a_renewal_that_fails_is_tried_again_while_the_token_is_good(
    vault: VaultServer, speaking: Speaking, secret_id: Path
) -> None:
    vault.lease_s = 0.5
    async with speaking(role_id="fleet", secret_id_file=secret_id) as ours:
        await ours.put("a", "x")
        vault.lose_answers_to = "renew-self"
        await until(lambda: vault.requests("renew-self") >= 1)
        vault.lose_answers_to = None
        await until(lambda: vault.requests("renew-self") >= 2)
        assert await ours.value("a") == "x"


async def test_a_token_that_was_revoked_or_expired_is_got_anew_once_for_all_who_meet_it(
    vault: VaultServer, speaking: Speaking, secret_id: Path
) -> None:
    async with speaking(role_id="fleet", secret_id_file=secret_id) as ours:
        await ours.put("a", "x")
        vault.pass_s(7200)
        found = await asyncio.gather(*(ours.value("a") for _ in range(8)))
        assert found == ["x"] * 8
        assert vault.requests(LOGIN) == 2
        vault.tokens = {vault.root: vault.tokens[vault.root]}
        await ours.put("a", "y")
        assert vault.requests(LOGIN) == 3


async def test_what_the_policy_forbids_costs_no_login(
    vault: VaultServer, speaking: Speaking, secret_id: Path
) -> None:
    vault.forbidden = {"secret/data/flotilla/theirs"}
    async with speaking(role_id="fleet", secret_id_file=secret_id) as ours:
        for _ in range(3):
            error = await ours.no_value("theirs")
            assert error.details == {"reason": "vault_denied"}
        assert vault.requests(LOGIN) == 1


async def test_a_refused_login_is_not_tried_again_at_once_unless_the_file_changed(
    vault: VaultServer, speaking: Speaking, secret_id: Path
) -> None:
    good = secret_id.read_text()
    secret_id.write_text("a-wrong-one")
    async with speaking(role_id="fleet", secret_id_file=secret_id) as ours:
        for _ in range(5):
            error = await ours.no_value()
            assert error.details == {"reason": "vault_login_refused"}
            assert "a-wrong-one" not in f"{error} {error.hint}"
        assert vault.requests(LOGIN) == 1
        assert "refuses the AppRole" in (await ours.backend.ready() or "")
        secret_id.write_text(good)
        assert await ours.value("a") is None
        assert await ours.backend.ready() is None


async def test_a_token_file_that_changes_is_read_again(
    vault: VaultServer, speaking: Speaking, tmp_path: Path
) -> None:
    file = tmp_path / "own"
    first = vault.make_token().id
    file.write_text(first)
    async with speaking(token_file=file) as ours:
        await ours.put("a", "x")
        second = vault.make_token(renewable=False).id
        del vault.tokens[first]
        later = tmp_path / "later"
        later.write_text(second)
        later.rename(file)
        assert await ours.value("a") == "x"
        assert vault.asked[-1][2]["x-vault-token"] == second
        del vault.tokens[second]
        assert (await ours.no_value()).details == {"reason": "vault_login_refused"}


async def test_a_token_file_that_is_half_written_or_wrong_does_not_end_a_good_token(
    vault: VaultServer, speaking: Speaking, tmp_path: Path
) -> None:
    file = tmp_path / "own"
    file.write_text(vault.make_token().id)
    async with speaking(token_file=file) as ours:
        await ours.put("a", "x")
        for text in ("", "hvs.not-one"):
            file.write_text(text)
            assert await ours.value("a") == "x"
        file.write_text(vault.root)
        assert await ours.value("a") == "x"
        assert vault.asked[-1][2]["x-vault-token"] == vault.root


async def test_a_credential_that_is_not_there_is_told_by_its_key(
    speaking: Speaking, tmp_path: Path
) -> None:
    async with speaking(token_file=tmp_path / "none") as ours:
        error = await ours.no_value()
        assert error.code == "not_configured"
        assert "SECRETS_VAULT_TOKEN_FILE" in error.message
        (tmp_path / "none").write_text("s.token\nX-Evil: 1")
        assert "more than a token" in (await ours.no_value()).message
