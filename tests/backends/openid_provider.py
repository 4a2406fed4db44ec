"""A real small OpenID provider on loopback, in the process of the test.

    provider = OpenIdProvider()
    async with provider.running():
        provider.issuer                      # http://127.0.0.1:<port>; discovery is below it
        provider.token(sub="ada", aud="http://localhost:8000/mcp", roles=["ops"])   # a signed JWT
        provider.read(token)                 # the claims of one that it issued; raises if it is bad
        provider.rotate()                    # a new signing key; the old one is dropped
        provider.client("robot", "secret")   # a confidential client, for client_credentials
        provider.person = "ada"              # who signs in at /authorize, without any page
        provider.people["ada"] = {"roles": ["ops"], "email": "ada@example.org"}   # her claims
        provider.down = True                 # every endpoint answers 503
        provider.asked["/jwks"]              # how often each path was asked

It speaks OpenID Connect Discovery and RFC 8414 (metadata), RFC 7591 (dynamic registration), RFC
6749 with PKCE S256 (RFC 7636) and `iss` (RFC 9207), RFC 8707 (`resource` becomes the audience),
refresh tokens that are good for one use, client_credentials, RFC 8693 (token exchange), RFC 7009
(revocation). Access tokens are JWTs as RFC 9068 has them.
"""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus, urlencode

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as ec_key
from jwt.algorithms import ECAlgorithm

CODE = "authorization_code"
REFRESH = "refresh_token"
MACHINE = "client_credentials"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
GRANTS = (CODE, REFRESH, MACHINE, EXCHANGE)
CODE_S = 60.0


@dataclass(frozen=True)
class SigningKey:
    kid: str
    private: EllipticCurvePrivateKey

    @classmethod
    def new(cls) -> "SigningKey":
        return cls(f"key-{secrets.token_hex(4)}", ec_key(SECP256R1()))

    @property
    def jwk(self) -> dict[str, Any]:
        public = json.loads(ECAlgorithm.to_jwk(self.private.public_key()))
        return {**public, "kid": self.kid, "use": "sig", "alg": "ES256"}


@dataclass(frozen=True)
class OAuthClient:
    id: str
    secret: str | None
    redirect_uris: tuple[str, ...] = ()


@dataclass(frozen=True)
class Granted:
    """What a code or a refresh token stands for."""

    client: str
    sub: str
    audience: str | None
    scope: str
    redirect_uri: str = ""
    challenge: str = ""
    until: float = field(default_factory=lambda: time.time() + 86_400)


class Refused(Exception):
    """An OAuth error (RFC 6749 §5.2)."""

    def __init__(self, error: str, description: str = "", status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.error, self.description, self.status = error, description, status


class OpenIdProvider:
    def __init__(self) -> None:
        self.issuer = ""
        self.keys = [SigningKey.new()]
        self.person = "ada"
        self.people: dict[str, dict[str, Any]] = {}
        self.clients: dict[str, OAuthClient] = {}
        self.lasts_s = 300.0
        """How long an access token of the token endpoint lives."""
        self.max_age_s: int | None = None
        self.down = False
        self.jwks: Callable[[], web.Response] = self._jwks
        """What /jwks answers; a test may put something else here."""
        self.metadata: dict[str, Any] = {}
        """Members that discovery says otherwise than it should."""
        self.asked: Counter[str] = Counter()
        self.revoked: set[str] = set()
        self._codes: dict[str, Granted] = {}
        self._refresh: dict[str, Granted] = {}

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["OpenIdProvider"]:
        app = web.Application(middlewares=[self._counted])
        app.router.add_get("/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/.well-known/oauth-authorization-server", self._discovery)
        app.router.add_get("/jwks", self._serve_jwks)
        app.router.add_post("/register", self._register)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_post("/revoke", self._revoke)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    def rotate(self, *, keep_old: bool = False) -> None:
        """Sign by a new key from now on."""
        self.keys = [SigningKey.new(), *(self.keys if keep_old else ())]

    def client(
        self, client_id: str, secret: str | None = None, redirect_uris: tuple[str, ...] = ()
    ) -> OAuthClient:
        self.clients[client_id] = OAuthClient(client_id, secret, redirect_uris)
        return self.clients[client_id]

    def token(
        self,
        *,
        sub: str,
        aud: str | list[str] | None,
        lasts_s: float | None = None,
        headers: Mapping[str, Any] | None = None,
        key: SigningKey | None = None,
        **claims: Any,
    ) -> str:
        """An access token; a claim of None is left out."""
        now, key = int(time.time()), key or self.keys[0]
        body = {
            "iss": self.issuer,
            "sub": sub,
            "aud": aud,
            "iat": now,
            "exp": int(now + (self.lasts_s if lasts_s is None else lasts_s)),
            "jti": secrets.token_hex(8),
            **self.people.get(sub, {}),
            **claims,
        }
        stated = {name: value for name, value in body.items() if value is not None}
        marks = {"kid": key.kid, "typ": "at+jwt", **(headers or {})}
        return jwt.encode(stated, key.private, algorithm="ES256", headers=marks)

    def read(self, token: str, audience: str | None = None) -> dict[str, Any]:
        """The claims of a token that this provider issued; jwt.InvalidTokenError for any other."""
        kid = jwt.get_unverified_header(token)["kid"]
        (key,) = [key for key in self.keys if key.kid == kid] or [None]
        if key is None or token in self.revoked:
            raise jwt.InvalidTokenError("no such key, or revoked")
        return jwt.decode(
            token,
            key.private.public_key(),
            algorithms=["ES256"],
            issuer=self.issuer,
            audience=audience,
            options={"verify_aud": audience is not None},
        )

    @web.middleware
    async def _counted(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        self.asked[request.path] += 1
        if self.down:
            return web.Response(status=503)
        try:
            return await handler(request)
        except Refused as refused:
            told = {"error": refused.error, "error_description": refused.description}
            return web.json_response(told, status=refused.status)

    async def _discovery(self, _: web.Request) -> web.Response:
        about = {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/jwks",
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "registration_endpoint": f"{self.issuer}/register",
            "revocation_endpoint": f"{self.issuer}/revoke",
            "response_types_supported": ["code"],
            "grant_types_supported": list(GRANTS),
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": [
                "none",
                "client_secret_basic",
                "client_secret_post",
            ],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "authorization_response_iss_parameter_supported": True,
        }
        return web.json_response({**about, **self.metadata})

    async def _serve_jwks(self, _: web.Request) -> web.Response:
        return self.jwks()

    def _jwks(self) -> web.Response:
        age = {} if self.max_age_s is None else {"cache-control": f"max-age={self.max_age_s}"}
        return web.json_response({"keys": [key.jwk for key in self.keys]}, headers=age)

    async def _register(self, request: web.Request) -> web.Response:
        asked = await request.json()
        secret = None
        if asked.get("token_endpoint_auth_method", "client_secret_basic") != "none":
            secret = secrets.token_urlsafe(24)
        made = self.client(
            f"client-{secrets.token_hex(6)}", secret, tuple(asked.get("redirect_uris", ()))
        )
        told = {**asked, "client_id": made.id}
        if secret is not None:
            told |= {"client_secret": secret, "client_secret_expires_at": 0}
        return web.json_response(told, status=201)

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = request.query
        client = self.clients.get(asked.get("client_id", ""))
        where = asked.get("redirect_uri", "")
        # Nobody is sent to an address that the client did not register.
        if client is None or where not in client.redirect_uris:
            raise Refused("invalid_request", "unknown client or redirect_uri")
        told = {"state": asked["state"]} if "state" in asked else {}
        if asked.get("response_type") != "code" or asked.get("code_challenge_method") != "S256":
            told["error"] = "invalid_request"
        else:
            code = secrets.token_urlsafe(24)
            self._codes[code] = Granted(
                client.id,
                self.person,
                asked.get("resource"),
                asked.get("scope", ""),
                where,
                asked.get("code_challenge", ""),
                time.time() + CODE_S,
            )
            told["code"] = code
        target = f"{where}{'&' if '?' in where else '?'}{urlencode({**told, 'iss': self.issuer})}"
        return web.Response(status=302, headers={"location": target})

    async def _token(self, request: web.Request) -> web.Response:
        asked = {name: str(value) for name, value in (await request.post()).items()}
        client = self._authenticated(request, asked)
        grant = asked.get("grant_type")
        if grant == CODE:
            told = self._for_code(client, asked)
        elif grant == REFRESH:
            told = self._for_refresh(client, asked)
        elif grant == MACHINE:
            told = self._for_machine(client, asked)
        elif grant == EXCHANGE:
            told = self._for_exchange(client, asked)
        else:
            raise Refused("unsupported_grant_type")
        return web.json_response(told, headers={"cache-control": "no-store"})

    async def _revoke(self, request: web.Request) -> web.Response:
        asked = {name: str(value) for name, value in (await request.post()).items()}
        self._authenticated(request, asked)
        self._refresh.pop(asked.get("token", ""), None)
        self.revoked.add(asked.get("token", ""))
        return web.Response()

    def _authenticated(self, request: web.Request, asked: Mapping[str, str]) -> OAuthClient:
        client_id, secret = asked.get("client_id", ""), asked.get("client_secret", "")
        basic = request.headers.get("authorization", "")
        if basic.startswith("Basic "):
            name, _, given = base64.b64decode(basic[6:]).decode().partition(":")
            client_id, secret = unquote_plus(name), unquote_plus(given)
        client = self.clients.get(client_id)
        wrong = client is None or not hmac.compare_digest(client.secret or "", secret)
        if client is None or wrong:
            raise Refused("invalid_client", status=401)
        return client

    def _for_code(self, client: OAuthClient, asked: Mapping[str, str]) -> dict[str, Any]:
        granted = self._codes.pop(asked.get("code", ""), None)
        if granted is None or granted.client != client.id or granted.until < time.time():
            raise Refused("invalid_grant", "no such code")
        digest = hashlib.sha256(asked.get("code_verifier", "").encode()).digest()
        shown = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked.get("redirect_uri") != granted.redirect_uri or shown != granted.challenge:
            raise Refused("invalid_grant", "redirect_uri or code_verifier")
        return self._issued(granted, asked.get("resource"))

    def _for_refresh(self, client: OAuthClient, asked: Mapping[str, str]) -> dict[str, Any]:
        granted = self._refresh.pop(asked.get("refresh_token", ""), None)
        if granted is None or granted.client != client.id:
            raise Refused("invalid_grant", "no such refresh token")
        return self._issued(granted, asked.get("resource"))

    def _for_machine(self, client: OAuthClient, asked: Mapping[str, str]) -> dict[str, Any]:
        if client.secret is None:
            raise Refused("unauthorized_client")
        audience = asked.get("resource", asked.get("audience"))
        token = self.token(
            sub=client.id, aud=audience, client_id=client.id, scope=asked.get("scope")
        )
        return self._told(token, asked.get("scope", ""))

    def _for_exchange(self, client: OAuthClient, asked: Mapping[str, str]) -> dict[str, Any]:
        if asked.get("subject_token_type") != ACCESS_TOKEN:
            raise Refused("invalid_request", "subject_token_type")
        try:
            subject = self.read(asked.get("subject_token", ""))
        except jwt.InvalidTokenError:
            raise Refused("invalid_request", "subject_token") from None
        audience = asked.get("audience", asked.get("resource"))
        if audience is None:
            raise Refused("invalid_target")
        token = self.token(
            sub=subject["sub"],
            aud=audience,
            client_id=client.id,
            scope=asked.get("scope"),
            act={"sub": client.id},
        )
        return {**self._told(token, asked.get("scope", "")), "issued_token_type": ACCESS_TOKEN}

    def _issued(self, granted: Granted, resource: str | None) -> dict[str, Any]:
        audience = resource or granted.audience
        if granted.audience is not None and audience != granted.audience:
            raise Refused("invalid_target")
        token = self.token(
            sub=granted.sub,
            aud=audience,
            client_id=granted.client,
            azp=granted.client,
            scope=granted.scope,
        )
        fresh = secrets.token_urlsafe(24)
        self._refresh[fresh] = granted
        return {**self._told(token, granted.scope), "refresh_token": fresh}

    def _told(self, token: str, scope: str) -> dict[str, Any]:
        told: dict[str, Any] = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(self.lasts_s),
        }
        return {**told, "scope": scope} if scope else told
