"""What the hub fetches for itself: credentials of services, and the values that are out there."""

from collections.abc import Sequence

import structlog
from pydantic import Field
from sqlalchemy import select

from flotilla import FlotillaError, Model
from flotilla.database.database import Database
from secret_store.actor import Actor
from secret_store.backend import Backend, Learn, Value, Wanted
from secret_store.cards import Card, card_of, mark_used
from secret_store.paths import check_path
from secret_store.stamps import Clock
from secret_store.tables import trail as trail_table
from secret_store.trail import Trail

log = structlog.get_logger(__name__)

AGAIN_S = 3600.0
"""The same version given again to the same service is written down once in this time."""
RELEASED_S = 24 * 3600.0
MOST_RELEASED = 2000
_ACTS = ("resolved", "given", "ran")


class Credentials(Model):
    """Values by the names that a service asked for, and why it gets no others."""

    values: dict[str, str] = Field(repr=False)
    versions: dict[str, int]
    refused: dict[str, str]


class Released(Model):
    """Values that left the store lately: nothing may show them."""

    values: list[str] = Field(repr=False)
    truncated: bool


class Giving:
    def __init__(
        self, database: Database, backend: Backend, trail: Trail, clock: Clock, learn: Learn
    ) -> None:
        self._database = database
        self._backend = backend
        self._trail = trail
        self._clock = clock
        self._learn = learn

    async def credentials(self, service: str, names: Sequence[str]) -> Credentials:
        """The newest values of those secrets whose rules let this service have them."""
        actor = Actor.service(service, "credentials")
        values: dict[str, str] = {}
        versions: dict[str, int] = {}
        why: dict[str, str] = {}
        for name in dict.fromkeys(names):
            value, reason = await self._given(service, name)
            if value is None:
                why[name] = reason or "secret_gone"
            else:
                values[name], versions[name] = value.text, value.version
        await self._write_down(actor, service, versions, why)
        self._learn(list(values.values()))
        return Credentials(values=values, versions=versions, refused=why)

    async def released(self) -> Released:
        """What was resolved, given or run with in the last day and can still be read."""
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(trail_table.c.path, trail_table.c.version)
                .where(
                    trail_table.c.at > self._clock.after(-RELEASED_S),
                    trail_table.c.act.in_(_ACTS),
                    trail_table.c.outcome == "done",
                    trail_table.c.version.is_not(None),
                )
                .distinct()
                .limit(MOST_RELEASED + 1)
            )
            wanted = [Wanted(row["path"], row["version"]) for row in rows.mappings()]
        found = await self._backend.get(wanted[:MOST_RELEASED])
        texts = list(dict.fromkeys(each.text for each in found if isinstance(each, Value)))
        return Released(values=texts, truncated=len(wanted) > MOST_RELEASED)

    async def _given(self, service: str, name: str) -> tuple[Value | None, str | None]:
        try:
            check_path(name)
        except FlotillaError:
            return None, "not_a_path"
        async with self._database.read() as connection:
            reason = self._refusal(await card_of(connection, name), service)
        if reason is not None:
            there = await self._backend.metadata(name) is not None
            return None, reason if there else "secret_unknown"
        (found,) = await self._backend.get([Wanted(name)])
        if isinstance(found, Value):
            return found, None
        return None, "secret_gone" if found is None else "seal_broken"

    def _refusal(self, card: Card, service: str) -> str | None:
        if not card.rules.gives(service):
            return "service_not_allowed"
        if card.expires_at is not None and card.expires_at <= self._clock.now():
            return "secret_expired"
        return None

    async def _write_down(
        self, actor: Actor, service: str, versions: dict[str, int], why: dict[str, str]
    ) -> None:
        """An entry for each name, but none where the newest one says the same and is fresh.

        The hub asks again every minute: what it learns again would bury what is new.
        """
        said = {**{name: (version, None) for name, version in versions.items()}}
        told: dict[str, tuple[int | None, str | None]] = {**said}
        told.update(
            {name: (None, reason) for name, reason in why.items() if reason != "not_a_path"}
        )
        fresh = self._clock.after(-AGAIN_S)
        async with self._database.read() as connection:
            for name, (version, reason) in list(told.items()):
                last = await self._trail.last_done(connection, "given", name, service)
                known = last is not None and (last["version"], last["reason"]) == (version, reason)
                if known and last is not None and last["at"] > fresh:
                    del told[name]
        if not told:
            return
        async with self._trail.act() as transaction:
            for name, (version, reason) in told.items():
                await self._trail.add(
                    transaction,
                    actor,
                    "given",
                    path=name,
                    version=version,
                    refused=reason,
                    given_to=service,
                )
            used = [name for name, (_, reason) in told.items() if reason is None]
            await mark_used(transaction, used, self._clock.now())
