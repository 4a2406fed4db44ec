"""What the claims of a verified JWT say: who, with which roles, and for which part. Pure."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from flotilla import Principal
from flotilla.identity import Caller
from master.principals.credential import BadBearer, NoRight
from master.principals.settings import EVERYBODY, OpenIdSettings

PREFIX = "oidc:"
"""How the names of a provider's people begin; no name in the table of tokens has a colon."""
MAX_NAME_CHARS = 200
TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""Of the header's `typ` (RFC 9068 §2.1): other JWTs of a provider are no access tokens."""
_NO_ACCESS = frozenset({"id", "refresh", "offline", "logout"})
"""Of the claim `typ`, by which Keycloak tells its tokens apart."""


@dataclass(frozen=True, slots=True)
class Audiences:
    """The audiences whose tokens are taken: for everything, and for one profile alone."""

    whole: frozenset[str]
    profiles: Mapping[str, str]
    """By audience, the profile that it is the address of."""

    def taken(self) -> list[str]:
        return [*self.whole, *self.profiles]

    def profiles_of(self, claim: object) -> frozenset[str] | None:
        """The profiles that a token for this audience may use; None: all."""
        named = cast("list[object]", claim) if isinstance(claim, list) else [claim]
        given = {each for each in named if isinstance(each, str)}
        if given & self.whole:
            return None
        return frozenset(self.profiles[each] for each in given if each in self.profiles)


def caller_of(claims: Mapping[str, Any], settings: OpenIdSettings, audiences: Audiences) -> Caller:
    """Who bears a token whose signature, issuer, audience and times are good.

    BadBearer where it is no access token for us; NoRight where it gives nothing here.
    """
    if str(claims.get("typ", "")).lower() in _NO_ACCESS:
        raise BadBearer("the token is no access token")
    if "cnf" in claims:
        # Whoever took it as a bearer token would take it from a thief too (RFC 7800, RFC 9449).
        raise BadBearer("the token is bound to a key, and came without proof of it")
    client = claims.get("azp", claims.get("client_id"))
    if client is not None and not isinstance(client, str):
        raise BadBearer("the token does not name its client by a string")
    if settings.clients and client not in settings.clients:
        raise BadBearer("the token was made for another client")
    name = PREFIX + _name(claims, settings.name_claim)
    if settings.scope is not None and settings.scope not in _words(_first(claims, "scope", "scp")):
        raise NoRight(f"the token lacks the scope {settings.scope}", settings.scope)
    roles = _roles(claims, settings)
    if not roles:
        raise NoRight("the account has no role in this fleet")
    return Caller(
        Principal(name, roles),
        interactive=is_person(claims),
        profiles=audiences.profiles_of(claims.get("aud")),
    )


def is_person(claims: Mapping[str, Any]) -> bool:
    """Whether a person signed in at the client that bears the token.

    Not where a program got it in its own name, as providers say that: the subject is the client
    (RFC 9068 §2.2), `idtyp` (Microsoft Entra), `gty` (Auth0), a service account (Keycloak); nor
    where it acts for somebody else (`act`, RFC 8693 §4.1).
    """
    subject = str(claims.get("sub", ""))
    clients = {claims.get("azp"), claims.get("client_id")} - {None}
    return not (
        subject in clients
        or subject.endswith("@clients")
        or claims.get("idtyp") == "app"
        or "client-credentials" in _words(claims.get("gty"))
        or str(claims.get("preferred_username", "")).startswith("service-account-")
        or "act" in claims
    )


def _name(claims: Mapping[str, Any], claim: str) -> str:
    name = _member(claims, claim)
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME_CHARS:
        raise BadBearer(f"the token has no {claim} that could be a name")
    # What a person could not tell apart in the audit must not be a name of its own.
    plain = name.isprintable() and not any(map(str.isspace, name))
    if not plain or unicodedata.normalize("NFKC", name) != name:
        raise BadBearer(f"the {claim} of the token has characters that a name cannot have")
    if claim == "email":
        if claims.get("email_verified") is not True:
            raise BadBearer("the provider has not verified the email address")
        return name.lower()
    return name


def _roles(claims: Mapping[str, Any], settings: OpenIdSettings) -> tuple[str, ...]:
    values = [EVERYBODY, *_words(_member(claims, settings.roles_claim))]
    # A star is what we write, never what a token says.
    given = (settings.roles.get(each, ()) for n, each in enumerate(values) if not n or each != "*")
    return tuple(sorted({role for roles in given for role in roles}))


def _member(claims: Mapping[str, Any], path: str) -> object:
    """A claim by its whole name, which may have dots, or by a path of names."""
    if path in claims:
        return claims[path]
    found: object = claims
    for part in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = cast("Mapping[str, object]", found).get(part)
    return found


def _first(claims: Mapping[str, Any], *names: str) -> object:
    return next((claims[name] for name in names if name in claims), None)


def _words(value: object) -> list[str]:
    """The strings of a list, or of a text with blanks between them (RFC 6749 §3.3)."""
    if isinstance(value, str):
        return value.split()
    if isinstance(value, list):
        return [each for each in cast("list[object]", value) if isinstance(each, str)]
    return []
