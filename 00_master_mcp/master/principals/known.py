"""Every principal that a hub knows, in its memory: no request asks the database who it is from."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import chain
from typing import Protocol

import structlog

from flotilla import Principal, Unavailable
from flotilla.identity import Caller
from master.principals.credential import FOR_EVER, BadBearer, Credential
from master.principals.first import TokenBook, digest_of
from master.principals.tokens import Kept, Tokens
from master.state.seam import News

log = structlog.get_logger(__name__)

TOPIC = "tokens"
REVOKED = "revoked "
"""How the news begin that a token is revoked; its ID follows. Any other news: look at the table."""
TURN_S = 1.0
"""Streams of a credential that runs out end within this; and what another hub revoked counts here
within this, even where no news come through."""
LONE_LOOK_S = 30.0
AWAY_OK_S = 900.0
"""So long tokens that were known go on while the database is away."""
MAX_REVOKED = 10_000
START_S = 3.0
"""A database that has not answered within this is not waited for at start."""


class People(Protocol):
    """Those of an OpenID provider, by the JWTs that it signs."""

    def at_hand(self, digest: bytes) -> Credential | None: ...

    async def judged(self, token: str, digest: bytes) -> Credential | None:
        """None for what is no token of the provider's; BadBearer and Unavailable say the rest."""
        ...

    async def still(self, principal: Principal) -> Principal | None: ...

    def turn(self, now: float) -> None:
        """End what has run out."""
        ...

    def running(self) -> contextlib.AbstractAsyncContextManager[None]: ...


class Principals:
    """Those of the first start, of the table where there is one, and of a provider.

    `shared`: other hubs write the same table. `clock` tells seconds since 1970; every `turn_s` what
    has run out is ended.
    """

    def __init__(
        self,
        book: TokenBook,
        tokens: Tokens | None = None,
        people: People | None = None,
        *,
        news: News | None = None,
        shared: bool = False,
        clock: Callable[[], float] = time.time,
        away_ok_s: float = AWAY_OK_S,
        turn_s: float = TURN_S,
    ) -> None:
        self._tokens = tokens
        self._people = people
        self._news = news
        self._turn_s = turn_s
        self._look_s = turn_s if shared else LONE_LOOK_S
        self._clock = clock
        self._away_ok_s = away_ok_s
        self._first = {
            digest: Credential(Caller(principal)) for digest, principal in book.by_digest.items()
        }
        self._table: dict[bytes, Credential] = {}
        self._version: object = None
        self._revoked: set[str] = set()
        """IDs that were heard of, and that the table as it was read last does not know of."""
        self._looked_at: float | None = None
        self._away: Unavailable | None = None
        self._turn = asyncio.Lock()
        self._heard = asyncio.Event()
        self._started = asyncio.Event()
        if news is not None:
            news.on(TOPIC, self._hear)
            news.on_return(self._heard.set)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def at_hand(self, token: str) -> Credential | None:
        """The credential of a token that is known and good at this moment."""
        digest = digest_of(token)
        credential = self._first.get(digest) or self._table.get(digest)
        if credential is None and self._people is not None:
            credential = self._people.at_hand(digest)
        if credential is None or credential.ended or credential.until <= self._clock():
            return None
        return credential

    async def judged(self, token: str) -> Credential:
        """The credential of a token that was not at hand.

        BadBearer for one that is not good; Unavailable where that cannot be told just now.
        """
        digest = digest_of(token)
        if digest in self._table:
            raise BadBearer("the token has expired")
        if self._people is not None:
            found = await self._people.judged(token, digest)
            if found is not None:
                return found
        if self._tokens is not None and (self._away is not None or self._looked_at is None):
            raise self._away or Unavailable("the hub has not read its tokens yet")
        raise BadBearer("the token is unknown, or it was revoked")

    async def still(self, principal: Principal) -> Principal | None:
        """Who that is now: with those of its roles that a credential of its name still gives.

        None where it has no live credential any more; Unavailable where that cannot be told.
        """
        for credential in self._first.values():
            if credential.caller.principal.name == principal.name:
                return _common(principal, credential.caller.principal.roles)
        if self._people is not None and (found := await self._people.still(principal)):
            return found
        if self._tokens is not None:
            await self._look()
        now = self._clock()
        live = [
            each.caller.principal.roles
            for each in self._table.values()
            if each.caller.principal.name == principal.name and each.until > now and not each.ended
        ]
        return _common(principal, chain.from_iterable(live)) if live else None

    async def changed(self, revoked: tuple[str, ...] = ()) -> None:
        """The table was changed here: hear of it now, and tell the other hubs."""
        for name in revoked:
            self._end(name)
        with contextlib.suppress(Unavailable):  # what is revoked has ended; the rest follows
            await self._look()
        if self._news is not None:
            for text in [REVOKED + name for name in revoked] or [""]:
                await self._news.tell(TOPIC, text)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Kept up within; entered after the first look, or before its end where that is late."""
        people = contextlib.nullcontext() if self._people is None else self._people.running()
        turning = asyncio.create_task(self._keep_up())
        try:
            async with people:
                with contextlib.suppress(TimeoutError):  # it goes on beside us
                    async with asyncio.timeout(START_S):
                        await self._started.wait()
                yield
        finally:
            turning.cancel()
            await asyncio.wait({turning})

    async def _keep_up(self) -> None:
        due = 0.0
        while True:
            heard = self._heard.is_set()
            self._heard.clear()
            if self._tokens is not None and (heard or time.monotonic() >= due):
                try:
                    with contextlib.suppress(Unavailable):  # told once, by `_look`
                        await self._look()
                except Exception:
                    log.exception("tokens_not_read")
                    self._away = Unavailable("the tokens cannot be read; the hub's log tells why")
                # A database that is away is found again soon.
                due = time.monotonic() + (self._look_s if self._away is None else self._turn_s)
            self._end_what_ran_out()
            self._started.set()
            with contextlib.suppress(TimeoutError):  # nobody said anything, which is as usual
                # `wait_for` of Python 3.11 loses a cancellation that comes with what it waits for.
                async with asyncio.timeout(self._turn_s):
                    await self._heard.wait()

    async def _look(self) -> None:
        """Read the table where it has changed; Unavailable leaves what is known, for a while."""
        assert self._tokens is not None, "there is a table to look at"
        async with self._turn:
            try:
                version = await self._tokens.version()
                if version != self._version:
                    self._take(await self._tokens.all())
                    self._version = version
            except Unavailable as error:
                if self._away is None:
                    log.warning("tokens_away", reason=error.message, good_for_s=self._away_ok_s)
                self._away = error
                raise
            if self._away is not None:
                log.info("tokens_back")
            self._away, self._looked_at = None, self._clock()

    def _take(self, rows: list[Kept]) -> None:
        """Know what the table has: what was known keeps its open requests, what went ends."""
        table: dict[bytes, Credential] = {}
        for kept in rows:
            token, digest = kept.token, bytes.fromhex(kept.digest)
            if token.revoked_at is not None:
                self._revoked.discard(token.id)
                continue
            if token.id in self._revoked:
                # The rows were read before it was revoked, or the database lags.
                continue
            known = self._table.get(digest)
            if known is None or known.ended:
                profiles = None if token.profiles is None else frozenset(token.profiles)
                principal = Principal(token.principal, token.roles)
                caller = Caller(principal, interactive=token.interactive, profiles=profiles)
                until = FOR_EVER if token.expires_at is None else token.expires_at.timestamp()
                known = Credential(caller, until, token.id)
            table[digest] = known
        gone = [each for digest, each in self._table.items() if digest not in table]
        self._table = table
        for credential in gone:
            credential.end()

    def _end_what_ran_out(self) -> None:
        now = self._clock()
        if self._people is not None:
            self._people.turn(now)
        for credential in self._table.values():
            if credential.until <= now and not credential.ended:
                credential.end()
        if self._table and now - (self._looked_at or 0.0) > self._away_ok_s:
            self._forget()

    def _forget(self) -> None:
        """The table was away for too long: who knows what was revoked meanwhile."""
        log.error("tokens_no_longer_trusted", reason=self._away and self._away.message)
        table, self._table, self._version, self._looked_at = self._table, {}, None, None
        # If it was the clock that jumped, they are known again at once.
        self._heard.set()
        for credential in table.values():
            credential.end()

    def _end(self, name: str) -> None:
        if len(self._revoked) < MAX_REVOKED:
            self._revoked.add(name)
        for digest, credential in list(self._table.items()):
            if credential.mark == name:
                del self._table[digest]
                credential.end()

    def _hear(self, text: str) -> None:
        if text.startswith(REVOKED):
            # Counts at once, whether the database is there or not.
            self._end(text.removeprefix(REVOKED))
        self._heard.set()


def _common(principal: Principal, roles: Iterable[str]) -> Principal:
    given = set(roles)
    return Principal(principal.name, tuple(role for role in principal.roles if role in given))
