"""`credentials` of an entry in `config/mcp.json`: as whom the hub speaks to somebody else's server.

{"type": "fixed"}                                     the headers of the entry, for everybody
{"type": "secret", "secret": "ext/crm/{principal}"}   a stored secret of each principal
{"type": "oauth", "scopes": ["read"]}                 what each person granted in the browser
{"type": "exchange", "tokenEndpoint": "https://id.example/token", "audience": "crm"}
                                                      the caller's own sign-in, exchanged
"""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, field_validator, model_validator

from flotilla import Model
from flotilla.serving.gates import LOOPBACK_NAMES

PRINCIPAL = "{principal}"
AUTHORIZATION = "authorization"
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PLAIN = re.compile(r"[A-Za-z0-9.-]")
_SCOPE = re.compile(r"[!#-\[\]-~]+")
_HOPS = frozenset({"host", "content-length", "content-type", "connection", "transfer-encoding"})


class _Choice(Model):
    model_config = ConfigDict(hide_input_in_errors=True)


class FixedHeaders(_Choice):
    """The headers of the entry, the same for all."""

    type: Literal["fixed"]


class StoredSecret(_Choice):
    """A secret of the secrets spoke; `{principal}` in its path makes it everybody's own."""

    type: Literal["secret"]
    header: str = "Authorization"
    prefix: str = "Bearer "
    secret: str = Field(min_length=1)

    @field_validator("header")
    @classmethod
    def _is_header(cls, header: str) -> str:
        if not _HEADER.fullmatch(header) or header.lower() in _HOPS:
            raise ValueError(f"{header!r} is no header that can hold credentials")
        return header

    @field_validator("prefix")
    @classmethod
    def _one_line(cls, prefix: str) -> str:
        if not prefix.isprintable() or not prefix.isascii():
            raise ValueError("prefix holds characters that no header may have")
        return prefix

    def path_of(self, principal: str) -> str:
        return self.secret.replace(PRINCIPAL, segment_of(principal))


class _Client(_Choice):
    """The hub as a client of an authorization server."""

    client_id: str | None = Field(default=None, min_length=1)
    client_secret: str | None = Field(default=None, min_length=1, repr=False)
    """A handle: `${env:NAME}`, `${file:/path}`, or `secret:<path>` of the secrets spoke."""
    scopes: tuple[str, ...] = ()

    @field_validator("scopes")
    @classmethod
    def _are_scopes(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        for scope in scopes:
            if not _SCOPE.fullmatch(scope):
                raise ValueError(f"{scope!r} is no scope (RFC 6749 §3.3)")
        return scopes

    @field_validator("client_secret")
    @classmethod
    def _is_handle(cls, secret: str | None) -> str | None:
        if secret is not None and not secret.startswith(("${", "secret:")):
            raise ValueError("clientSecret is a handle: ${env:NAME}, ${file:/path} or secret:path")
        return secret

    @model_validator(mode="after")
    def _whose_secret(self) -> Self:
        if self.client_secret is not None and self.client_id is None:
            raise ValueError("clientSecret has no meaning without clientId")
        return self


class Granted(_Client):
    """An OAuth 2.1 grant that each person gives in the browser."""

    type: Literal["oauth"]
    authorization_server: str | None = None
    """Its issuer, where the server names several or none."""

    @field_validator("authorization_server")
    @classmethod
    def _is_issuer(cls, issuer: str | None) -> str | None:
        if issuer is not None and not is_safe(issuer, near=True):
            raise ValueError("authorizationServer must begin with https://")
        return issuer


class Exchanged(_Client):
    """The caller's own token, exchanged at the server that issued it (RFC 8693)."""

    type: Literal["exchange"]
    token_endpoint: str
    audience: str = Field(min_length=1)

    @field_validator("token_endpoint")
    @classmethod
    def _is_endpoint(cls, url: str) -> str:
        if not is_safe(url, near=True):
            raise ValueError("tokenEndpoint must begin with https://")
        return url


Choice = Annotated[FixedHeaders | StoredSecret | Granted | Exchanged, Field(discriminator="type")]
Personal = StoredSecret | Granted | Exchanged
"""What differs from principal to principal."""


def is_safe(url: str, *, near: bool) -> bool:
    """Whether nobody on the way reads or changes what is sent there.

    `near`: plain HTTP within this machine will do.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if not parts.hostname or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (
        near and parts.scheme == "http" and parts.hostname in LOOPBACK_NAMES
    )


def is_near(url: str) -> bool:
    """Whether it is plain HTTP within this machine, as in a test."""
    return is_safe(url, near=True) and not is_safe(url, near=False)


def segment_of(principal: str) -> str:
    """A principal's name as a part of a path, of which no two share one and none leads elsewhere.

    Letters, digits, dots and dashes stay; any other byte becomes `_` and two hexadecimal digits:
    `ada@example.org` is `ada_40example.org`.
    """
    told = "".join(
        chr(byte) if _PLAIN.match(chr(byte)) else f"_{byte:02x}" for byte in principal.encode()
    )
    # No part of a secret's path begins with one of these.
    return f"_{ord(told[0]):02x}{told[1:]}" if told[:1] in (".", "-") else told
