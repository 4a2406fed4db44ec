"""The caller's own sign-in, exchanged for a token of the external server (RFC 8693).

The token that a caller came with goes to the authorization server that is named in the entry, and
to nobody else; what comes back is for the external server alone.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

import jwt

from flotilla import FlotillaError
from flotilla.credentials import secret_named
from flotilla.redaction import Redactor
from master.outbound.choice import AUTHORIZATION, Exchanged
from master.outbound.discovery import client_of, token_endpoint_of
from master.outbound.grant import AHEAD_S, Client, tokens_in
from master.outbound.shown import Missing, Shown, shown
from master.outbound.sources import MOST, Stored
from master.outbound.talking import Talk, was_not_done

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
UNTOLD_S = 300.0
"""How long a token is used whose server does not say how long it lives."""


class ExchangeSource:
    """`clock` tells seconds since 1970. The hub itself gets a token in its own name."""

    def __init__(
        self,
        server: str,
        choice: Exchanged,
        client_secret: str | None,
        stored: Stored,
        talk: Talk,
        redactor: Redactor,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._server = server
        self._choice = choice
        self._client_secret = client_secret
        self._stored = stored
        self._talk = talk
        self._redactor = redactor
        self._clock = clock
        self._at_hand: OrderedDict[str, tuple[float, Shown]] = OrderedDict()
        self._issuers: set[str] = set()
        """Those whose token endpoint is the one of the entry."""

    async def of(self, principal: str, subject: str | None) -> Shown:
        """`subject` is None for the hub itself, and for whoever did not sign in by a JWT."""
        if subject is None and principal != "hub":
            raise Missing(
                f"{principal} did not sign in at the provider, and so has no token for "
                f"{self._server}",
                hint="Sign in to the hub by OAuth; a bearer token of the fleet's own cannot be "
                "exchanged.",
                reason="nothing_to_exchange",
            )
        key, now = _key(principal, subject), self._clock()
        known = self._at_hand.get(key)
        if known is not None and known[0] > now:
            self._at_hand.move_to_end(key)
            return known[1]
        if subject is not None:
            await self._check(issuer_of(subject))
        told = await self._asked(subject)
        access, _, expires_at, _ = tokens_in(told, now)
        found = shown(AUTHORIZATION, "Bearer ", access)
        until = (now + UNTOLD_S if expires_at is None else expires_at) - AHEAD_S
        self._redactor.learn_for([access], max(until - now, 0.0) + 3600.0)
        self._at_hand[key] = until, found
        if len(self._at_hand) > MOST:
            self._at_hand.popitem(last=False)
        return found

    async def renewed(self, principal: str, subject: str | None, refused: Shown) -> Shown:
        key = _key(principal, subject)
        known = self._at_hand.get(key)
        if known is not None and known[1].secret == refused.secret:
            del self._at_hand[key]
        return await self.of(principal, subject)

    async def refused_again(self, principal: str) -> None:
        del principal

    async def arrives(self, principal: str, within_s: float) -> bool:
        del principal, within_s
        return False

    async def _check(self, issuer: str) -> None:
        """A caller's token goes back to who signed it, and nowhere else whatever an entry says."""
        if issuer in self._issuers:
            return
        endpoint = await token_endpoint_of(issuer, self._talk)
        if endpoint != self._choice.token_endpoint:
            raise Missing(
                f"the tokenEndpoint of {self._server} is not that of the provider that signed "
                "the caller's token",
                hint="It must be the token_endpoint of FLOTILLA_OIDC_ISSUER.",
                reason="another_issuer",
            )
        self._issuers.add(issuer)

    async def _asked(self, subject: str | None) -> dict[str, object]:
        choice = self._choice
        form = {"audience": choice.audience}
        if choice.scopes:
            form["scope"] = " ".join(choice.scopes)
        if subject is None:
            form |= {"grant_type": "client_credentials"}
        else:
            form |= {
                "grant_type": GRANT,
                "subject_token": subject,
                "subject_token_type": ACCESS,
                "requested_token_type": ACCESS,
            }
        try:
            return await self._talk.post_form(choice.token_endpoint, form, await self._client())
        except FlotillaError as error:
            if not was_not_done(error):
                raise
            raise Missing(
                f"the authorization server gives no token for {self._server}",
                hint="It must let this hub's client exchange tokens for that audience.",
                reason="exchange_refused",
            ) from None

    async def _client(self) -> Client:
        secret = self._client_secret
        if (named := secret_named(secret or "")) is not None:
            secret = await self._stored.value(self._server, named)
            self._redactor.learn([secret])
        return client_of(self._choice.client_id or "flotilla", secret, ("client_secret_basic",))


def issuer_of(token: str) -> str:
    """Who signed a token, which the hub has verified at its door."""
    try:
        return str(jwt.decode(token, options={"verify_signature": False}).get("iss", ""))
    except jwt.PyJWTError:
        return ""


def _key(principal: str, subject: str | None) -> str:
    return hashlib.sha256(f"{principal}\n{subject or ''}".encode()).hexdigest()
