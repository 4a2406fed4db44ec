"""Finds out where grants for a server come from, and makes the hub known there.

Sources: RFC 9728 (protected-resource metadata), RFC 8414 (authorization server metadata), RFC 7591
(dynamic registration), MCP 2025-11-25, Authorization. What a server says of itself is a stranger's
word: every address must be one that nobody on the way can read, and is followed once.
"""

import re
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from flotilla import FlotillaError, NotConfigured, UpstreamError
from master.outbound.choice import Granted, is_near, is_safe
from master.outbound.grant import Client, Place
from master.outbound.talking import OAuthRefused, Talk
from master.principals.keys import metadata_urls

WELL_KNOWN = "/.well-known/oauth-protected-resource"
_PARAMETER = re.compile(r'(resource_metadata|scope)="([^"\\]*)"')
_MAX_SCOPE = 2000


async def place_of(url: str, choice: Granted, talk: Talk) -> Place:
    """Where grants for the server at `url` come from; NotConfigured says what is missing."""
    near = is_near(url)
    about, wanted = await _protected(url, talk, near)
    issuer = choice.authorization_server or _issuer_in(about, near)
    if issuer is None:
        raise NotConfigured(
            "the server does not say who gives tokens for it",
            hint="Name the issuer as authorizationServer in its credentials in mcp.json.",
        )
    listed = _texts(about.get("authorization_servers"))
    if listed and issuer.rstrip("/") not in {each.rstrip("/") for each in listed}:
        raise NotConfigured(
            f"the server does not take tokens of {issuer}",
            hint="Leave authorizationServer out, or name one that its metadata names.",
        )
    found = await _server(issuer, talk, near)
    scope = " ".join(choice.scopes) or wanted or _scopes(about)
    return place_in(found, url=url, resource=_resource(about, url), scope=scope, near=near)


def place_in(found: Mapping[str, Any], *, url: str, resource: str, scope: str, near: bool) -> Place:
    """The place that an authorization server's metadata describes. Pure; UpstreamError."""

    def address(name: str) -> str | None:
        given = found.get(name)
        if given is None:
            return None
        if not isinstance(given, str) or not is_safe(given, near=near):
            raise UpstreamError(f"the authorization server's {name} is no address to be trusted")
        return given

    authorization, token = address("authorization_endpoint"), address("token_endpoint")
    if authorization is None or token is None:
        raise UpstreamError("the authorization server lacks an endpoint for grants")
    if "S256" not in _texts(found.get("code_challenge_methods_supported")):
        # Without it a code that is stolen on its way could be used (RFC 7636).
        raise UpstreamError("the authorization server does not support PKCE with S256")
    methods = found.get("token_endpoint_auth_methods_supported")
    return Place(
        url=url,
        resource=resource,
        issuer=str(found["issuer"]),
        authorization_endpoint=authorization,
        token_endpoint=token,
        registration_endpoint=address("registration_endpoint"),
        revocation_endpoint=address("revocation_endpoint"),
        says_issuer=found.get("authorization_response_iss_parameter_supported") is True,
        # RFC 8414 §2: what says nothing supports this one.
        methods=_texts(methods) if methods is not None else ("client_secret_basic",),
        scope=scope[:_MAX_SCOPE],
    )


async def registered(place: Place, redirect_uri: str, talk: Talk) -> tuple[Client, float]:
    """The hub as a new client there, and until when its secret is good (0: for ever)."""
    if place.registration_endpoint is None:
        raise NotConfigured(
            f"{place.issuer} registers no clients by itself",
            hint=f"Register one with the redirect URI {redirect_uri} there, and give its clientId "
            "in the server's credentials in mcp.json.",
        )
    confidential = "client_secret_basic" in place.methods
    wanted = "client_secret_basic" if confidential else "none"
    asked = {
        "client_name": "Flotilla",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": wanted,
        **({"scope": place.scope} if place.scope else {}),
    }
    try:
        told = await talk.post_json(place.registration_endpoint, asked)
    except OAuthRefused as error:
        raise NotConfigured(
            f"{place.issuer} did not register the hub ({error.error})",
            hint="Register a client there, and give its clientId in mcp.json.",
        ) from None
    client_id, secret = told.get("client_id"), told.get("client_secret")
    if not isinstance(client_id, str) or not client_id:
        raise UpstreamError(f"{place.issuer} registered the hub without an ID")
    if secret is not None and not isinstance(secret, str):
        raise UpstreamError(f"{place.issuer} registered the hub with a secret that is none")
    method = str(told.get("token_endpoint_auth_method", wanted))
    until = told.get("client_secret_expires_at", 0)
    known = isinstance(until, (int, float)) and not isinstance(until, bool)
    return client_of(client_id, secret, (method,)), float(until) if known else 0.0


def client_of(client_id: str, secret: str | None, methods: tuple[str, ...]) -> Client:
    """The client, which says who it is in the best way that the server takes. Pure."""
    if secret is None:
        return Client(client_id)
    only_post = "client_secret_post" in methods and "client_secret_basic" not in methods
    return Client(client_id, secret, "client_secret_post" if only_post else "client_secret_basic")


def challenge_in(header: str | None) -> dict[str, str]:
    """What a `WWW-Authenticate` says of where to get tokens (RFC 9728 §5.1). Pure."""
    if header is None or "bearer" not in header.lower():
        return {}
    return dict(_PARAMETER.findall(header[:8192]))


def is_resource(named: object, url: str) -> bool:
    """Whether what metadata calls the resource is this server, or an address above it. Pure.

    RFC 9728 §3.3: whoever says so of another's address must not be believed.
    """
    if not isinstance(named, str):
        return False
    try:
        one, other = urlsplit(named), urlsplit(url)
    except ValueError:
        return False
    above = one.path.rstrip("/")
    inside = other.path == one.path or f"{other.path.rstrip('/')}/".startswith(f"{above}/")
    return (one.scheme, one.netloc.lower()) == (other.scheme, other.netloc.lower()) and inside


async def token_endpoint_of(issuer: str, talk: Talk) -> str | None:
    """Where that provider gives tokens, by its own metadata."""
    endpoint = (await _server(issuer, talk, near=True)).get("token_endpoint")
    return endpoint if isinstance(endpoint, str) else None


async def _protected(url: str, talk: Talk, near: bool) -> tuple[Mapping[str, Any], str]:
    """The server's metadata as a protected resource, and the scope that it asks for."""
    challenge: dict[str, str] = {}
    try:
        told = await talk.get(url, {"accept": "application/json, text/event-stream"})
        challenge = challenge_in(told.headers.get("www-authenticate"))
    except UpstreamError:
        pass  # its metadata may be where it usually is
    places = [challenge["resource_metadata"]] if "resource_metadata" in challenge else []
    parts = urlsplit(url)
    if parts.path.strip("/"):
        places.append(parts._replace(path=f"{WELL_KNOWN}{parts.path}", query="").geturl())
    places.append(parts._replace(path=WELL_KNOWN, query="").geturl())
    for place in places:
        if not is_safe(place, near=near):
            continue
        told = await talk.get(place)
        if told.status == 200 and told.body:
            if not is_resource(told.body.get("resource"), url):
                raise UpstreamError(f"{place} speaks of another resource than {url}")
            return told.body, challenge.get("scope", "")
    return {}, challenge.get("scope", "")


async def _server(issuer: str, talk: Talk, near: bool) -> Mapping[str, Any]:
    if not is_safe(issuer, near=near):
        raise UpstreamError("the server names an issuer that cannot be trusted")
    away: FlotillaError | None = None
    for url in metadata_urls(issuer)[::-1]:
        try:
            told = await talk.get(url)
        except FlotillaError as error:
            away = error
            continue
        if told.status != 200 or not told.body:
            continue
        if str(told.body.get("issuer")).rstrip("/") != issuer.rstrip("/"):
            # RFC 8414 §3.3: else one server could speak for another. Libraries that keep URLs as
            # objects write a slash behind a bare host, which makes it no other host.
            raise UpstreamError(f"{url} speaks of another issuer")
        return told.body
    raise away or UpstreamError(f"{issuer} has no metadata of an authorization server")


def _issuer_in(about: Mapping[str, Any], near: bool) -> str | None:
    found = [
        each for each in _texts(about.get("authorization_servers")) if is_safe(each, near=near)
    ]
    return found[0] if found else None


def _resource(about: Mapping[str, Any], url: str) -> str:
    return str(about["resource"]) if about else urlsplit(url)._replace(query="").geturl()


def _scopes(about: Mapping[str, Any]) -> str:
    return " ".join(_texts(about.get("scopes_supported")))


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(each for each in cast("list[object]", value) if isinstance(each, str))
