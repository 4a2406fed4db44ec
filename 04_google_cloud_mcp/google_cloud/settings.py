"""Settings of the google_cloud spoke, and what its file says of each account."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from flotilla import ServiceSettings
from flotilla.accounts import Account, SecretPlace

_URL = re.compile(r"https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?")


class Settings(ServiceSettings, env_prefix="GOOGLE_CLOUD_"):
    """Where its accounts are said, and how much it asks of Google at once."""

    config: Path | None = None
    """By default google_cloud.yaml in the fleet's configuration folder."""
    max_requests: int = Field(default=16, ge=1, le=128)
    """Calls of Google's interfaces at the same time; each has a thread."""
    request_timeout_s: float = Field(default=20.0, gt=0, le=300)
    """The longest that one request may take, within the deadline of its call."""


def _https(value: str) -> str:
    if not _URL.fullmatch(value):
        raise ValueError("give an https:// address without user, query or fragment")
    return value.rstrip("/")


Url = Annotated[str, AfterValidator(_https)]
ProjectName = Annotated[
    str, StringConstraints(pattern=r"^(?:[a-z0-9.-]{1,60}:)?[a-z][a-z0-9-]{0,61}[a-z0-9]$")
]
Email = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+@[A-Za-z0-9.-]+$")]


class Endpoints(BaseModel):
    """Addresses in the place of Google's own: private endpoints, other universes, tests."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    compute: Url | None = None
    storage: Url | None = None
    resource_manager: Url | None = None
    token: Url | None = None
    """Where a service account's key is exchanged for a token; by default the key says."""
    iam_credentials: Url | None = None
    """Where an impersonated account's token is asked for."""
    billing: Url | None = None
    """The Cloud Billing Catalog."""


class GoogleAccount(Account):
    """One account: how it signs in, which projects it may be used for, and where Google is.

    `default` is Google's own chain (Application Default Credentials), `service_account` a key,
    `impersonate` another service account by way of the key, or of the chain where there is none.
    """

    credential: Literal["default", "service_account", "impersonate"] = "default"
    key: SecretPlace | None = None
    """The JSON of a service account's key."""
    impersonate: Email | None = None
    project: ProjectName | None = None
    """The project of calls that name none; by default that of the credential."""
    projects: tuple[ProjectName, ...] = ()
    """The only projects that it may be used for; empty: all that Google lets it."""
    quota_project: ProjectName | None = None
    universe: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+$")] = "googleapis.com"
    endpoints: Endpoints = Endpoints()
    ca_file: Path | None = None
    """The authorities of these endpoints, where they are not public ones."""
    prices: bool = False
    """Ask the Cloud Billing Catalog what a new instance would cost a month."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.credential == "service_account" and self.key is None:
            raise ValueError("credential service_account needs `key`")
        if self.credential == "default" and self.key is not None:
            raise ValueError("credential default takes no `key`")
        if (self.credential == "impersonate") != (self.impersonate is not None):
            raise ValueError("credential impersonate and the e-mail in `impersonate` go together")
        if self.project and self.projects and self.project not in self.projects:
            raise ValueError("`project` must be one of `projects`")
        return self

    def url_of(self, service: Literal["compute", "storage", "resource_manager", "billing"]) -> str:
        """The address of one of Google's services for this account."""
        default = {
            "compute": f"https://compute.{self.universe}",
            "storage": f"https://storage.{self.universe}",
            "resource_manager": f"https://cloudresourcemanager.{self.universe}",
            "billing": f"https://cloudbilling.{self.universe}",
        }
        chosen: str | None = getattr(self.endpoints, service)
        return chosen or default[service]
