"""Requests to Vault's HTTP API: bounded, over verified TLS, and never to another host.

Shapes and status codes: Vault API documentation, pages "HTTP API" and "/sys/health".
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
import structlog

from flotilla import Misconfigured, Unavailable, UpstreamError
from flotilla.backoff import delay_s
from flotilla.json_text import from_json, to_json
from secret_store.vault.settings import VaultSettings

log = structlog.get_logger(__name__)

MAX_BYTES = 8 * 1024 * 1024
CONNECTIONS = 16
TRIES = 3
"""Of a read; nothing else is asked twice."""
_AGAIN = frozenset({412, 429, 500, 502, 504})
_SPOKEN = frozenset({200, 201, 204, 400, 403, 404, 405})
_REASONS: Mapping[int, tuple[str, str]] = {
    429: ("vault_busy", "takes no more requests just now"),
    472: ("vault_secondary", "is a secondary for disaster recovery, which gives no secrets"),
    473: ("vault_standby", "is a standby that does not answer this"),
    474: ("vault_standby", "is a standby that cannot reach the active node"),
    501: ("vault_uninitialized", "is not initialized"),
    503: ("vault_out_of_service", "is out of service"),
    530: ("vault_removed", "was removed from its cluster"),
}
_HEALTH: Mapping[int, tuple[str, str]] = {
    **_REASONS,
    429: ("vault_standby", "is a standby"),
    503: ("vault_sealed", "is sealed"),
}


class NoAnswer(Unavailable):
    """It may have been done: it was sent, and no answer told of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is a JSON object, empty where there was none; it may hold secrets."""

    status: int
    body: dict[str, Any] = field(repr=False)

    @property
    def data(self) -> dict[str, Any]:
        return _object(self.body.get("data"))

    @property
    def auth(self) -> dict[str, Any]:
        return _object(self.body.get("auth"))

    @property
    def errors(self) -> tuple[str, ...]:
        given = self.body.get("errors")
        if not isinstance(given, list):
            return ()
        return tuple(each for each in cast("list[object]", given) if isinstance(each, str))


class Speaker:
    """Asks one Vault. Unavailable says why none answers; UpstreamError is for what is no Vault."""

    def __init__(self, settings: VaultSettings) -> None:
        self._base = settings.base
        self._namespace = settings.namespace
        self._tls = tls_context(settings)
        self._timeout = aiohttp.ClientTimeout(total=settings.timeout_s)
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        # A redirect, a proxy of the environment or a cookie could carry the token elsewhere.
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=self._tls or True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            trust_env=False,
        ) as session:
            self._session = session
            try:
                yield
            finally:
                self._session = None

    async def read(
        self, path: str, query: Mapping[str, str] | None = None, *, token: str
    ) -> Answer:
        """GET, up to three times; the answer's status is one of 200, 204, 400, 403, 404, 405."""
        for tried in range(1, TRIES):
            try:
                answer = await self._sent("GET", path, query, None, token)
            except _Away:
                pass
            else:
                if answer.status not in _AGAIN:
                    return _spoken(answer)
            await asyncio.sleep(delay_s(tried, base_s=0.1))
        return _spoken(await self._sent("GET", path, query, None, token))

    async def write(
        self, path: str, body: Mapping[str, Any] | None = None, *, token: str | None = None
    ) -> Answer:
        """POST, once; NoAnswer where it is not known whether it was done."""
        return _spoken(await self._sent("POST", path, None, body or {}, token))

    async def health(self) -> str | None:
        """Why this node gives nothing just now, or None. Nobody needs a token for that."""
        # A standby passes on what it is asked to the active node.
        query = {"standbyok": "true", "perfstandbyok": "true"}
        answer = await self._sent("GET", "sys/health", query, None, None, health=True)
        if answer.status == 200:
            return None
        _, why = _HEALTH.get(answer.status, ("", f"answers {answer.status} when asked how it is"))
        return f"Vault {why}"

    async def _sent(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        token: str | None,
        *,
        health: bool = False,
    ) -> Answer:
        session = self._session
        if session is None:
            raise Unavailable("the secrets spoke is not open")
        headers = {"X-Vault-Request": "true", "accept": "application/json"}
        if token is not None:
            headers["X-Vault-Token"] = token
        if self._namespace is not None and not health:
            # The health of a node is told in the root namespace alone.
            headers["X-Vault-Namespace"] = self._namespace
        try:
            async with session.request(
                method,
                f"{self._base}/v1/{path}",
                params=query,
                data=None if body is None else to_json(dict(body)),
                headers=headers,
                allow_redirects=False,
            ) as response:
                return Answer(response.status, _body(await _bounded(response)))
        except aiohttp.ClientConnectorError as error:
            raise _unreachable(error) from None
        except TimeoutError:
            raise NoAnswer(
                "Vault does not answer in time", details={"reason": "vault_hangs"}
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _Broke(
                f"the connection to Vault broke ({type(error).__name__})",
                details={"reason": "vault_unreachable"},
            ) from None


class _Away(Unavailable):
    """Nothing was sent: asking again does no harm."""


class _Broke(NoAnswer, _Away):
    """As NoAnswer for a write; a read may be asked again."""


def tls_context(settings: VaultSettings) -> ssl.SSLContext | None:
    """What verifies Vault's certificate, None for plain HTTP on loopback."""
    if settings.base.startswith("http://"):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(
            f"SECRETS_VAULT_CA_FILE: {settings.ca_file} cannot be used: {error}"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def told(answer: Answer) -> str:
    """What Vault said was wrong, for the log alone: it is a stranger's text."""
    return "; ".join(answer.errors)[:300]


def _spoken(answer: Answer) -> Answer:
    """The answer, if it is one that Vault gives to a request that it heard out."""
    status = answer.status
    if status in _SPOKEN:
        if status == 404 and not ({"errors", "data"} & answer.body.keys()):
            # Of a proxy, say: taken for a secret that is not there it would be written anew.
            raise _not_vault("answers 404 as Vault does not")
        return answer
    if 300 <= status < 400:
        raise Unavailable(
            "Vault points to another node, where no token of ours is sent",
            hint="Let SECRETS_VAULT_URL name the active node or the cluster's balancer.",
            details={"reason": "vault_standby"},
        )
    if status == 503 and any("sealed" in each for each in answer.errors):
        raise Unavailable("Vault is sealed", details={"reason": "vault_sealed"})
    if status in _REASONS:
        reason, why = _REASONS[status]
        raise Unavailable(f"Vault {why}", details={"reason": reason})
    if status >= 500 or status == 412:
        log.warning("vault_failed", status=status, told=told(answer))
        raise NoAnswer(f"Vault failed (HTTP {status})", details={"reason": "vault_failed"})
    raise _not_vault(f"answers {status}")


def _not_vault(why: str) -> UpstreamError:
    return UpstreamError(
        f"what is at SECRETS_VAULT_URL {why}",
        hint="Let it name a Vault or OpenBao, without /v1.",
        details={"reason": "vault_garbage"},
    )


def _unreachable(error: aiohttp.ClientConnectorError) -> Unavailable:
    if isinstance(error, aiohttp.ClientSSLError):
        return Unavailable(
            "Vault's certificate or TLS is not to be trusted",
            hint="Let SECRETS_VAULT_CA_FILE name the authority that vouches for it.",
            details={"reason": "vault_tls"},
        )
    return _Away(
        f"Vault cannot be reached ({error.os_error.strerror or type(error).__name__})",
        details={"reason": "vault_unreachable"},
    )


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    raw = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        raw += chunk
        if len(raw) > MAX_BYTES:
            raise UpstreamError(
                f"Vault answered more than {MAX_BYTES} bytes", details={"reason": "vault_garbage"}
            )
    return bytes(raw)


def _body(raw: bytes) -> dict[str, Any]:
    try:
        return _object(from_json(raw))
    except ValueError:
        return {}


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
