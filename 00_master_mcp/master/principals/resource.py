"""What the hub says of itself as a protected resource (RFC 9728), and where clients find it."""

from collections.abc import Collection, Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from flotilla.serving.gates import LOOPBACK_NAMES
from flotilla.serving.headers import headers_of
from master.principals.claims import Audiences
from master.principals.settings import OpenIdSettings

WELL_KNOWN = "/.well-known/oauth-protected-resource"
MCP = "/mcp"


class Resource:
    """The hub as clients address it: `https://hub.example.org`, `.../mcp`, `.../mcp/p/<profile>`.

    Without `public_url` it is what this machine calls itself, at `port`: no name that a request
    brings counts, for a token that was made for another server must not become good here by it.
    """

    def __init__(
        self,
        settings: OpenIdSettings,
        profiles: Iterable[str],
        *,
        public_url: str | None,
        port: int,
    ) -> None:
        self._settings = settings
        own = sorted(f"[{name}]" if ":" in name else name for name in LOOPBACK_NAMES)
        local = [f"http://{name}:{port}" for name in own]
        self._bases = [public_url.rstrip("/")] if public_url else local
        self._usual = self._bases[0] if public_url else f"http://localhost:{port}"
        self._suffixes = {MCP: MCP, **{f"{MCP}/p/{name}": f"{MCP}/p/{name}" for name in profiles}}

    @property
    def paths(self) -> Collection[str]:
        """Where its metadata is, open to all."""
        return frozenset({WELL_KNOWN, *(f"{WELL_KNOWN}{suffix}" for suffix in self._suffixes)})

    def audiences(self) -> Audiences:
        """Whose tokens are taken: those for the hub, for its `/mcp`, and what the settings add."""
        whole = {f"{base}{path}" for base in self._bases for path in ("", "/", MCP)}
        prefix = f"{MCP}/p/"
        profiles = {
            f"{base}{suffix}": suffix.removeprefix(prefix)
            for base in self._bases
            for suffix in self._suffixes
            if suffix.startswith(prefix)
        }
        return Audiences(frozenset({*whole, *self._settings.audience}), profiles)

    def challenge(self, scope: Scope, error: str | None, lacks: str | None) -> str | None:
        """What WWW-Authenticate adds (RFC 6750 §3, RFC 9728 §5.1)."""
        told = [] if error is None else [f'error="{error}"']
        if self._settings.issuer is not None:
            path: str = scope["path"]
            suffix = path if path in self._suffixes else ""
            told.append(f'resource_metadata="{self._base(scope)}{WELL_KNOWN}{suffix}"')
            if lacks or self._settings.scope:
                told.append(f'scope="{lacks or self._settings.scope}"')
        return ", ".join(told) or None

    def routes(self) -> list[BaseRoute]:
        return [Route(path, self._metadata, methods=["GET"]) for path in sorted(self.paths)]

    async def _metadata(self, request: Request) -> Response:
        if self._settings.issuer is None:
            told = {"code": "not_found", "message": "this hub knows no OpenID provider"}
            return JSONResponse({"error": told}, 404)
        suffix = request.url.path.removeprefix(WELL_KNOWN)
        about: dict[str, Any] = {
            "resource": f"{self._base(request.scope)}{suffix}",
            "authorization_servers": [self._settings.issuer],
            "bearer_methods_supported": ["header"],
            "resource_name": "Flotilla",
        }
        if self._settings.scope is not None:
            about["scopes_supported"] = [self._settings.scope]
        return JSONResponse(about, headers={"cache-control": "max-age=300"})

    def _base(self, scope: Scope) -> str:
        """The hub as this client calls it, where that is one of its own names."""
        asked = f"{scope.get('scheme', 'http')}://{headers_of(scope).get('host', '')}"
        return asked if asked in self._bases else self._usual
