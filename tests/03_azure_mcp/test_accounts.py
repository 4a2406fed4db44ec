"""Accounts: of the file, and of the SDK's own environment."""

from pathlib import Path

import pytest

from azure_cloud.account import AzureAccount, accounts_of
from azure_cloud.settings import Settings
from flotilla import CommonSettings, Misconfigured
from tests.backends.azure.estate import SUBSCRIPTION


def load(tmp_path: Path, text: str, **env: str) -> dict[str, AzureAccount]:
    (tmp_path / "azure.yaml").write_text(text)
    common = CommonSettings(config_dir=tmp_path)
    return dict(accounts_of(Settings(), common, env))


def test_accounts_are_read_with_their_clouds_and_secrets(tmp_path: Path) -> None:
    accounts = load(
        tmp_path,
        f"""
accounts:
  main: {{tenant: t, client_id: c, client_secret: "secret:azure/main"}}
  gov: {{credential: managed_identity, cloud: usgov, subscriptions: [{SUBSCRIPTION.upper()}]}}
  own:
    authority: https://login.internal:8443/
    resource_manager: https://arm.internal
    audience: https://management.azure.com
""",
    )
    assert accounts["main"].credential == "client_secret"
    assert accounts["main"].secrets() == ("azure/main",)
    assert accounts["main"].scope == "https://management.azure.com/.default"
    assert accounts["gov"].endpoint == "https://management.usgovcloudapi.net"
    assert accounts["gov"].subscriptions == (SUBSCRIPTION,)
    assert accounts["own"].authority_url == "https://login.internal:8443"
    assert accounts["own"].scope == "https://management.azure.com/.default"


@pytest.mark.parametrize(
    "entry",
    [
        "{credential: client_secret, tenant: t}",
        "{client_secret: plain-text, tenant: t, client_id: c}",
        "{resource_manager: 'http://arm.internal'}",
        "{resource_manager: 'https://user:word@arm.internal'}",
        "{subscription: production}",
        "{cloud: mars}",
        "{clientID: c}",
    ],
)
def test_an_account_that_cannot_work_is_a_mistake_with_its_place(
    tmp_path: Path, entry: str
) -> None:
    with pytest.raises(Misconfigured, match=r"accounts\.main") as caught:
        load(tmp_path, f"accounts:\n  main: {entry}\n")
    assert "plain-text" not in str(caught.value)


def test_the_environment_of_the_sdk_is_an_account_of_its_own(tmp_path: Path) -> None:
    principal = {"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t"}
    assert load(tmp_path, "") == {}
    assert load(tmp_path, "", AZURE_CONFIG="x") == {}
    found = load(tmp_path, "", **principal, AZURE_SUBSCRIPTION_ID=SUBSCRIPTION)
    assert found["default"].credential == "default"
    assert found["default"].subscription == SUBSCRIPTION
    host = "login.microsoftonline.us"
    found = load(tmp_path, "", **principal, AZURE_AUTHORITY_HOST=host)
    assert found["default"].endpoint == "https://management.usgovcloudapi.net"
    assert list(load(tmp_path, "accounts: {one: {}}", **principal)) == ["one"]
    assert list(load(tmp_path, "", IDENTITY_ENDPOINT="http://169.254.1.1")) == ["default"]
