"""The grants at hand: the access token of a principal for a server, renewed before it runs out."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from flotilla import FlotillaError, Unavailable
from master.audit.seam import AuditBook, Row
from master.outbound.grant import Grant
from master.outbound.store import GrantStore, Kept
from master.outbound.talking import Talk, was_not_done
from master.state.seam import News

log = structlog.get_logger(__name__)

TOPIC = "grants"
KNOWN_S = 30.0
"""A token that is at hand is looked up again after this: another hub may have revoked it."""
MOST = 2000
PAUSE_S = 0.05
ELSEWHERE_S = 15.0
"""How long is waited for another hub that renews."""
SAVE_TRIES = 20
SAVE_PAUSE_S = 0.25
LAST_S = 10.0
"""At stop renewals have so long to end: a refresh token that was used and not kept is lost."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _AtHand:
    kept: Kept = field(repr=False)
    read_at: float


class Wallet:
    """`clock` tells seconds since 1970. Raises Unavailable while nobody can tell."""

    def __init__(
        self,
        store: GrantStore,
        talk: Talk,
        audit: AuditBook,
        news: News,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._talk = talk
        self._audit = audit
        self._news = news
        self._clock = clock
        self._at_hand: dict[Key, _AtHand] = {}
        self._renewing: dict[Key, asyncio.Task[Kept | None]] = {}
        self._telling: set[asyncio.Task[None]] = set()
        self._refused: dict[Key, str] = {}
        """Grants, by their last change, whose newest token the server did not take."""
        self._arrived = asyncio.Event()
        self._changes = 0
        """Counts what was heard of: what was read before is not kept at hand after."""
        news.on(TOPIC, self._hear)
        news.on_return(self._at_hand.clear)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            running = {*self._renewing.values(), *self._telling}
            if running:
                _, late = await asyncio.wait(running, timeout=LAST_S)
                for task in late:
                    task.cancel()

    async def grant(self, principal: str, server: str, url: str) -> Grant | None:
        """A grant for the server at that address whose token is good for a while; None: none."""
        key, now = (principal, server), self._clock()
        known = self._at_hand.get(key)
        if known is not None and 0 <= now - known.read_at < KNOWN_S:
            grant = known.kept.grant
            if grant.is_fresh(now) and grant.place.url == url:
                return grant
        changes = self._changes
        kept = await self._store.get(principal, server)
        if kept is None or kept.grant.place.url != url:
            # What was given for one address is never shown to another.
            self._at_hand.pop(key, None)
            return None
        if self._refused.get(key) == kept.changed_at:
            return None
        if not kept.grant.is_fresh(now):
            kept = await self._renewed(kept)
        return None if kept is None else self._taken(kept, changes).grant

    async def refused(self, principal: str, server: str, url: str, token: str) -> Grant | None:
        """The server did not take that token: another one, or None where there is none."""
        key = (principal, server)
        self._at_hand.pop(key, None)
        changes = self._changes
        kept = await self._store.get(principal, server)
        if kept is None or kept.grant.place.url != url:
            return None
        if kept.grant.access_token == token:
            kept = await self._renewed(kept)
            if kept is not None and kept.grant.access_token == token:
                # It cannot be renewed: the person is asked for another grant.
                self._refused[key] = kept.changed_at
                return None
        return None if kept is None else self._taken(kept, changes).grant

    async def refused_again(self, principal: str, server: str) -> None:
        """Not even a new token was taken: the person is asked for another grant."""
        self._at_hand.pop((principal, server), None)
        kept = await self._store.get(principal, server)
        if kept is not None:
            self._refused[(principal, server)] = kept.changed_at

    async def arrives(self, principal: str, server: str, url: str, within_s: float) -> bool:
        """Whether a grant comes within that time."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    arrived = self._arrived
                    if await self.grant(principal, server, url) is not None:
                        return True
                    # Where no news come through, another hub's is found by looking.
                    try:
                        async with asyncio.timeout(1.0):
                            await arrived.wait()
                    except TimeoutError:
                        continue
        except TimeoutError:
            return False

    def given(self, principal: str, server: str, grant: Grant) -> None:
        """A person has given a grant."""
        del grant
        self._changed((principal, server))

    async def all(self) -> list[Kept]:
        return await self._store.all()

    async def revoke(self, principal: str, server: str) -> bool:
        """Forget a grant here and at once everywhere; then tell its server, as far as it is there.

        A step towards a new one that is open ends too. False where there was no grant.
        """
        there, kept = await self._store.take(principal, server)
        self._changed((principal, server))
        if kept is not None:
            await self._end(kept.grant)
        return there

    async def _renewed(self, kept: Kept) -> Kept | None:
        """The grant with a new token, asked for once however many want it; None: it is lost."""
        key = (kept.principal, kept.server)
        task = self._renewing.get(key)
        if task is None:
            task = self._renewing[key] = asyncio.create_task(self._renew(kept))
            task.add_done_callback(lambda _: self._renewing.pop(key, None))
            task.add_done_callback(_heard)
        # Whoever asked may go: the answer is kept all the same, for the old token is used up.
        return await asyncio.shield(task)

    async def _renew(self, kept: Kept) -> Kept | None:
        if kept.grant.refresh_token is None:
            if kept.grant.is_fresh(self._clock(), 0.0):
                return kept
            await self._lost(kept, "expired")
            return None
        by, until = secrets.token_hex(8), self._clock() + ELSEWHERE_S
        while not await self._store.claim(kept, by, self._clock()):
            found = await self._store.get(kept.principal, kept.server)
            if found is None or found.changed_at != kept.changed_at:
                return found
            if self._clock() > until:
                raise Unavailable(f"the grant for {kept.server} is being renewed; call again soon")
            await asyncio.sleep(PAUSE_S)
        try:
            grant = await self._asked(kept.grant)
        except FlotillaError as error:
            if was_not_done(error):
                await self._lost(kept, "refused")
                return None
            await self._store.unclaim(kept, by)
            if kept.grant.is_fresh(self._clock(), 0.0):
                log.info("grant_not_renewed_yet", server=kept.server, reason=error.message)
                return kept
            raise
        return await self._saved(kept, by, grant)

    async def _asked(self, grant: Grant) -> Grant:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": grant.refresh_token or "",
            "resource": grant.place.resource,
        }
        told = await self._talk.post_form(grant.place.token_endpoint, form, grant.client)
        return grant.renewed(told, self._clock())

    async def _saved(self, kept: Kept, by: str, grant: Grant) -> Kept | None:
        """Keep what was renewed, even where the database is away for a while."""
        for left in reversed(range(SAVE_TRIES)):
            try:
                saved = await self._store.renewed(kept, by, grant, self._clock())
                break
            except Unavailable:
                if not left:
                    log.error("renewed_grant_not_kept", server=kept.server)
                    raise
                await asyncio.sleep(SAVE_PAUSE_S)
        else:
            raise AssertionError("the last try raises")
        if saved is None:
            # It was revoked meanwhile, or given anew: this one must not live on.
            await self._end(grant)
            return await self._store.get(kept.principal, kept.server)
        log.info("grant_renewed", principal=kept.principal, server=kept.server)
        return saved

    async def _lost(self, kept: Kept, why: str) -> None:
        if await self._store.lose(kept):
            log.warning("grant_lost", principal=kept.principal, server=kept.server, reason=why)
            row = Row(
                kind="grant",
                principal=kept.principal,
                service=kept.server,
                tool="grant.lost",
                outcome=why,
            )
            self._audit.note(row)

    async def _end(self, grant: Grant) -> None:
        """Revoke its tokens where they come from (RFC 7009), as far as that goes."""
        url = grant.place.revocation_endpoint
        if url is None:
            return
        for token, kind in (
            (grant.refresh_token, "refresh_token"),
            (grant.access_token, "access_token"),
        ):
            if token is None:
                continue
            try:
                form = {"token": token, "token_type_hint": kind}
                await self._talk.post_form(url, form, grant.client)
            except FlotillaError as error:
                log.info("token_not_revoked_there", reason=error.message)

    def _taken(self, kept: Kept, changes: int) -> Kept:
        if changes != self._changes:
            return kept
        if len(self._at_hand) >= MOST:
            self._at_hand.pop(next(iter(self._at_hand)))
        self._at_hand[(kept.principal, kept.server)] = _AtHand(kept, self._clock())
        return kept

    def _changed(self, key: Key) -> None:
        self._hear("\n".join(key))
        task = asyncio.create_task(self._news.tell(TOPIC, "\n".join(key)))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def _hear(self, text: str) -> None:
        self._changes += 1
        principal, _, server = text.partition("\n")
        self._at_hand.pop((principal, server), None)
        arrived, self._arrived = self._arrived, asyncio.Event()
        arrived.set()


def _heard(task: asyncio.Task[Kept | None]) -> None:
    """Whoever waited may have gone: what it raised is nobody's loss."""
    if not task.cancelled():
        task.exception()
