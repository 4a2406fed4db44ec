"""A small Vault on loopback, in the process of the test: KV version 2, tokens, logins, health.

    vault = VaultServer()
    async with vault.running():
        vault.url                            # http://127.0.0.1:<port>
        vault.root                           # a token that may all and never ends
        vault.make_token(lease_s=60)         # another, which may all in the KV engine
        vault.make_role("role-id")           # an AppRole; its new secret ID
        vault.wrapped(secret_id)             # a response-wrapping token with it
        vault.service_accounts["jwt"] = "fleet"   # a JWT that may log in with that role
        vault.sealed = True                  # as after `vault operator seal`
        vault.pass_s(30)                     # its clock goes on
        vault.hang_on = "/data/"             # requests of such paths get no answer
        vault.instead = lambda request: web.Response(text="<html>")    # or one that is no Vault's
        vault.asked                          # what it was asked: method, path, headers

Written after the Vault API documentation: pages "KV secrets engine - version 2", "Token auth
method", "AppRole auth method", "Kubernetes auth method", "/sys/health", "/sys/seal-status",
"/sys/wrapping/lookup", "/sys/wrapping/unwrap" and "HTTP API".
"""

import asyncio
import secrets
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

KEPT_BY_DEFAULT = 10
OPEN = ("sys/health", "sys/seal-status", "sys/wrapping/lookup")


class Answered(Exception):
    """An error in Vault's form."""

    def __init__(self, status: int, *errors: str, body: dict[str, Any] | None = None) -> None:
        super().__init__(status, errors)
        self.status, self.body = status, body or {"errors": list(errors)}


@dataclass
class Token:
    id: str
    lease_s: float
    renewable: bool
    asked_at: float
    most_s: float | None = None
    """From its making, beyond which no renewal goes."""
    made_at: float = 0.0

    def ends_at(self) -> float:
        return self.asked_at + self.lease_s if self.lease_s else float("inf")


@dataclass
class Version:
    data: dict[str, Any] | None
    created: str
    deleted: str = ""
    destroyed: bool = False

    def about(self) -> dict[str, Any]:
        return {
            "created_time": self.created,
            "deletion_time": self.deleted,
            "destroyed": self.destroyed,
        }


@dataclass
class Key:
    created: str
    current: int = 0
    max_versions: int = 0
    cas_required: bool = False
    versions: dict[int, Version] = field(default_factory=dict[int, Version])


class VaultServer:
    def __init__(self, mount: str = "secret", version: str = "2") -> None:
        self.mount, self.version = mount, version
        self.url = ""
        self.keys: dict[str, Key] = {}
        self.roles: dict[str, set[str]] = {}
        self.service_accounts: dict[str, str] = {}
        self.wrappings: dict[str, tuple[str, dict[str, Any]]] = {}
        self.lease_s = 3600.0
        """Of the tokens of a login."""
        self.most_s: float | None = None
        self.renewable = True
        self.max_versions = 0
        """Of the engine; 0 is Vault's own default."""
        self.namespace: str | None = None
        self.sealed = False
        self.health_status: int | None = None
        """What /sys/health answers, if not what it should."""
        self.forbidden: set[str] = set()
        """Beginnings of paths that no policy lets anybody ask, but for the root token."""
        self.hang_on: str | None = None
        self.instead: Callable[[web.Request], web.Response | None] | None = None
        self.before: Callable[[web.Request], None] | None = None
        """Called with each request before it is looked at."""
        self.lose_answers_to: str | None = None
        """Requests with that in their path are done, and then the connection is closed."""
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.tokens: dict[str, Token] = {}
        self.root = self.make_token(lease_s=0, renewable=False).id
        self._ahead_s = 0.0
        self._go_on = asyncio.Event()

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncGenerator["VaultServer"]:
        app = web.Application(middlewares=[self._answered], client_max_size=4 * 1024 * 1024)
        app.router.add_route("*", "/v1/{path:.*}", self._route)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
            scheme = "https" if tls else "http"
            self.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            self._go_on.set()
            await runner.cleanup()

    def go_on(self) -> None:
        """Answer what hung until now."""
        self.hang_on = None
        self._go_on.set()

    def now(self) -> float:
        """By which tokens end: a clock that nobody sets."""
        return time.monotonic() + getattr(self, "_ahead_s", 0.0)

    def pass_s(self, seconds: float) -> None:
        self._ahead_s += seconds

    def stamp(self) -> str:
        """RFC 3339 with nine decimals, as Go writes it."""
        moment = datetime.fromtimestamp(time.time() + self._ahead_s, UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S.%f}123Z"

    def make_token(
        self, lease_s: float = 3600, *, renewable: bool = True, most_s: float | None = None
    ) -> Token:
        token = Token(f"hvs.{secrets.token_hex(24)}", lease_s, renewable, self.now(), most_s)
        token.made_at = token.asked_at
        self.tokens[token.id] = token
        return token

    def make_role(self, role_id: str) -> str:
        secret_id = f"{secrets.token_hex(16)}"
        self.roles.setdefault(role_id, set()).add(secret_id)
        return secret_id

    def wrapped(self, secret_id: str, made_at: str = "auth/approle/role/fleet/secret-id") -> str:
        token = f"hvs.wrap{secrets.token_hex(12)}"
        self.wrappings[token] = (made_at, {"secret_id": secret_id, "secret_id_accessor": "a"})
        return token

    def put(self, path: str, data: dict[str, Any], cas: int | None = None) -> dict[str, Any]:
        """A new version, as anybody may write one; Answered when `cas` is not the newest."""
        key = self.keys.get(path) or Key(self.stamp())
        if cas is None and key.cas_required:
            raise Answered(400, "check-and-set parameter required for this call")
        if cas is not None and cas != key.current:
            raise Answered(400, "check-and-set parameter did not match the current version")
        self.keys[path] = key
        key.current += 1
        added = key.versions[key.current] = Version(data, self.stamp())
        most = max(key.max_versions, self.max_versions) or KEPT_BY_DEFAULT
        for number in [each for each in key.versions if each <= key.current - most]:
            del key.versions[number]
        return {**added.about(), "version": key.current, "custom_metadata": None}

    def requests(self, part: str) -> int:
        """How many it was asked with that in their path."""
        return sum(part in path for _, path, _ in self.asked)

    @web.middleware
    async def _answered(
        self,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        path = request.match_info.get("path", "")
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((request.method, path, headers))
        if self.before is not None:
            self.before(request)
        if self.hang_on is not None and self.hang_on in request.path:
            self._go_on.clear()
            await self._go_on.wait()
        other = self.instead(request) if self.instead else None
        if other is not None:
            return other
        try:
            answer = await handler(request)
        except Answered as answered:
            return web.json_response(answered.body, status=answered.status)
        if self.lose_answers_to is not None and self.lose_answers_to in request.path:
            assert request.transport is not None
            request.transport.abort()
        return answer

    async def _route(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        if path == "sys/health":
            return self._health()
        if path == "sys/seal-status":
            return web.json_response({"sealed": self.sealed, "initialized": True, "t": 1, "n": 1})
        if self.sealed:
            raise Answered(503, "Vault is sealed")
        if (request.headers.get("X-Vault-Namespace") or None) != self.namespace:
            raise Answered(404, f'no handler for route "{path}". route entry not found.')
        raw = await request.read()
        body: dict[str, Any] = (await request.json()) if raw else {}
        if path == "sys/wrapping/lookup":
            made_at, _ = self._wrapping(str(body.get("token")), spend=False)
            return _told({"creation_path": made_at, "creation_ttl": 300})
        if path == "sys/wrapping/unwrap":
            _, inside = self._wrapping(request.headers.get("X-Vault-Token", ""), spend=True)
            return _told(inside)
        if path.startswith("auth/") and path.endswith("/login"):
            return self._login(path, body)
        return self._known(request, path, body)

    def _health(self) -> web.Response:
        status = self.health_status or (503 if self.sealed else 200)
        about = {"initialized": True, "sealed": self.sealed, "standby": status in (429, 473)}
        return web.json_response(about, status=status)

    def _wrapping(self, token: str, *, spend: bool) -> tuple[str, dict[str, Any]]:
        found = self.wrappings.pop(token, None) if spend else self.wrappings.get(token)
        if found is None:
            raise Answered(400, "wrapping token is not valid or does not exist")
        return found

    def _login(self, path: str, body: dict[str, Any]) -> web.Response:
        if path == "auth/approle/login":
            if body.get("secret_id") not in self.roles.get(str(body.get("role_id")), set()):
                raise Answered(400, "invalid role or secret ID")
        elif path == "auth/kubernetes/login":
            if self.service_accounts.get(str(body.get("jwt"))) != body.get("role"):
                raise Answered(403, "permission denied")
        else:
            raise Answered(404, f'no handler for route "{path}". route entry not found.')
        token = self.make_token(self.lease_s, renewable=self.renewable, most_s=self.most_s)
        return self._auth(token)

    def _auth(self, token: Token) -> web.Response:
        auth = {
            "client_token": token.id,
            "accessor": token.id[-8:],
            "policies": ["default", "fleet"],
            "lease_duration": int(token.lease_s) if token.lease_s >= 1 else token.lease_s,
            "renewable": token.renewable,
        }
        return web.json_response({"auth": auth, "data": None, "lease_duration": 0})

    def _known(self, request: web.Request, path: str, body: dict[str, Any]) -> web.Response:
        given = request.headers.get("X-Vault-Token", "")
        token = self.tokens.get(given)
        if token is None or token.ends_at() <= self.now():
            raise Answered(403, "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")
        if token.id != self.root and any(path.startswith(each) for each in self.forbidden):
            raise Answered(403, "1 error occurred:\n\t* permission denied\n\n")
        if path.startswith("auth/token/"):
            return self._own(token, path.removeprefix("auth/token/"))
        if path == f"sys/internal/ui/mounts/{self.mount}":
            return _told(
                {"path": f"{self.mount}/", "type": "kv", "options": {"version": self.version}}
            )
        if path.startswith("sys/internal/ui/mounts/"):
            raise Answered(403, "preflight capability check returned 403")
        kind, _, key = path.removeprefix(f"{self.mount}/").partition("/")
        if not path.startswith(f"{self.mount}/") or kind not in ("data", "metadata", "destroy"):
            raise Answered(404, f'no handler for route "{path}". route entry not found.')
        if request.method == "LIST" or request.query.get("list") == "true":
            return self._list(key)
        if request.method == "GET":
            version = int(request.query.get("version", "0"))
            return self._read(key, version) if kind == "data" else self._metadata(key)
        return self._write(kind, key, body)

    def _own(self, token: Token, act: str) -> web.Response:
        now = self.now()
        if act == "lookup-self":
            left = 0 if token.lease_s == 0 else max(0, round(token.ends_at() - now))
            return _told({"id": token.id, "ttl": left, "renewable": token.renewable})
        if act == "revoke-self":
            del self.tokens[token.id]
            return web.Response(status=204)
        if act != "renew-self":
            raise Answered(404)
        if not token.renewable:
            raise Answered(400, "lease is not renewable")
        if token.most_s is not None:
            token.lease_s = min(token.lease_s, token.made_at + token.most_s - now)
        token.asked_at = now
        return self._auth(token)

    def _list(self, folder: str) -> web.Response:
        below = folder.rstrip("/") + "/" if folder else ""
        names = {path.removeprefix(below) for path in self.keys if path.startswith(below)}
        found = {name.partition("/")[0] + ("/" if "/" in name else "") for name in names}
        if not found:
            raise Answered(404)
        return _told({"keys": sorted(found)})

    def _read(self, path: str, number: int) -> web.Response:
        key = self.keys.get(path)
        number = number or (key.current if key else 0)
        found = key.versions.get(number) if key else None
        if key is None or found is None:
            raise Answered(404)
        about = {**found.about(), "version": number, "custom_metadata": None}
        if found.destroyed or (found.deleted and found.deleted <= self.stamp()):
            raise Answered(404, body={"data": {"data": None, "metadata": about}})
        return _told({"data": found.data, "metadata": about})

    def _metadata(self, path: str) -> web.Response:
        key = self.keys.get(path)
        if key is None:
            raise Answered(404)
        newest = key.versions.get(key.current)
        return _told(
            {
                "cas_required": key.cas_required,
                "created_time": key.created,
                "current_version": key.current,
                "custom_metadata": None,
                "delete_version_after": "0s",
                "max_versions": key.max_versions,
                "oldest_version": min(key.versions, default=0),
                "updated_time": newest.created if newest else key.created,
                "versions": {str(number): each.about() for number, each in key.versions.items()},
            }
        )

    def _write(self, kind: str, path: str, body: dict[str, Any]) -> web.Response:
        if kind == "metadata":
            key = self.keys.setdefault(path, Key(self.stamp()))
            key.max_versions = int(body.get("max_versions", key.max_versions))
            return web.Response(status=204)
        if kind == "data":
            return _told(self.put(path, body["data"], body.get("options", {}).get("cas")))
        for number in body["versions"]:
            found = self.keys[path].versions.get(number) if path in self.keys else None
            if found is not None:
                found.destroyed, found.data = True, None
        return web.Response(status=204)


def _told(data: dict[str, Any]) -> web.Response:
    envelope = {"request_id": secrets.token_hex(8), "lease_id": "", "renewable": False}
    return web.json_response({**envelope, "lease_duration": 0, "data": data, "auth": None})
