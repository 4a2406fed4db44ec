"""How a person gives a grant: a link, a page that asks, the authorization server, and back here.

Sources: OAuth 2.1 with PKCE (RFC 7636), resource indicators (RFC 8707), the issuer in the answer
(RFC 9207), and MCP 2025-11-25, URL mode elicitation, on phishing. Every step is good once and bound
to the browser that took the one before; what fails is not tried again with the same step.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import structlog

from flotilla import FlotillaError, NotAllowed
from master.audit.seam import AuditBook, Row
from master.outbound.choice import Granted
from master.outbound.discovery import client_of, place_of, registered
from master.outbound.grant import Client, Grant, Place, tokens_in
from master.outbound.store import GrantStore, Step
from master.outbound.talking import OAuthRefused, Talk

log = structlog.get_logger(__name__)

START, CALLBACK = "/oauth/start", "/oauth/callback"
LINK_S = 600.0
"""How long a link can be opened, and how long signing in may take from then on."""
_BYTES = 32
_MARGIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a grant is wanted for: the server as its entry describes it, handles replaced."""

    server: str
    url: str
    choice: Granted
    client_secret: str | None = None


class Flow:
    """`base_url` is the hub as browsers reach it; `given` hears of every new grant."""

    def __init__(
        self,
        store: GrantStore,
        talk: Talk,
        audit: AuditBook,
        base_url: str,
        given: Callable[[str, str, Grant], Any],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._talk = talk
        self._audit = audit
        self.base_url = base_url.rstrip("/")
        self._given = given
        self._clock = clock

    @property
    def redirect_uri(self) -> str:
        return f"{self.base_url}{CALLBACK}"

    async def link(self, wanted: Wanted, principal: str, *, by: str) -> str:
        """A page of the hub's where that principal may sign in; good once, for ten minutes."""
        opaque, now = secrets.token_urlsafe(_BYTES), self._clock()
        told = {
            "url": wanted.url,
            "choice": wanted.choice.model_dump(mode="json", by_alias=True),
            "client_secret": wanted.client_secret,
        }
        step = Step(principal, wanted.server, now + LINK_S, told)
        await self._store.add_step("link", opaque, step, now)
        self._note("grant.asked", step, by=by)
        return f"{self.base_url}{START}?{urlencode({'link': opaque})}"

    async def opened(self, link: str) -> Step:
        """Whose link it is; NotAllowed for one that is none, or none any more."""
        step = await self._store.step("link", link, self._clock())
        if step is None:
            raise NotAllowed("This link was used already, is too old, or never was one.")
        return step

    async def sent_on(self, link: str, browser: str) -> str:
        """Where that browser signs in; the link is used up. Raises what discovery raises."""
        step = await self.opened(link)
        told = step.told
        place = await place_of(told["url"], Granted.model_validate(told["choice"]), self._talk)
        client = await self._client(step, place)
        state, verifier = secrets.token_urlsafe(_BYTES), secrets.token_urlsafe(48)
        now = self._clock()
        following = Step(
            step.principal,
            step.server,
            now + LINK_S,
            {
                "place": asdict(place),
                "client": asdict(client),
                "verifier": verifier,
                "browser": hashed(browser),
            },
        )
        if not await self._store.move(link, state, following, now):
            raise NotAllowed("This link was used already.")
        asked = {
            "response_type": "code",
            "client_id": client.id,
            "redirect_uri": self.redirect_uri,
            "state": state,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
            "resource": place.resource,
            **({"scope": place.scope} if place.scope else {}),
        }
        joint = "&" if urlsplit(place.authorization_endpoint).query else "?"
        return f"{place.authorization_endpoint}{joint}{urlencode(asked)}"

    async def came_back(self, query: Mapping[str, str], browser: str | None) -> Step:
        """Take the answer of the authorization server; the step whose grant is kept now.

        NotAllowed for what this hub did not ask for or this browser did not take on, and where the
        person said no; Unavailable and UpstreamError for what fails behind.
        """
        state, now = query.get("state", ""), self._clock()
        # Anybody may send nonsense: only what is known costs a write, of which there is one a time.
        known = await self._store.step("state", state, now)
        step = None if known is None else await self._store.use("state", state, now)
        if step is None:
            raise self._refused(None, "state_unknown", "This sign-in is unknown, or it is over.")
        told = step.told
        place = Place.of(told["place"])
        if browser is None or not hmac.compare_digest(hashed(browser), told["browser"]):
            raise self._refused(step, "browser_differs", "Another browser began this sign-in.")
        issuer = query.get("iss")
        if issuer != place.issuer and (issuer is not None or place.says_issuer):
            raise self._refused(step, "issuer_differs", "The answer came from somebody else.")
        if "error" in query:
            raise self._refused(step, "declined", "The sign-in was declined; nothing was kept.")
        if not query.get("code"):
            raise self._refused(step, "no_code", "The answer brought no code.")
        try:
            grant = await self._redeemed(place, Client(**told["client"]), query["code"], told)
        except FlotillaError as error:
            self._note("grant.refused", step, outcome=error.code)
            if isinstance(error, OAuthRefused) and error.error == "invalid_client":
                # It has forgotten the hub: the next sign-in begins with a registration.
                await self._store.forget_client(step.server, place.issuer)
            raise
        await self._keep(step, grant)
        return step

    async def _redeemed(
        self, place: Place, client: Client, code: str, told: Mapping[str, Any]
    ) -> Grant:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": told["verifier"],
            "resource": place.resource,
        }
        answer = await self._talk.post_form(place.token_endpoint, form, client)
        now = self._clock()
        access, refresh, expires_at, scope = tokens_in(answer, now)
        return Grant(
            place=place,
            client=client,
            access_token=access,
            refresh_token=refresh,
            expires_at=expires_at,
            scope=scope or place.scope,
            granted_at=now,
        )

    async def _keep(self, step: Step, grant: Grant) -> None:
        # Written down first: a grant that nobody can account for must not be.
        await self._audit.keep(self._row("grant.given", step, scope=grant.scope))
        try:
            await self._store.put(step.principal, step.server, grant, self._clock())
        except FlotillaError as error:
            self._note("grant.given", step, outcome=error.code)
            raise
        log.info("grant_given", principal=step.principal, server=step.server)
        self._given(step.principal, step.server, grant)

    async def _client(self, step: Step, place: Place) -> Client:
        told = step.told
        if (client_id := told["choice"].get("clientId")) is not None:
            return client_of(client_id, told["client_secret"], place.methods)
        now = self._clock()
        known = await self._store.client(step.server, place.issuer)
        same = known is not None and known["redirect_uri"] == self.redirect_uri
        if known and same and (not known["until"] or known["until"] - now > _MARGIN_S):
            return Client(known["id"], known["secret"], known["method"])
        client, until = await registered(place, self.redirect_uri, self._talk)
        await self._store.put_client(
            step.server, place.issuer, client, self.redirect_uri, until, now
        )
        return client

    def _refused(self, step: Step | None, reason: str, message: str) -> NotAllowed:
        row = self._row("grant.refused", step, outcome=reason)
        if step is None:
            # Anybody can send this, as often as they like.
            self._audit.count(row)
        else:
            self._audit.note(row)
            log.warning("grant_refused", reason=reason, server=step.server)
        return NotAllowed(message, details={"reason": reason})

    def _note(self, what: str, step: Step | None, *, outcome: str = "ok", **more: Any) -> None:
        self._audit.note(self._row(what, step, outcome=outcome, **more))

    def _row(self, what: str, step: Step | None, *, outcome: str = "ok", **more: Any) -> Row:
        return Row(
            kind="grant",
            principal="unknown" if step is None else step.principal,
            service=None if step is None else step.server,
            tool=what,
            outcome=outcome,
            details=more,
        )


def hashed(browser: str) -> str:
    return hashlib.sha256(f"browser:{browser}".encode()).hexdigest()


def confirmation(browser: str, link: str) -> str:
    """What the page's own button brings back: a page of somebody else cannot know it."""
    return hmac.new(browser.encode(), f"confirm:{link}".encode(), hashlib.sha256).hexdigest()


def challenge_of(verifier: str) -> str:
    """RFC 7636 §4.2, S256."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
