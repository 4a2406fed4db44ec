"""What config/azure.yaml says of one account: who signs in, where, and to which subscriptions."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from azure_cloud.settings import Settings
from flotilla import CommonSettings
from flotilla.accounts import DEFAULT, Account, Accounts, SecretPlace

Credential = Literal[
    "default",
    "client_secret",
    "client_certificate",
    "managed_identity",
    "workload_identity",
    "cli",
]

GUID = r"^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
SubscriptionId = Annotated[str, Field(pattern=GUID), AfterValidator(str.lower)]

_NEEDED: Mapping[Credential, tuple[str, ...]] = {
    "default": (),
    "client_secret": ("tenant", "client_id", "client_secret"),
    "client_certificate": ("tenant", "client_id", "certificate"),
    "managed_identity": (),
    "workload_identity": (),
    "cli": (),
}

_CLOUDS: Mapping[str, tuple[str, str]] = {
    "public": ("https://login.microsoftonline.com", "https://management.azure.com"),
    "usgov": ("https://login.microsoftonline.us", "https://management.usgovcloudapi.net"),
    "china": ("https://login.chinacloudapi.cn", "https://management.chinacloudapi.cn"),
}
"""Where one signs in and where Resource Manager is, by cloud."""


def _https(value: str) -> str:
    parts = urlsplit(value)
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme != "https" or not parts.hostname or not plain or parts.path not in ("", "/"):
        raise ValueError("give https://host or https://host:port and nothing more")
    return value.rstrip("/")


HttpsPlace = Annotated[str, AfterValidator(_https)]


class AzureAccount(Account):
    """One account, as the file has it."""

    credential: Credential = "default"
    tenant: str | None = None
    client_id: str | None = None
    client_secret: SecretPlace | None = Field(default=None, repr=False)
    certificate: SecretPlace | None = Field(default=None, repr=False)
    """PEM with the private key."""
    certificate_password: SecretPlace | None = Field(default=None, repr=False)
    token_file: str | None = None
    """Of a workload identity; by default what AZURE_FEDERATED_TOKEN_FILE says."""
    cloud: Literal["public", "usgov", "china"] = "public"
    authority: HttpsPlace | None = None
    resource_manager: HttpsPlace | None = None
    audience: str | None = None
    """What tokens are asked for; by default the address of Resource Manager."""
    ca_file: Path | None = None
    """PEM of the authorities that are trusted, instead of the system's."""
    subscription: SubscriptionId | None = None
    """Which one a call means that names none."""
    subscriptions: tuple[SubscriptionId, ...] = ()
    """The only ones that may be used; empty: all that the account can see."""

    @model_validator(mode="before")
    @classmethod
    def _guess(cls, given: Any) -> Any:
        if isinstance(given, dict) and "credential" not in given:
            for key, kind in (
                ("client_secret", "client_secret"),
                ("certificate", "client_certificate"),
            ):
                if key in given:
                    return {**given, "credential": kind}  # pyright: ignore[reportUnknownVariableType]
        return given  # pyright: ignore[reportUnknownVariableType]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name in _NEEDED[self.credential]:
            if not getattr(self, name):
                raise ValueError(f"credential {self.credential} needs {name}")
        if self.subscription and self.subscriptions and self.subscription not in self.subscriptions:
            raise ValueError("subscription is not among subscriptions")
        return self

    @property
    def authority_url(self) -> str:
        return self.authority or _CLOUDS[self.cloud][0]

    @property
    def endpoint(self) -> str:
        """Where Resource Manager is, without a slash at the end."""
        return self.resource_manager or _CLOUDS[self.cloud][1]

    @property
    def scope(self) -> str:
        """What tokens are asked for (OAuth 2.0 scope)."""
        return f"{(self.audience or self.endpoint).rstrip('/')}/.default"


def accounts_of(
    settings: Settings, common: CommonSettings, env: Mapping[str, str] = os.environ
) -> Accounts[AzureAccount]:
    """The accounts of the file; without any, the one of the SDK's standard environment if it is
    there, called `default`."""
    file = settings.config or common.config_dir / "azure.yaml"
    found = Accounts[AzureAccount].load("account", file, AzureAccount)
    if len(found) or not _standard(env):
        return found
    own: dict[str, Any] = {"subscription": env.get("AZURE_SUBSCRIPTION_ID") or None}
    if authority := env.get("AZURE_AUTHORITY_HOST"):
        own["authority"] = authority if "://" in authority else f"https://{authority}"
    for cloud, (host, _) in _CLOUDS.items():
        if own.get("authority", "").rstrip("/") == host:
            own["cloud"] = cloud
    return Accounts("account", file, {DEFAULT: AzureAccount.model_validate(own)})


def _standard(env: Mapping[str, str]) -> bool:
    """Whether the environment is one in which the SDK can sign in by itself."""
    principal = env.get("AZURE_CLIENT_ID") and env.get("AZURE_TENANT_ID")
    return bool(principal or env.get("IDENTITY_ENDPOINT") or env.get("MSI_ENDPOINT"))
