"""An OpenID provider's public keys: fetched, kept while it is away, dropped when it drops them."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from flotilla import Unavailable
from flotilla.json_text import from_json
from master.principals.settings import is_safe

log = structlog.get_logger(__name__)

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""All with a public key: none, and what has a shared secret (HS256), is no signature to us."""
AGAIN_S = 10.0
"""Between two fetches, whoever asks for keys that are not there."""
FRESH_S, FRESH_LEAST_S, FRESH_MOST_S = 600.0, 60.0, 86_400.0
"""How long keys count as new: usually, and the bounds of what the provider says (`max-age`)."""
STALE_OK_S = 86_400.0
"""So long known keys go on while the provider is away."""
ANSWER_S = 5.0
MAX_BYTES = 512 * 1024
MAX_KEYS = 64
MIN_RSA_BITS = 2048

_TYPE_OF = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=(\d{1,9})")


@dataclass(frozen=True, slots=True)
class Key:
    """One public key: its ID, what it may verify, and the form in which PyJWT takes it."""

    kid: str
    algorithms: frozenset[str]
    public: Any


@dataclass(frozen=True, slots=True)
class KeySet:
    keys: Mapping[str, Key]
    fetched_at: float
    fresh_s: float


class Keys:
    """Fetched when first asked for; `clock` is monotonic.

    One fetch at a time, and none within `again_s` of the last, however many tokens name keys that
    are not there.
    """

    def __init__(
        self,
        issuer: str,
        jwks_url: str | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        again_s: float = AGAIN_S,
    ) -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._clock = clock
        self._again_s = again_s
        self._known: KeySet | None = None
        self._asked_at: float | None = None
        self._away: str | None = None
        self._turn = asyncio.Lock()
        self.fetches = 0
        """How often the provider was asked for its keys."""

    @property
    def ids(self) -> frozenset[str]:
        return frozenset() if self._known is None else frozenset(self._known.keys)

    @property
    def due(self) -> bool:
        """Whether what is known is old enough to be fetched anew."""
        known = self._known
        return known is not None and self._clock() - known.fetched_at > known.fresh_s

    async def find(self, kid: str | None) -> Key | None:
        """The key of that ID, or the only one; None where the provider has none such.

        Unavailable where the provider does not answer and nothing is known.
        """
        key = self._at_hand(kid)
        if key is None:
            await self.refresh()
            key = self._at_hand(kid)
        if key is None and self._away is not None:
            raise Unavailable(f"the OpenID provider does not answer ({self._away})")
        return key

    async def refresh(self) -> None:
        """Fetch the keys, unless that was done just now; a failure leaves what is known."""
        async with self._turn:
            now = self._clock()
            if self._asked_at is not None and now - self._asked_at < self._again_s:
                return
            self._asked_at = now
            try:
                async with asyncio.timeout(ANSWER_S):
                    self._known = await self._fetched(now)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                away = str(error) or type(error).__name__
                if self._away is None:
                    log.warning("openid_provider_away", issuer=self._issuer, reason=away[:300])
                self._away = away[:300]
                if self._known and now - self._known.fetched_at > STALE_OK_S:
                    self._known = None
            else:
                if self._away is not None:
                    log.info("openid_provider_back", issuer=self._issuer)
                self._away = None

    def _at_hand(self, kid: str | None) -> Key | None:
        if self._known is None:
            return None
        keys = self._known.keys
        if kid is None:
            return next(iter(keys.values())) if len(keys) == 1 else None
        return keys.get(kid)

    async def _fetched(self, now: float) -> KeySet:
        self.fetches += 1
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            url = self._jwks_url or await self._discovered(session)
            body, headers = await _json_at(session, url)
        keys = read_keys(body)
        if not keys:
            raise ValueError(f"{url} has no key that could verify a token")
        return KeySet({key.kid: key for key in keys}, now, fresh_s(headers.get("cache-control")))

    async def _discovered(self, session: aiohttp.ClientSession) -> str:
        """`jwks_uri` of the provider's metadata (OpenID Connect Discovery §4, RFC 8414 §3)."""
        wrong: ValueError | None = None
        for url in metadata_urls(self._issuer):
            try:
                found, _ = await _json_at(session, url)
            except ValueError as error:
                wrong = error
                continue
            if found.get("issuer") != self._issuer:
                raise ValueError(f"{url} speaks of another issuer")
            jwks_url = found.get("jwks_uri")
            if not isinstance(jwks_url, str) or not is_safe(jwks_url):
                raise ValueError(f"{url} names no jwks_uri that can be trusted")
            return jwks_url
        raise wrong or ValueError("no metadata")


def metadata_urls(issuer: str) -> tuple[str, str]:
    """Where a provider's metadata may be: after its path, or before it."""
    parts = urlsplit(issuer)
    before = parts._replace(path=f"/.well-known/oauth-authorization-server{parts.path.rstrip('/')}")
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration", before.geturl()


def read_keys(body: Mapping[str, Any]) -> list[Key]:
    """The keys of a JWK set (RFC 7517) that may verify signatures; the others are left out."""
    given = body.get("keys")
    if not isinstance(given, list):
        raise ValueError("the provider's keys are no JWK set")
    found = (_key(each) for each in cast("list[object]", given)[:MAX_KEYS])
    return [key for key in found if key is not None]


def fresh_s(cache_control: str | None) -> float:
    """For how long keys need not be fetched anew, by the header that came with them."""
    found = _MAX_AGE.search((cache_control or "").lower())
    wanted = FRESH_S if found is None else float(found[1])
    return min(max(wanted, FRESH_LEAST_S), FRESH_MOST_S)


def _key(given: object) -> Key | None:
    if not isinstance(given, dict):
        return None
    jwk = cast("dict[str, Any]", given)
    kid, operations = jwk.get("kid", ""), jwk.get("key_ops", ["verify"])
    verifies = isinstance(operations, list) and "verify" in operations
    if not isinstance(kid, str) or jwk.get("use", "sig") != "sig" or not verifies:
        return None
    algorithms = frozenset(
        name
        for name in ALGORITHMS
        if _TYPE_OF[name[:2]] == jwk.get("kty") and jwk.get("alg", name) == name
    )
    if not algorithms or "d" in jwk:
        # With its private part it is no secret of the provider's any more.
        return None
    public: Any = None
    usable: set[str] = set()
    for name in algorithms:
        try:
            public = jwt.PyJWK(jwk, algorithm=name).key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
        if _fits(name, public):
            usable.add(name)
    return Key(kid, frozenset(usable), public) if usable else None


def _fits(algorithm: str, public: Any) -> bool:
    """RFC 7518 §3.3 and §3.4: RSA of at least 2048 bits, and for each ES its own curve."""
    if isinstance(public, RSAPublicKey):
        return public.key_size >= MIN_RSA_BITS
    curve = getattr(getattr(public, "curve", None), "name", None)
    wanted = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}.get(algorithm)
    return curve == wanted


async def _json_at(
    session: aiohttp.ClientSession, url: str
) -> tuple[dict[str, Any], Mapping[str, str]]:
    """A JSON object; ValueError for anything else. Redirects are not followed."""
    headers = {"accept": "application/json"}
    async with session.get(url, allow_redirects=False, headers=headers) as response:
        if response.status != 200:
            raise ValueError(f"{url} answered {response.status}")
        raw = bytearray()
        async for chunk in response.content.iter_chunked(65_536):
            raw += chunk
            if len(raw) > MAX_BYTES:
                raise ValueError(f"{url} answered more than {MAX_BYTES} bytes")
        body: Any = from_json(bytes(raw))
        if not isinstance(body, dict):
            raise ValueError(f"{url} answered no JSON object")
        return cast("dict[str, Any]", body), response.headers
