"""The people and programs of an OpenID provider, known by the JWTs that it signs for this hub."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import jwt
import structlog

from flotilla import Principal
from master.principals.claims import PREFIX, TYPES, Audiences, caller_of
from master.principals.credential import BadBearer, Credential
from master.principals.keys import ALGORITHMS, Keys
from master.principals.seen import Seen
from master.principals.settings import OpenIdSettings

log = structlog.get_logger(__name__)

SKEW_S = 60.0
"""By so much the provider's clock and ours may differ."""
LONGEST_S = 86_400.0
"""A token is judged anew after this, however long it says that it lives."""
MAX_REMEMBERED = 4096
"""Tokens; beyond, the one used longest ago is judged anew, and its streams end."""
TURN_S = 5.0
_NEEDED = ["exp", "iat", "iss", "aud", "sub"]


class OpenIdPeople:
    """Judges a JWT once, and knows it until it runs out or its key is dropped.

    `clock` tells seconds since 1970; at `most` so many tokens are known at once.
    """

    def __init__(
        self,
        settings: OpenIdSettings,
        audiences: Audiences,
        keys: Keys,
        seen: Seen,
        *,
        clock: Callable[[], float] = time.time,
        most: int = MAX_REMEMBERED,
    ) -> None:
        self._settings = settings
        self._audiences = audiences
        self._keys = keys
        self._seen = seen
        self._clock = clock
        self._most = most
        self._remembered: OrderedDict[bytes, Credential] = OrderedDict()

    def at_hand(self, digest: bytes) -> Credential | None:
        credential = self._remembered.get(digest)
        if credential is not None:
            self._remembered.move_to_end(digest)
        return credential

    async def judged(self, token: str, digest: bytes) -> Credential | None:
        """The credential of a JWT; None for what is none. BadBearer, NoRight or Unavailable."""
        if token.count(".") != 2:
            return None
        header = _header(token)
        kid = header.get("kid")
        key = await self._keys.find(kid)
        if key is None:
            raise BadBearer("the token names a key that the provider does not have")
        if header["alg"] not in key.algorithms:
            raise BadBearer("the token is signed in a way that its key is not for")
        claims = self._verified(token, key.public, header["alg"])
        caller = replace(caller_of(claims, self._settings, self._audiences), subject=token)
        now = self._clock()
        until = min(int(claims["exp"]), int(now + LONGEST_S)) + SKEW_S
        await self._seen.note(caller.principal, now)
        known = self._remembered.get(digest)
        if known is not None and not known.ended and known.until > now:
            # Two requests brought it at once: what ends it must end both.
            return known
        credential = self._remembered[digest] = Credential(caller, until, key.kid)
        if len(self._remembered) > self._most:
            self._remembered.popitem(last=False)[1].end()
        return credential

    async def still(self, principal: Principal) -> Principal | None:
        """That person, where they were here lately: what the provider thinks of them is not asked.

        Their roles are those of the newest token, as far as the principal had them.
        """
        if not principal.name.startswith(PREFIX):
            return None
        roles = await self._seen.roles(principal.name, self._clock())
        if roles is None:
            return None
        return Principal(principal.name, tuple(each for each in principal.roles if each in roles))

    def turn(self, now: float) -> None:
        """Forget, with their open requests, tokens that ran out or whose key is no more."""
        known = self._keys.ids
        for digest, credential in list(self._remembered.items()):
            if credential.until <= now or credential.mark not in known:
                del self._remembered[digest]
                credential.end()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Keys are fetched anew within as they grow old, so that a dropped one counts no more."""
        turning = asyncio.create_task(self._keep_up())
        try:
            yield
        finally:
            turning.cancel()
            await asyncio.wait({turning})

    async def _keep_up(self) -> None:
        while True:
            try:
                if self._keys.due:
                    await self._keys.refresh()
            except Exception:
                log.exception("openid_keys_not_refreshed")
            await asyncio.sleep(TURN_S)

    def _verified(self, token: str, public: Any, algorithm: str) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                public,
                algorithms=[algorithm],
                audience=self._audiences.taken(),
                issuer=self._settings.issuer,
                leeway=SKEW_S,
                options={"require": _NEEDED},
            )
        except jwt.ExpiredSignatureError:
            raise BadBearer("the token has expired") from None
        except jwt.InvalidAudienceError:
            raise BadBearer("the token was made for another audience") from None
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError) as error:
            log.info("bad_jwt", reason=f"{type(error).__name__}: {error}"[:200])
            raise BadBearer("the token is not valid") from None


def _header(token: str) -> dict[str, Any]:
    """The header of a JWT that may be one for us; BadBearer for any other."""
    try:
        header: dict[str, Any] = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError) as error:
        raise BadBearer("the token is neither one of the fleet nor a JWT") from error
    if header.get("alg") not in ALGORITHMS:
        raise BadBearer("the token is not signed in a way that is taken here")
    # What a header declares critical we do not know (RFC 7515 §4.1.11).
    kind, kid = header.get("typ", "JWT"), header.get("kid")
    if str(kind).lower() not in TYPES or "crit" in header:
        raise BadBearer("the token is no access token")
    if kid is not None and not isinstance(kid, str):
        raise BadBearer("the token does not name its key by a string")
    return header
