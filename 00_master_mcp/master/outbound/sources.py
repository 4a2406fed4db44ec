"""Where the credentials of one principal for one server come from, by each choice."""

import time
from collections.abc import Callable
from typing import Protocol

from flotilla import NotConfigured, meta
from flotilla.redaction import Redactor
from master.handles.resolving import SECRETS
from master.outbound.choice import AUTHORIZATION, StoredSecret
from master.outbound.flow import Wanted
from master.outbound.grant import Grant
from master.outbound.shown import Missing, Shown, shown
from master.outbound.wallet import Wallet
from master.upstream.operations import Operations

SERVICE = "ext:"
"""How a secret's rules name an external server: `ext:github`."""
KNOWN_S = 60.0
LEARNT_S = 24 * 3600.0
MOST = 1000


class Source(Protocol):
    async def of(self, principal: str, subject: str | None) -> Shown:
        """What to show in that principal's name; Missing where it has given nothing.

        `subject` is the token that the caller came with, where it is one that can be exchanged.
        """
        ...

    async def renewed(self, principal: str, subject: str | None, refused: Shown) -> Shown:
        """Something else, since the server took that for none; Missing."""
        ...

    async def refused_again(self, principal: str) -> None:
        """That was not taken either."""
        ...

    async def arrives(self, principal: str, within_s: float) -> bool:
        """Whether a person gives what is missing within that time."""
        ...


class Stored:
    """Values of the secrets spoke for an external server; NotConfigured says why there is none."""

    def __init__(self, operations: Operations | None) -> None:
        self._operations = operations

    async def value(self, server: str, path: str) -> str:
        if self._operations is None:
            raise NotConfigured("this fleet keeps no secrets", hint="Start the service 'secrets'.")
        asked = {"service": f"{SERVICE}{server}", "names": [path]}
        told = await self._operations.run(SECRETS, "credentials", asked)
        value = meta.members(told.get("values")).get(path)
        if isinstance(value, str) and value:
            return value
        why = str(meta.members(told.get("refused")).get(path, "secret_gone"))
        raise NotConfigured(
            f"the stored secret {path!r} cannot be used for {server} ({why})",
            hint=f"`python3 -m flotilla secrets write {path}` stores it, and `python3 -m flotilla "
            f"secrets allow {path} --service {SERVICE}{server}` lets the server have it.",
            details={"reason": why},
        )


class SecretSource:
    """A stored secret of each principal. `clock` is monotonic."""

    def __init__(
        self,
        server: str,
        choice: StoredSecret,
        stored: Stored,
        redactor: Redactor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server = server
        self._choice = choice
        self._stored = stored
        self._redactor = redactor
        self._clock = clock
        self._at_hand: dict[str, tuple[float, Shown]] = {}

    async def of(self, principal: str, subject: str | None) -> Shown:
        del subject
        now = self._clock()
        known = self._at_hand.get(principal)
        if known is not None and now - known[0] < KNOWN_S:
            return known[1]
        path = self._choice.path_of(principal)
        try:
            value = await self._stored.value(self._server, path)
        except NotConfigured as error:
            self._at_hand.pop(principal, None)
            hint = error.hint or ""
            reason = str(error.details.get("reason", error.code))
            raise Missing(error.message, hint=hint, reason=reason) from None
        if not value.isascii() or not value.isprintable():
            told = f"the stored secret {path!r} has characters that no header may have"
            raise Missing(told, hint="Write it anew, on one line.", reason="not_a_header")
        if known is not None and known[1].secret == value:
            found = known[1]
        else:
            self._redactor.learn_for([value], LEARNT_S)
            found = shown(self._choice.header, self._choice.prefix, value)
        if len(self._at_hand) >= MOST:
            self._at_hand.pop(next(iter(self._at_hand)))
        self._at_hand[principal] = now, found
        return found

    async def renewed(self, principal: str, subject: str | None, refused: Shown) -> Shown:
        self._at_hand.pop(principal, None)
        found = await self.of(principal, subject)
        if found.secret == refused.secret:
            self._at_hand.pop(principal, None)
            raise Missing(
                f"{self._server} does not take the stored secret of {principal}",
                hint=f"Write a good one: `python3 -m flotilla secrets write "
                f"{self._choice.path_of(principal)}`.",
                reason="secret_refused",
            )
        return found

    async def refused_again(self, principal: str) -> None:
        self._at_hand.pop(principal, None)

    async def arrives(self, principal: str, within_s: float) -> bool:
        del principal, within_s
        return False


class GrantSource:
    """What each person granted in the browser."""

    def __init__(self, wanted: Wanted, wallet: Wallet, redactor: Redactor) -> None:
        self._wanted = wanted
        self._wallet = wallet
        self._redactor = redactor
        self._made: dict[str, Shown] = {}

    async def of(self, principal: str, subject: str | None) -> Shown:
        del subject
        wanted = self._wanted
        grant = await self._wallet.grant(principal, wanted.server, wanted.url)
        return self._shown(principal, grant)

    async def renewed(self, principal: str, subject: str | None, refused: Shown) -> Shown:
        del subject
        wanted = self._wanted
        grant = await self._wallet.refused(principal, wanted.server, wanted.url, refused.secret)
        return self._shown(principal, grant)

    async def refused_again(self, principal: str) -> None:
        self._made.pop(principal, None)
        await self._wallet.refused_again(principal, self._wanted.server)

    async def arrives(self, principal: str, within_s: float) -> bool:
        wanted = self._wanted
        return await self._wallet.arrives(principal, wanted.server, wanted.url, within_s)

    def _shown(self, principal: str, grant: Grant | None) -> Shown:
        server = self._wanted.server
        if grant is None:
            self._made.pop(principal, None)
            raise Missing(
                f"{principal} has not granted the hub the use of {server}",
                hint=f"`python3 -m flotilla grants connect {server} --as {principal}` prints a "
                "link to sign in by; then call again.",
                reason="grant_missing",
                by_page=True,
            )
        known = self._made.get(principal)
        if known is None or known.secret != grant.access_token:
            secrets = [grant.access_token, *filter(None, [grant.refresh_token])]
            self._redactor.learn_for(secrets, LEARNT_S)
            known = shown(AUTHORIZATION, "Bearer ", grant.access_token)
            if len(self._made) >= MOST:
                self._made.pop(next(iter(self._made)))
            self._made[principal] = known
        return known
