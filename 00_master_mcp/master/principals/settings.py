"""Settings of the OpenID provider whose tokens the hub takes."""

from functools import cached_property
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from flotilla import ServiceSettings
from flotilla.serving.gates import LOOPBACK_NAMES
from master.principals.names import is_role

EVERYBODY = "*"
"""The claim value in the role map that everybody has whom the provider vouches for."""


def is_safe(url: str) -> bool:
    """Whether nobody on the way can change what comes from there; ValueError for no URL."""
    parts = urlsplit(url)
    near = parts.scheme == "http" and parts.hostname in LOOPBACK_NAMES
    return bool(parts.hostname) and (parts.scheme == "https" or near)


class OpenIdSettings(ServiceSettings, env_prefix="FLOTILLA_OIDC_"):
    """Read from `FLOTILLA_OIDC_ISSUER` and its like; without an issuer no JWT is taken."""

    issuer: str | None = None
    """The provider, as its tokens name it in `iss`."""
    audience: list[str] = Field(default=[])
    """Further audiences whose tokens are taken, beside the hub's own address."""
    roles_claim: str = Field(default="roles", min_length=1)
    """Where a token holds what gives roles; dots lead inside: `realm_access.roles`."""
    role_map: list[str] = Field(default=[])
    """`value=role role` for each value of the claim that gives roles; `*=viewer` is for all."""
    name_claim: str = Field(default="sub", min_length=1)
    """What a principal is called by: `sub`, or say `email`."""
    jwks_url: str | None = None
    """Where the provider's keys are; by default its metadata says so."""
    scope: str | None = Field(default=None, pattern=r"^[!#-\[\]-~]+$")
    """The scope that a token must have."""
    clients: list[str] = Field(default=[])
    """The OAuth clients whose tokens are taken (`azp`, `client_id`); by default all."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        for url in (self.issuer, self.jwks_url):
            if url is not None and not is_safe(url):
                raise ValueError(f"{url} must begin with https:// (http on this machine alone)")
        if self.issuer is None:
            if any((self.audience, self.role_map, self.jwks_url, self.scope, self.clients)):
                raise ValueError("FLOTILLA_OIDC_ISSUER is missing, but other keys of it are set")
        elif not self.roles:
            raise ValueError(
                "FLOTILLA_OIDC_ROLE_MAP is missing: say which values of the claim give which "
                "roles, as in staff=viewer,ops=operator approver; or *=viewer for everybody"
            )
        return self

    @cached_property
    def roles(self) -> dict[str, tuple[str, ...]]:
        """The roles that each value of the claim gives; ValueError for what cannot be read."""
        found: dict[str, tuple[str, ...]] = {}
        for pair in self.role_map:
            value, equals, given = pair.rpartition("=")
            roles = tuple(given.split())
            if not equals or not value or not roles:
                raise ValueError(f"FLOTILLA_OIDC_ROLE_MAP: {pair!r} is not like value=role")
            for role in roles:
                if not is_role(role):
                    raise ValueError(f"FLOTILLA_OIDC_ROLE_MAP: {role!r} is no role to be given")
            found[value.strip()] = found.get(value.strip(), ()) + roles
        return found
