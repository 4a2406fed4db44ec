"""Which settings describe a Vault, and which are refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from flotilla import CommonSettings, Misconfigured
from flotilla.fleet import FleetConfig
from flotilla.launch.checks import Ground, settings_problem
from secret_store.stamps import Clock
from secret_store.vault.making import vault_backend
from secret_store.vault.settings import VaultSettings

ROOT = Path(__file__).resolve().parents[3]
TOKEN = {"SECRETS_VAULT_TOKEN_FILE": "/run/token"}


def read(url: str = "https://vault.example.org:8200", **more: str) -> VaultSettings:
    return VaultSettings.from_env({"SECRETS_VAULT_URL": url, **more})


def test_without_a_url_there_is_no_vault() -> None:
    assert VaultSettings.from_env({}).url is None


@pytest.mark.parametrize(
    "url",
    [
        "http://vault.example.org:8200",
        "http://127.0.0.1.evil.example:8200",
        "http://localhost@evil.example",
        "https://user:word@vault.example.org",
        "https://vault.example.org?x=1",
        "https://vault.example.org#x",
        "https://vault.example.org:port",
        "ftp://vault.example.org",
        "vault.example.org:8200",
        "https://",
        "https://[::1",
    ],
)
def test_a_url_on_whose_way_somebody_may_listen_or_that_holds_more_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="SECRETS_VAULT_URL") as caught:
        read(url, **TOKEN)
    assert "word" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8200", "http://[::1]:8200/", "https://vault/behind/a/proxy/"]
)
def test_tls_or_this_very_machine_will_do(url: str) -> None:
    assert read(url, **TOKEN).base == url.rstrip("/")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "set one"),
        ({**TOKEN, "SECRETS_VAULT_KUBERNETES_ROLE": "r"}, "set one"),
        ({"SECRETS_VAULT_ROLE_ID": "r"}, "SECRETS_VAULT_SECRET_ID_FILE"),
        ({**TOKEN, "SECRETS_VAULT_SECRET_ID_FILE": "/f"}, "SECRETS_VAULT_ROLE_ID"),
        ({**TOKEN, "SECRETS_VAULT_MOUNT": "../sys"}, "SECRETS_VAULT_MOUNT"),
        ({**TOKEN, "SECRETS_VAULT_MOUNT": "a//b"}, "SECRETS_VAULT_MOUNT"),
        ({**TOKEN, "SECRETS_VAULT_FOLDER": "a/../b"}, "SECRETS_VAULT_FOLDER"),
        ({**TOKEN, "SECRETS_VAULT_NAMESPACE": "a\r\nb"}, "SECRETS_VAULT_NAMESPACE"),
        ({**TOKEN, "SECRETS_VAULT_TIMEOUT_S": "60"}, "SECRETS_VAULT_TIMEOUT_S"),
    ],
)
def test_who_we_are_and_where_must_be_clear(given: dict[str, str], told: str) -> None:
    with pytest.raises(Misconfigured, match=told):
        read(**given)


def test_a_start_of_the_fleet_tells_a_wrong_vault_before_it_starts_anything() -> None:
    fleet = FleetConfig.load(ROOT / "config" / "services.yaml", env={})

    def problem(**env: str) -> str | None:
        return settings_problem("secrets", Ground(ROOT, env, CommonSettings(), fleet, ("secrets",)))

    assert problem() is None
    assert problem(SECRETS_VAULT_URL="https://vault", **TOKEN) is None
    assert "plain http" in (problem(SECRETS_VAULT_URL="http://vault", **TOKEN) or "")


def test_an_authority_that_is_none_is_told_at_the_start(tmp_path: Path) -> None:
    bad = tmp_path / "ca.pem"
    bad.write_text("no certificate")
    for file in (bad, tmp_path / "none"):
        settings = read(**TOKEN, SECRETS_VAULT_CA_FILE=str(file))
        with pytest.raises(Misconfigured, match="SECRETS_VAULT_CA_FILE"):
            vault_backend(settings, versions_kept=2, clock=Clock(), learn=lambda _: None)
