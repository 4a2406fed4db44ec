"""Vault's token, good at every moment: got when first needed, renewed before it ends, got anew when
it cannot be renewed or was revoked, revoked when we go.

Whoever needs one meanwhile waits for the same login. Source: Vault documentation, page "Tokens".
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

from flotilla import FlotillaError, Unavailable
from flotilla.backoff import delay_s
from secret_store.backend import Learn
from secret_store.vault.logins import Login, LoginRefused, Stamp, Ticket, ticket_renewed
from secret_store.vault.speaking import Speaker

log = structlog.get_logger(__name__)

RENEWED_AFTER = 0.6
"""Of its time; up to a fifth more by chance, so that many spokes do not come at once."""
SHORT = 0.5
"""Renewed for less than this part of what it was made for, it nears its utmost end."""
REFUSED_S, REFUSED_MOST_S = 5.0, 120.0
"""How long nobody asks again after a refused login: Vault locks out who goes on trying."""
AGAIN_S = 0.5
"""After a renewal that failed, at first."""
REVOKED_WITHIN_S = 2.0


class Tickets:
    """`clock` is monotonic."""

    def __init__(
        self,
        speaker: Speaker,
        login: Login,
        *,
        learn: Learn,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._speaker = speaker
        self._login = login
        self._learn = learn
        self._clock = clock
        self._jitter = jitter
        self._ticket: Ticket | None = None
        self._asked_at = 0.0
        self._made_for_s = 0.0
        self._stamp: Stamp = None
        self._flight: asyncio.Task[None] | None = None
        self._refusal: tuple[LoginRefused, float, Stamp] | None = None
        self._refusals = 0
        self._news = asyncio.Event()

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Keeps the token fresh meanwhile; needs no Vault to begin or to end."""
        keeping = asyncio.create_task(self._keep_fresh())
        try:
            yield
        finally:
            await _ended(keeping)
            if self._flight is not None:
                await _ended(self._flight)
            await self._revoke()

    async def token(self) -> str:
        """One that should be good; Unavailable with the reason where there is none to be had."""
        if self._is_over():
            await self._once(self._log_in)
        elif self._is_replaced():
            await self._take_over()
        ticket = self._ticket
        if ticket is None:
            raise Unavailable("Vault's token was lost", details={"reason": "vault_login_refused"})
        return ticket.token

    async def again(self, refused: str) -> bool:
        """Whether there is another token now than the one with which something was forbidden.

        A good token that may not do it is left as it is.
        """
        held = self._ticket
        if held is not None and held.token == refused:
            answer = await self._speaker.read("auth/token/lookup-self", token=refused)
            if answer.status == 200:
                return False
            # Another who was refused may have been here meanwhile.
            if self._ticket is held:
                log.info("vault_token_is_no_longer_good")
                self._ticket = None
        return await self.token() != refused

    def _is_over(self) -> bool:
        ticket = self._ticket
        return ticket is None or (
            ticket.lease_s > 0 and self._clock() >= self._asked_at + ticket.lease_s
        )

    def _is_replaced(self) -> bool:
        """Whether the token's own file holds another one now."""
        if self._login.is_ours:
            return False
        stamp = self._login.stamp()
        return stamp is not None and stamp != self._stamp

    async def _take_over(self) -> None:
        """Use what the file holds now, if that is good; else go on with what there is."""
        try:
            await self._once(self._log_in)
        except FlotillaError as error:
            # It may be half written just now.
            log.warning("vault_token_file_not_taken_over", reason=error.message)

    async def _once(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do it, or wait for whoever does something of the kind; giving up does not end it."""
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(work())
            self._flight.add_done_callback(_seen)
        await asyncio.shield(self._flight)

    async def _log_in(self) -> None:
        stamp, now = self._login.stamp(), self._clock()
        if self._refusal is not None:
            refusal, until, refused_stamp = self._refusal
            if now < until and stamp == refused_stamp:
                raise LoginRefused(refusal.message, hint=refusal.hint, details=refusal.details)
        try:
            ticket = await self._login.login(self._speaker)
        except LoginRefused as refusal:
            self._refusals += 1
            wait_s = delay_s(self._refusals, REFUSED_S, REFUSED_MOST_S)
            self._refusal = refusal, now + wait_s, stamp
            raise
        self._refusal, self._refusals = None, 0
        self._stamp, self._made_for_s = stamp, ticket.lease_s
        self._hold(ticket, now)
        log.info("vault_token_got", lease_s=ticket.lease_s, renewable=ticket.renewable)

    def _hold(self, ticket: Ticket, asked_at: float) -> None:
        self._learn([ticket.token])
        self._ticket, self._asked_at = ticket, asked_at
        self._news.set()

    async def _renew(self) -> None:
        held, now = self._ticket, self._clock()
        if held is not None and held.renewable:
            answer = await self._speaker.write("auth/token/renew-self", token=held.token)
            renewed = ticket_renewed(answer, held)
            if renewed is not None:
                if renewed.lease_s >= SHORT * self._made_for_s or not self._login.is_ours:
                    self._hold(renewed, now)
                    return
                # The short one goes on if there is no other to be had.
                self._ticket, self._asked_at = renewed, now
        await self._log_in()

    async def _keep_fresh(self) -> None:
        failed = 0
        while True:
            self._news.clear()
            ticket = self._ticket
            if ticket is None or ticket.lease_s == 0:
                await self._news.wait()
                continue
            # A token of a short life is tried for several times before it ends.
            pause_s = min(AGAIN_S, ticket.lease_s / 8)
            wait_s = delay_s(failed, pause_s, 15) if failed else self._fresh_for_s(ticket)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
                failed = 0
                continue
            try:
                await self._once(self._renew)
                failed = 0
            except FlotillaError as error:
                failed += 1
                log.warning("vault_token_not_renewed", reason=error.message, failed=failed)

    def _fresh_for_s(self, ticket: Ticket) -> float:
        part = RENEWED_AFTER + 0.2 * self._jitter()
        # Never in a busy loop, however short its life.
        return max(0.05, self._asked_at + part * ticket.lease_s - self._clock())

    async def _revoke(self) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is None or not self._login.is_ours:
            return
        try:
            async with asyncio.timeout(REVOKED_WITHIN_S):
                await self._speaker.write("auth/token/revoke-self", token=ticket.token)
        except (FlotillaError, TimeoutError) as error:
            # It ends by itself.
            log.warning("vault_token_not_revoked", reason=str(error))


def _seen(task: asyncio.Task[None]) -> None:
    # Nobody may be left who waits for it.
    if not task.cancelled():
        task.exception()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, FlotillaError):
        await task
