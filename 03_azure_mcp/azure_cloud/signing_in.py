"""From an account of the file to one of the SDK's credentials; loads the SDK when called."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from azure_cloud.account import AzureAccount
from flotilla import NotConfigured
from flotilla.credentials import Credentials
from flotilla.placed_secrets import PlacedSecrets, secret_at

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

# Nothing that would open a window or read what a person left signed in elsewhere.
_NEVER = {
    "exclude_shared_token_cache_credential": True,
    "exclude_visual_studio_code_credential": True,
    "exclude_developer_cli_credential": True,
    "exclude_powershell_credential": True,
    "exclude_interactive_browser_credential": True,
    "exclude_broker_credential": True,
}

_IN_ENVIRONMENT = ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_PASSWORD")

TOKEN_RETRIES = 1
"""Of a request for a token: the call that waits for it has a deadline of its own."""


def credential_of(
    account: AzureAccount, credentials: Credentials, transport: Callable[[], Any]
) -> "AsyncTokenCredential":
    """The credential; `transport` makes one for requests of tokens.

    Raises NotConfigured where a secret was not brought or cannot be read or used.
    """
    from azure.identity import aio

    authority = {"authority": account.authority_url}
    # Where another authority is said, nobody is asked whether it is one of Microsoft's.
    plain: dict[str, Any] = {"retry_total": TOKEN_RETRIES}
    if account.authority is not None:
        plain["disable_instance_discovery"] = True
    tenant, client = account.tenant or "", account.client_id or ""
    try:
        match account.credential:
            case "client_secret":
                secret = _secret(account.client_secret, credentials)
                return aio.ClientSecretCredential(
                    tenant, client, secret, transport=transport(), **authority, **plain
                )
            case "client_certificate":
                password = account.certificate_password
                return aio.CertificateCredential(
                    tenant,
                    client,
                    certificate_data=_secret(account.certificate, credentials).encode(),
                    password=_secret(password, credentials) if password else None,
                    transport=transport(),
                    **authority,
                    **plain,
                )
            case "managed_identity":
                return aio.ManagedIdentityCredential(client_id=account.client_id)
            case "workload_identity":
                return aio.WorkloadIdentityCredential(
                    **_federated(account), transport=transport(), **authority, **plain
                )
            case "cli":
                return aio.AzureCliCredential(tenant_id=tenant)
            case "default":
                identity = {"managed_identity_client_id": client} if client else {}
                return aio.DefaultAzureCredential(**authority, **identity, **_NEVER)
    except ValueError as error:
        # What the SDK says of a certificate or a tenant; it quotes neither.
        raise NotConfigured(
            f"the account cannot sign in: {error}", hint="Mend the account in azure.yaml."
        ) from None


def _federated(account: AzureAccount) -> dict[str, str]:
    """What the account says itself; the SDK takes the rest from its environment."""
    given = {
        "tenant_id": account.tenant,
        "client_id": account.client_id,
        "token_file_path": account.token_file,
    }
    return {name: value for name, value in given.items() if value}


def known_secrets(
    accounts: Iterable[AzureAccount], env: Mapping[str, str] = os.environ
) -> tuple[str, ...]:
    """The values that are there already at start, in files and in the SDK's environment."""
    found = (env.get(name) for name in _IN_ENVIRONMENT)
    places = (place for one in accounts for place in (one.client_secret, one.certificate_password))
    placed = PlacedSecrets({place: "azure.yaml" for place in places if place is not None})
    return (*(value for value in found if value), *placed.from_files)


def _secret(place: str | None, credentials: Credentials) -> str:
    if place is None:
        raise NotConfigured("the account names no secret")
    return secret_at(place, credentials, "azure.yaml")
