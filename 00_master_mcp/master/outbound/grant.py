"""A grant: what a person gave the hub for one server, as it is kept. Pure."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from flotilla import UpstreamError

AHEAD_S = 60.0
"""A token is renewed so long before it runs out, so that none runs out on its way."""
MAX_TOKEN_CHARS = 16 * 1024


@dataclass(frozen=True, slots=True)
class Client:
    """The hub as an authorization server knows it."""

    id: str
    secret: str | None = field(default=None, repr=False)
    method: str = "none"
    """`none`, `client_secret_basic` or `client_secret_post` (RFC 7591 §2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where grants for one server come from. Every address was checked."""

    url: str
    """Of the MCP server; a grant is for this one alone."""
    resource: str
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    registration_endpoint: str | None = None
    revocation_endpoint: str | None = None
    says_issuer: bool = False
    """Whether its answers in the browser name it (RFC 9207)."""
    methods: tuple[str, ...] = ()
    scope: str = ""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """What `asdict` made of one, perhaps as JSON."""
        members: dict[str, Any] = {**told, "methods": tuple(told["methods"])}
        return cls(**members)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    place: Place
    client: Client
    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: float | None = None
    """Seconds since 1970; None: its server has not said."""
    scope: str = ""
    granted_at: float = 0.0

    def is_fresh(self, now: float, ahead_s: float = AHEAD_S) -> bool:
        return self.expires_at is None or self.expires_at - now > ahead_s

    def written(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def read(cls, raw: bytes) -> Self:
        told = json.loads(raw)
        place, client = Place.of(told.pop("place")), Client(**told.pop("client"))
        return cls(place=place, client=client, **told)

    def renewed(self, told: dict[str, Any], now: float) -> "Grant":
        """After an answer of the token endpoint (RFC 6749 §5.1, §6); UpstreamError for none."""
        access, refresh, expires_at, scope = tokens_in(told, now)
        return replace(
            self,
            access_token=access,
            refresh_token=refresh or self.refresh_token,
            expires_at=expires_at,
            scope=scope or self.scope,
        )


def tokens_in(told: dict[str, Any], now: float) -> tuple[str, str | None, float | None, str]:
    """Access token, refresh token, when the first runs out, and scope; UpstreamError."""
    access, refresh = told.get("access_token"), told.get("refresh_token")
    if not isinstance(access, str) or not _is_token(access):
        raise UpstreamError("the authorization server issued no access token")
    if str(told.get("token_type", "")).lower() != "bearer":
        # What is bound to a key would be no credential as a header.
        raise UpstreamError("the authorization server issued a token that is no bearer token")
    if refresh is not None and (not isinstance(refresh, str) or len(refresh) > MAX_TOKEN_CHARS):
        raise UpstreamError("the authorization server issued a refresh token that is none")
    lasts = told.get("expires_in")
    if isinstance(lasts, str) and lasts.isdigit():
        lasts = int(lasts)
    known = isinstance(lasts, (int, float)) and not isinstance(lasts, bool) and lasts >= 0
    scope = told.get("scope")
    return (
        access,
        refresh,
        now + float(lasts) if known and lasts is not None else None,
        scope if isinstance(scope, str) else "",
    )


def _is_token(token: str) -> bool:
    # It becomes part of a header.
    visible = token.isascii() and token.isprintable() and " " not in token
    return visible and 0 < len(token) <= MAX_TOKEN_CHARS
