"""Secrets that the spoke itself uses for a caller: looked up, judged, written down, handed over."""

from collections.abc import Sequence

from flotilla.database.database import Database
from secret_store.actor import Actor
from secret_store.backend import Backend, Learn, Value, Wanted, whole
from secret_store.cards import Card, cards_of, mark_used
from secret_store.keeper import no_secret
from secret_store.leases import refused
from secret_store.paths import check_path
from secret_store.stamps import Clock
from secret_store.trail import Act, Trail


class Using:
    def __init__(
        self, database: Database, backend: Backend, trail: Trail, clock: Clock, learn: Learn
    ) -> None:
        self._database = database
        self._backend = backend
        self._trail = trail
        self._clock = clock
        self._learn = learn

    async def take(
        self,
        actor: Actor,
        act: Act,
        paths: Sequence[str],
        version: int | None = None,
        *,
        quietly: bool = True,
    ) -> dict[str, Value]:
        """The values for the tool that the actor calls; NotAllowed where a rule has it not.

        All of them or none. What is returned has been written down, and `quietly` this process
        withholds it from now on in whatever it says.
        """
        wanted = list(dict.fromkeys(paths))
        for path in wanted:
            check_path(path)
        found = await self._backend.get([Wanted(path, version) for path in wanted])
        opened = zip(wanted, map(whole, found), strict=True)
        values = {path: value for path, value in opened if value is not None}
        if quietly:
            self._learn([value.text for value in values.values()])
        refusals: dict[str, str] = {}
        async with self._trail.act() as transaction:
            cards = await cards_of(transaction, wanted)
            for path in wanted:
                reason = self._refusal(cards.get(path) or Card(), actor)
                if reason is None and path not in values:
                    reason = "secret_gone"
                if reason is not None:
                    refusals[path] = reason
            for path in wanted:
                done = not refusals
                if done or path in refusals:
                    await self._trail.add(
                        transaction,
                        actor,
                        act,
                        path=path,
                        version=values[path].version if done else None,
                        refused=refusals.get(path),
                        given_to=actor.tool,
                    )
            if not refusals:
                await mark_used(transaction, wanted, self._clock.now())
        for path, reason in refusals.items():
            raise no_secret(path) if reason == "secret_gone" else refused(reason, path, actor.tool)
        return values

    def _refusal(self, card: Card, actor: Actor) -> str | None:
        now = self._clock.now()
        if card.expires_at is not None and card.expires_at <= now:
            return "secret_expired"
        return card.rules.refusal(principal=actor.principal, roles=actor.roles, tool=actor.tool)
