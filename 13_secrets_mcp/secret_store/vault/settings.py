"""Which Vault, and who we are to it; every key starts with `SECRETS_VAULT_`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field

from flotilla import Misconfigured, ServiceSettings

_PATH = r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*"
MountName = Annotated[str, Field(pattern=rf"^{_PATH}$")]
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class VaultSettings(ServiceSettings, env_prefix="SECRETS_VAULT_"):
    """Without a URL there is no Vault. Who we are is said by exactly one of a token file, an
    AppRole and a Kubernetes role."""

    url: str | None = None
    """https://vault.example.org:8200; plain http only to this very machine."""
    mount: MountName = "secret"
    """Where the KV version 2 engine is mounted."""
    folder: str = Field(default="flotilla", pattern=rf"^(/|{_PATH})$")
    """Below which all secrets of the fleet are; / for the whole mount."""
    namespace: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*/?$")
    ca_file: Path | None = None
    """PEM of the authorities that vouch for Vault, in place of the system's."""
    token_file: Path | None = None
    """Holds a token; read again when it changes."""
    role_id: str | None = None
    """Of an AppRole."""
    secret_id_file: Path | None = None
    """Holds the AppRole's secret ID; read at each login."""
    wrapped: Literal["on", "off"] = "off"
    """on: the secret ID's file holds a response-wrapping token with the secret ID in it."""
    kubernetes_role: str | None = None
    kubernetes_token_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    """The service account's token; read at each login."""
    auth_mount: MountName | None = None
    """Where the auth method is mounted; by default approle or kubernetes."""
    timeout_s: float = Field(default=5.0, gt=0, le=5.5)
    """Of one request. A write of several holds up other writes, so it is short."""

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """The settings of `env`; Misconfigured where they contradict one another."""
        own = super().from_env(env)
        own.check()
        return own

    def check(self) -> None:
        """Raise Misconfigured for a URL that cannot be trusted or an unclear way to log in."""
        if self.url is None:
            return
        check_url(self.url)
        ways = {
            "SECRETS_VAULT_TOKEN_FILE": self.token_file is not None,
            "SECRETS_VAULT_ROLE_ID": self.role_id is not None,
            "SECRETS_VAULT_KUBERNETES_ROLE": self.kubernetes_role is not None,
        }
        if sum(ways.values()) != 1:
            raise Misconfigured(f"of {', '.join(ways)} set one: it says who we are to Vault")
        if (self.role_id is None) != (self.secret_id_file is None):
            raise Misconfigured(
                "SECRETS_VAULT_ROLE_ID and SECRETS_VAULT_SECRET_ID_FILE belong together; set both"
            )

    @property
    def base(self) -> str:
        """The URL without a slash at its end."""
        assert self.url is not None, "there is no Vault"
        return self.url.rstrip("/")


def check_url(url: str) -> None:
    """Raise Misconfigured unless nobody on the way can read what is said there."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        raise Misconfigured("SECRETS_VAULT_URL is no URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise Misconfigured("SECRETS_VAULT_URL is not of the form https://host:port")
    if parts.username is not None or parts.query or parts.fragment:
        raise Misconfigured("SECRETS_VAULT_URL has more in it than host, port and path")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise Misconfigured(
            "SECRETS_VAULT_URL is plain http: whoever is on the way would read every secret; "
            "use https, with SECRETS_VAULT_CA_FILE for an authority of your own"
        )
