"""What a request passes before any route sees it: its correlation ID, its Host, its caller.

Each gate is plain ASGI around another; `app.py` puts them together.
"""

from collections.abc import Awaitable, Callable, Collection
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import structlog
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flotilla import correlation
from flotilla.context import Principal
from flotilla.identity import BadToken, Caller, Verifier
from flotilla.logs import bound
from flotilla.redaction import Redactor
from flotilla.serving.headers import headers_of

log = structlog.get_logger(__name__)

CALLER = "flotilla.caller"
"""Where the ASGI scope of an authenticated request holds its `Caller`."""

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_REMEMBERED = 300
"""Characters of a Host or Origin: a DNS name has at most 253, beside it stand scheme and port."""
BEARER = "bearer "
_CORRELATION_HEADER = correlation.HEADER.encode()

Authenticate = Callable[[Scope, Receive], Awaitable["Admitted | Refused"]]


class Admitted:
    """The caller of a request, and the `receive` that still yields its whole body."""

    def __init__(self, caller: Caller, receive: Receive) -> None:
        self.caller = caller
        self.receive = receive


class Refused:
    """An answer instead of service: an HTTP status and what to do about it.

    `challenge` are further parameters of WWW-Authenticate (RFC 6750 §3), `retry_after_s` says when
    the same request may be served.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: str,
        *,
        challenge: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.challenge = challenge
        self.retry_after_s = retry_after_s

    def headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        if self.status == 401 or self.challenge is not None:
            more = f", {self.challenge}" if self.challenge else ""
            headers["www-authenticate"] = f'Bearer realm="flotilla"{more}'
        if self.retry_after_s is not None:
            headers["retry-after"] = str(self.retry_after_s)
        return headers


def correlated(app: ASGIApp, service: str) -> ASGIApp:
    """Give each request a correlation ID, in its scope, its log lines and its response."""

    async def gate(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        given = headers_of(scope).get(correlation.HEADER)
        correlation_id = correlation.accepted(given) or correlation.new_correlation_id()
        scope[correlation.SCOPE] = correlation_id
        mark = (_CORRELATION_HEADER, correlation_id.encode())

        def marked(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                others = [each for each in message.get("headers", ()) if each[0] != mark[0]]
                message = {**message, "headers": [*others, mark]}
            return send(message)

        with bound(service=service, correlation_id=correlation_id):
            await app(scope, receive, marked)

    return gate


def host_checked(app: ASGIApp, hosts: Collection[str], origins: Collection[str]) -> ASGIApp:
    """Serve only these Host names, and these Origins where a browser sends one (DNS rebinding).

    `hosts` are names without ports; loopback names are always served, at any port, as Host and as
    Origin. Else 421 for the Host and 403 for the Origin.
    """
    served = LOOPBACK_NAMES | {host.lower() for host in hosts}
    is_host = _remembered(lambda host: _name_of(f"//{host}") in served)
    is_origin = _remembered(lambda origin: origin in origins or _name_of(origin) in LOOPBACK_NAMES)

    async def gate(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = headers_of(scope)
            host, origin = headers.get("host", ""), headers.get("origin")
            if not is_host(host):
                refusal = Refused(
                    421,
                    "not_allowed",
                    f"this server is not called {host[:200]!r}",
                    "Add the name to FLOTILLA_ALLOWED_HOSTS if it is yours.",
                )
                await answer(refusal, scope, receive, send)
                return
            if origin is not None and not is_origin(origin):
                refusal = Refused(
                    403,
                    "not_allowed",
                    f"pages of {origin[:200]!r} may not call this server",
                    "Add the origin to FLOTILLA_ALLOWED_ORIGINS if it is yours.",
                )
                await answer(refusal, scope, receive, send)
                return
        await app(scope, receive, send)

    return gate


def authenticated(app: ASGIApp, authenticate: Authenticate, open_paths: Collection[str]) -> ASGIApp:
    """Serve only whom `authenticate` admits; `open_paths` are served to all."""

    async def gate(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in open_paths:
            await app(scope, receive, send)
            return
        verdict = await authenticate(scope, receive)
        if isinstance(verdict, Refused):
            log.warning(
                "request_refused",
                status=verdict.status,
                reason=verdict.message,
                client=(scope.get("client") or ("unknown",))[0],
            )
            await answer(verdict, scope, receive, send)
            return
        principal = verdict.caller.principal
        scope[CALLER] = verdict.caller
        scope["user"] = _sdk_user(principal)
        with bound(principal=principal.name):
            await app(scope, verdict.receive, send)

    return gate


@lru_cache(maxsize=1024)
def _sdk_user(principal: Principal) -> AuthenticatedUser:
    """The user to whom the SDK binds a session, so that no other principal can take it over."""
    roles = list(principal.roles)
    return AuthenticatedUser(AccessToken(token="", client_id=principal.name, scopes=roles))


def hub_only(verifier: Verifier) -> Authenticate:
    """Admit what carries a token of the hub; one made for a certain body only with that body."""

    async def authenticate(scope: Scope, receive: Receive) -> Admitted | Refused:
        token = bearer_token(scope)
        if token is None:
            return _unauthorised("this port takes calls of the hub alone")
        try:
            caller = verifier.unbound(token)
            if caller is not None:
                return Admitted(caller, receive)
            body = await whole_body(receive)
            if body is None:
                return Refused(413, "too_large", "the request has over 4 MiB", "Send less.")
            return Admitted(verifier.verify(token, body), _replayed(body, receive))
        except BadToken as error:
            log.info("bad_hub_token", reason=str(error))
            return _unauthorised("the hub's token is not valid here")

    return authenticate


def bearer_token(scope: Scope) -> str | None:
    """The token of the one Authorization header, or None."""
    value = headers_of(scope).only("authorization")
    if value is None or value[: len(BEARER)].lower() != BEARER:
        return None
    return value[len(BEARER) :].strip() or None


def is_loopback(scope: Scope) -> bool:
    client: Any = scope.get("client")
    return client is not None and client[0] in LOOPBACK_NAMES


async def answer(refusal: Refused, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a refusal in the same shape as a tool's error."""
    body = {
        "error": {
            "code": refusal.code,
            "message": Redactor().text(refusal.message),
            "hint": refusal.hint,
            "correlationId": scope.get(correlation.SCOPE),
            "retryable": refusal.retry_after_s is not None,
        }
    }
    await JSONResponse(body, refusal.status, refusal.headers())(scope, receive, send)


def _unauthorised(message: str) -> Refused:
    return Refused(401, "not_allowed", message, "Connect to the hub instead.")


def _name_of(location: str) -> str | None:
    try:
        return urlsplit(location).hostname
    except ValueError:
        return None


def _remembered(judge: Callable[[str], bool]) -> Callable[[str], bool]:
    """`judge`, which answers at once where it was asked the same lately."""
    lately = lru_cache(maxsize=256)(judge)

    def verdict(value: str) -> bool:
        # A name is never longer; what is must not fill the memory.
        return lately(value) if len(value) <= MAX_REMEMBERED else judge(value)

    return verdict


async def whole_body(receive: Receive) -> bytes | None:
    """The body of a request; None when it has over 4 MiB."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return first.pop() if first else await receive()

    return again
