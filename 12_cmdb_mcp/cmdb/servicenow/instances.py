"""`config/servicenow.yaml`: the ServiceNow instances by alias, and how each is spoken with."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from cmdb.servicenow.class_map import ClassMap, MappedClass, MappedRelation
from flotilla.accounts import Account, SecretPlace

Auth = Literal["basic", "client_credentials", "password", "refresh_token"]

_NEEDS: dict[Auth, tuple[str, ...]] = {
    "basic": ("user", "password"),
    "client_credentials": ("client_id", "client_secret"),
    "password": ("client_id", "client_secret", "user", "password"),
    "refresh_token": ("client_id", "client_secret", "refresh_token"),
}
_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,79}\*?")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError("it must begin with https:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("it holds nothing but https://, a host and perhaps a port")
    if parts.path.strip("/"):
        raise ValueError("it has no path")
    return f"https://{parts.netloc}"


def _tables(told: tuple[str, ...]) -> tuple[str, ...]:
    if not told or not all(_PATTERN.fullmatch(one) for one in told):
        raise ValueError("name tables, each perhaps with a * at its end: cmdb_ci*")
    return told


class Instance(Account):
    """One instance. Which of the members are needed follows from `auth`."""

    url: Annotated[str, AfterValidator(_origin)]
    auth: Auth = "basic"
    user: str | None = None
    password: SecretPlace | None = None
    client_id: str | None = None
    client_secret: SecretPlace | None = None
    refresh_token: SecretPlace | None = None
    ca_file: str | None = None
    """PEM of the authority that vouches for it, where that is not one of the system's."""
    connect_timeout_s: float = Field(default=10.0, gt=0, le=60)
    timeout_s: float = Field(default=60.0, gt=0, le=600)
    """For one request."""
    tables: Annotated[tuple[str, ...], AfterValidator(_tables)] = ("cmdb_ci*", "cmdb_rel_ci")
    """What may be read."""
    classes: dict[str, MappedClass] = Field(default_factory=dict[str, MappedClass])
    relations: dict[str, MappedRelation] = Field(default_factory=dict[str, MappedRelation])
    data_source: Annotated[str, Field(min_length=1, max_length=100)] = "Other Automated"
    """A choice of cmdb_ci.discovery_source; what is pushed is reconciled under it."""

    @model_validator(mode="after")
    def _has_what_auth_needs(self) -> Self:
        missing = [name for name in _NEEDS[self.auth] if getattr(self, name) is None]
        if missing:
            raise ValueError(f"auth {self.auth} needs {', '.join(missing)}")
        return self

    def class_map(self) -> ClassMap:
        return ClassMap(self.classes, self.relations)
