"""Access tokens by OAuth 2.0 client credentials (RFC 6749 §4.4), kept until they nearly expire."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

import aiohttp
from yarl import URL

from flotilla import NotConfigured, UpstreamError
from flotilla.json_text import from_json
from master.external.openapi.document import members
from master.external.openapi.security import basic
from master.external.openapi.style import is_header_text

EARLY_S = 30.0
"""A token is renewed this long before it expires, so that none expires on its way."""
DEFAULT_LIFE_S = 300.0
"""Where the answer does not say how long a token is good."""
MAX_LIFE_S = 86400.0
MAX_ANSWER_BYTES = 64 * 1024
MAX_TOKENS = 100
"""Sets of scopes that have a token at one time."""


@dataclass(frozen=True, slots=True)
class Client:
    """Where one scheme's tokens come from; `secret` is `client_id:client_secret`."""

    scheme: str
    url: URL
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    good_until: float = 0.0


class Tokens:
    """Fetches each token once, however many calls wait for it.

    `on_new` hears of each new token, so that it can be redacted.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        on_new: Callable[[str], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._on_new = on_new
        self._now = now
        self._tokens: dict[tuple[str, tuple[str, ...]], _Token] = {}
        self._lock = asyncio.Lock()

    async def token(
        self, client: Client, scopes: tuple[str, ...], *, instead_of: str | None = None
    ) -> str:
        """A token that is good now; another one than `instead_of`, which the API refused.

        Raises UpstreamError when the authorisation server gives none.
        """
        key = (client.scheme, scopes)
        async with self._lock:
            known = self._tokens.get(key)
            if known is None or known.value == instead_of or known.good_until <= self._now():
                known = await self._fetched(client, scopes)
                if len(self._tokens) >= MAX_TOKENS:
                    self._tokens.clear()
                self._tokens[key] = known
                self._on_new(known.value)
            return known.value

    async def _fetched(self, client: Client, scopes: tuple[str, ...]) -> _Token:
        form = {"grant_type": "client_credentials"}
        if scopes:
            form["scope"] = " ".join(scopes)
        where = f"the authorisation server at {client.url.origin()}"
        try:
            async with self._session.post(
                client.url,
                data=form,
                headers=_headers(client),
                allow_redirects=False,
            ) as response:
                raw = await response.content.read(MAX_ANSWER_BYTES)
                while not response.content.at_eof() and len(raw) < MAX_ANSWER_BYTES:
                    raw += await response.content.read(MAX_ANSWER_BYTES - len(raw))
                status = response.status
        except aiohttp.ClientError as error:
            raise UpstreamError(f"{where} gave no token: {type(error).__name__}") from None
        try:
            answer = members(from_json(raw))
        except ValueError:
            answer = {}
        if status != 200:
            raise UpstreamError(f"{where} gave no token: HTTP {status}{_code(answer)}")
        return self._read(answer, where)

    def _read(self, answer: Mapping[str, Any], where: str) -> _Token:
        value = answer.get("access_token")
        if not isinstance(value, str) or not value or not is_header_text(value):
            raise UpstreamError(f"{where} answered without an `access_token`")
        kind = answer.get("token_type", "Bearer")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise UpstreamError(f"{where} gives tokens that are no bearer tokens")
        life: object = answer.get("expires_in")
        life_s = DEFAULT_LIFE_S
        if isinstance(life, (int, float)) and life > 0:
            life_s = float(min(life, MAX_LIFE_S))
        # A token that lives shorter than the margin is used for half its life.
        return _Token(value, self._now() + max(life_s - EARLY_S, life_s / 2))


def _headers(client: Client) -> dict[str, str]:
    name, colon, secret = client.secret.partition(":")
    if not colon or not name:
        raise NotConfigured(f"the credential of {client.scheme!r} must be client_id:client_secret")
    # RFC 6749 §2.3.1: each half is form-encoded before they are joined.
    pair = f"{quote_plus(name)}:{quote_plus(secret)}"
    return {"authorization": basic(pair), "accept": "application/json"}


def _code(answer: Mapping[str, Any]) -> str:
    """OAuth's own error code, which is a fixed word and no secret."""
    code = answer.get("error")
    return (
        f" {code[:60]}" if isinstance(code, str) and code.isascii() and code.isprintable() else ""
    )
