"""The security schemes of a document, and what a request of one carries. Pure.

A credential is one text per scheme: the key of an apiKey, `user:password` for http basic, the token
for http bearer, `client_id:client_secret` for OAuth 2.0 client credentials, and an access token for
OAuth 2.0's other flows.
"""

import base64
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from flotilla import NotConfigured
from master.external.openapi.document import BadReference, Document, members, shown, text_of

Kind = Literal["key", "basic", "bearer", "client_credentials", "unsupported"]

_PLACES = ("header", "query", "cookie")


@dataclass(frozen=True, slots=True)
class Scheme:
    """`place` and `parameter` for a key, `token_url` (as the document says it) for OAuth 2.0."""

    name: str
    kind: Kind
    place: str = ""
    parameter: str = ""
    token_url: str = ""
    reason: str = ""
    """Why it is unsupported."""


Alternative = Mapping[str, tuple[str, ...]]
"""Schemes that go together, with their scopes."""


def read_schemes(document: Document) -> dict[str, Scheme]:
    """The document's schemes by name."""
    components = members(document.root.get("components"))
    out: dict[str, Scheme] = {}
    for name, value in members(components.get("securitySchemes")).items():
        try:
            out[name] = _scheme(name, document.resolved(value))
        except BadReference as error:
            out[name] = Scheme(name, "unsupported", reason=str(error))
    return out


def secret_parameters(document: Document) -> frozenset[tuple[str, str]]:
    """(place, name in lower case) of each parameter that a key fills."""
    schemes = read_schemes(document).values()
    return frozenset((each.place, each.parameter.lower()) for each in schemes if each.place)


def chosen(
    alternatives: Iterable[Alternative], schemes: Mapping[str, Scheme], have: Iterable[str]
) -> Alternative:
    """The first alternative whose credentials are all there, one without any as a last resort.

    Raises NotConfigured, with what to set, when there is none.
    """
    known = set(have)
    offered = list(alternatives)
    if not offered:
        return {}
    for each in offered:
        if each and all(
            name in known and name in schemes and schemes[name].kind != "unsupported"
            for name in each
        ):
            return each
    if any(not each for each in offered):
        return {}
    raise NotConfigured(
        f"the API wants credentials: {_wanted(offered, schemes)}",
        hint="Set the entry's `credentials` for one of these schemes.",
    )


def put_key(
    scheme: Scheme,
    secret: str,
    headers: MutableMapping[str, str],
    query: list[tuple[str, str]],
    cookies: list[tuple[str, str]],
) -> None:
    """Put an API key where its scheme says."""
    match scheme.place:
        case "header":
            headers[scheme.parameter] = secret
        case "query":
            query.append((quote(scheme.parameter, safe=""), quote(secret, safe="")))
        case _:
            cookies.append((scheme.parameter, quote(secret, safe="")))


def basic(user_and_password: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(user_and_password.encode()).decode()


def _wanted(offered: list[Alternative], schemes: Mapping[str, Scheme]) -> str:
    told: list[str] = []
    for each in offered[:5]:
        names: list[str] = []
        for name in each:
            scheme = schemes.get(name)
            if scheme is None:
                names.append(f"{shown(name)} (which the document does not define)")
            elif scheme.kind == "unsupported":
                names.append(f"{shown(name)} ({scheme.reason})")
            else:
                names.append(f"{shown(name)} ({_FORMS[scheme.kind]})")
        told.append(" and ".join(names))
    return ", or ".join(told)


_FORMS: dict[Kind, str] = {
    "key": "an API key",
    "basic": "user:password",
    "bearer": "a bearer token",
    "client_credentials": "client_id:client_secret",
}


def _scheme(name: str, node: dict[str, Any]) -> Scheme:
    match node.get("type"):
        case "apiKey":
            place, parameter = text_of(node.get("in")), text_of(node.get("name"))
            if place in _PLACES and parameter and parameter.isascii() and parameter.isprintable():
                return Scheme(name, "key", place=place, parameter=parameter)
            return Scheme(name, "unsupported", reason="its key has no place")
        case "http":
            scheme = text_of(node.get("scheme")).lower()
            if scheme == "basic":
                return Scheme(name, "basic")
            if scheme == "bearer":
                return Scheme(name, "bearer")
            return Scheme(name, "unsupported", reason=f"http {scheme[:40]} is not supported")
        case "oauth2":
            flow = members(members(node.get("flows")).get("clientCredentials"))
            if flow:
                return Scheme(name, "client_credentials", token_url=text_of(flow.get("tokenUrl")))
            return Scheme(name, "bearer")
        case "openIdConnect":
            return Scheme(name, "unsupported", reason="OpenID Connect is not supported")
        case "mutualTLS":
            return Scheme(name, "unsupported", reason="mutual TLS is not supported")
        case _:
            return Scheme(name, "unsupported", reason="of a type that is not supported")
