"""`.env.example` names every key of the fleet, and none that nothing reads."""

import re
from pathlib import Path

from flotilla.fleet import FleetConfig
from flotilla.host import open_package
from flotilla.launch.checks import documented_keys
from flotilla.launch.plan import folder_of
from flotilla.settings import CommonSettings, ServiceSettings, key_of
from master.approvals.settings import ApprovalSettings
from master.audit.settings import AuditSettings
from master.external.runner.settings import Settings as RunnerSettings
from master.principals.settings import OpenIdSettings
from secret_store.vault.settings import VaultSettings

ROOT = Path(__file__).resolve().parents[2]
BESIDE = {"MCP_PORT_BASE", "FLOTILLA_SPOKE_URL", "FLOTILLA_DATABASE_URL"}
"""Read where they are needed, beside the settings classes."""


def keys_of(settings: type[ServiceSettings]) -> set[str]:
    prefix = settings.model_config.get("env_prefix", "")
    return {key_of(prefix, name) for name in settings.model_fields}


def keys_that_are_read() -> set[str]:
    fleet = FleetConfig.load(ROOT / "config" / "services.yaml", env={})
    keys = keys_of(CommonSettings) | keys_of(RunnerSettings) | BESIDE
    keys |= keys_of(ApprovalSettings)
    keys |= keys_of(AuditSettings)
    keys |= keys_of(OpenIdSettings)
    # Files that are read again while it runs: their names are the settings.
    keys |= {key.removesuffix("_FILE") for key in keys_of(VaultSettings)}
    for name in fleet.services:
        _, settings = open_package(ROOT / folder_of(name, fleet))
        keys |= keys_of(settings.Settings) | {f"MCP_PORT_{name.upper()}"}
    return keys


def documented() -> set[str]:
    keys = documented_keys((ROOT / ".env.example").read_text(encoding="utf-8"))
    return {key.removesuffix("_FILE") for key in keys}


def test_every_key_that_is_read_is_documented() -> None:
    assert keys_that_are_read() - documented() == set()


def test_no_key_is_documented_that_nothing_reads() -> None:
    assert documented() - keys_that_are_read() == set()


def test_every_key_that_docker_compose_takes_from_outside_is_documented() -> None:
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    taken = set(re.findall(r"(?<!\$)\$\{(\w+)", compose))
    assert taken <= documented()


def test_the_example_is_valid_when_everything_in_it_is_set() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    pairs = (line.removeprefix("#").partition("=") for line in lines)
    env = {key: value for key, equals, value in pairs if equals and key.isupper()}
    fleet = FleetConfig.load(ROOT / "config" / "services.yaml", env)
    for name in fleet.services:
        _, settings = open_package(ROOT / folder_of(name, fleet))
        assert settings.Settings.from_env(env) == settings.Settings.from_env({})
    assert CommonSettings.from_env(env) == CommonSettings.from_env({})
    assert RunnerSettings.from_env(env) == RunnerSettings.from_env({})
    assert ApprovalSettings.from_env(env) == ApprovalSettings.from_env({})
    assert AuditSettings.from_env(env) == AuditSettings.from_env({})
    assert OpenIdSettings.from_env(env) == OpenIdSettings.from_env({})
    assert VaultSettings.from_env(env) == VaultSettings.from_env({})
    assert fleet.url("cmdb") == FleetConfig.load(ROOT / "config/services.yaml", {}).url("cmdb")
