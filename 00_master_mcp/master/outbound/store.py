"""Grants in the hub's database, and the steps by which they come about; all of it sealed.

Every change is one conditional statement: of two hubs that try, one does it and the other sees
that it came too late. `now` is in seconds since 1970.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla import NotConfigured
from flotilla.database.database import Database
from master.database.tables import grant_steps, grants, oauth_clients
from master.outbound.grant import Client, Grant
from master.outbound.sealing import Sealing

log = structlog.get_logger(__name__)

CLAIM_S = 30.0
"""How long one renewal has the grant for itself; it asks for less long."""
MAX_OPEN = 5
"""Links that one principal may have open for one server; the oldest goes for a new one."""

StepKind = Literal["link", "state"]


@dataclass(frozen=True, slots=True)
class Kept:
    """A grant, and the moment of its last change, by which it is told from a later one."""

    principal: str
    server: str
    grant: Grant = field(repr=False)
    changed_at: str


@dataclass(frozen=True, slots=True)
class Step:
    """A step of giving a grant: a link that was handed out, or a browser that was sent on."""

    principal: str
    server: str
    until: float
    told: Mapping[str, Any] = field(repr=False)


def digest_of(opaque: str) -> str:
    return hashlib.sha256(opaque.encode()).hexdigest()


def moment(now: float) -> str:
    """In UTC, so that texts sort as the moments do."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds")


class GrantStore:
    """Raises Unavailable while the database is away, NotConfigured for another key's seals."""

    def __init__(self, database: Database, sealing: Sealing) -> None:
        self._database = database
        self._sealing = sealing

    async def get(self, principal: str, server: str) -> Kept | None:
        asked = sa.select(grants).where(_is(principal, server))
        async with self._database.read() as connection:
            row = (await connection.execute(asked)).one_or_none()
        return None if row is None else self._kept(row)

    async def all(self) -> list[Kept]:
        """Those that this hub's key opens."""
        asked = sa.select(grants).order_by(grants.c.server, grants.c.principal)
        async with self._database.read() as connection:
            rows = (await connection.execute(asked)).all()
        found: list[Kept] = []
        for row in rows:
            try:
                found.append(self._kept(row))
            except NotConfigured:
                log.warning("grant_unreadable", server=row.server, principal=row.principal)
        return found

    async def put(self, principal: str, server: str, grant: Grant, now: float) -> None:
        """Keep a new grant in the place of whatever was there."""
        async with self._database.write() as connection:
            await connection.execute(sa.delete(grants).where(_is(principal, server)))
            row = {
                "principal": principal,
                "server": server,
                "body": self._sealing.seal(grant.written(), "grant", principal, server),
                "changed_at": _changed(now),
            }
            await connection.execute(sa.insert(grants).values(row))

    async def take(self, principal: str, server: str) -> tuple[bool, Kept | None]:
        """Remove a grant and every step towards one: whether there was one, and what it was, where
        this hub's key opens it. With the last one of a server goes what the hub is registered as.
        """
        async with self._database.write() as connection:
            found = await connection.execute(sa.select(grants).where(_is(principal, server)))
            row = found.one_or_none()
            await connection.execute(sa.delete(grants).where(_is(principal, server)))
            steps = sa.delete(grant_steps).where(
                grant_steps.c.principal == principal, grant_steps.c.server == server
            )
            await connection.execute(steps)
            left = sa.select(sa.func.count()).select_from(grants).where(grants.c.server == server)
            if not (await connection.execute(left)).scalar_one():
                # The way to be registered anew with a server that has forgotten the hub.
                clients = sa.delete(oauth_clients).where(oauth_clients.c.server == server)
                await connection.execute(clients)
        try:
            return row is not None, None if row is None else self._kept(row)
        except NotConfigured:
            return True, None

    async def claim(self, kept: Kept, by: str, now: float) -> bool:
        """Whether `by` alone may renew this grant, from now on for `CLAIM_S`."""
        free = sa.or_(grants.c.renewing_until.is_(None), grants.c.renewing_until < moment(now))
        claimed = (
            sa.update(grants)
            .where(_same(kept), free)
            .values(renewing_by=by, renewing_until=moment(now + CLAIM_S))
        )
        async with self._database.write() as connection:
            return (await connection.execute(claimed)).rowcount == 1

    async def renewed(self, kept: Kept, by: str, grant: Grant, now: float) -> Kept | None:
        """What `by` renewed; None where it has been revoked or replaced meanwhile."""
        body = self._sealing.seal(grant.written(), "grant", kept.principal, kept.server)
        changed = _changed(now)
        update = (
            sa.update(grants)
            .where(_same(kept), grants.c.renewing_by == by)
            .values(body=body, changed_at=changed, renewing_by=None, renewing_until=None)
        )
        async with self._database.write() as connection:
            if (await connection.execute(update)).rowcount != 1:
                return None
        return Kept(kept.principal, kept.server, grant, changed)

    async def unclaim(self, kept: Kept, by: str) -> None:
        update = (
            sa.update(grants)
            .where(_same(kept), grants.c.renewing_by == by)
            .values(renewing_by=None, renewing_until=None)
        )
        async with self._database.write() as connection:
            await connection.execute(update)

    async def lose(self, kept: Kept) -> bool:
        """Forget a grant that is good no more; False where it is another by now."""
        async with self._database.write() as connection:
            return (await connection.execute(sa.delete(grants).where(_same(kept)))).rowcount == 1

    async def add_step(self, kind: StepKind, opaque: str, step: Step, now: float) -> None:
        async with self._database.write() as connection:
            await self._add_step(connection, kind, opaque, step, now)

    async def step(self, kind: StepKind, opaque: str, now: float) -> Step | None:
        """Look at a step that is open, and leave it so."""
        asked = sa.select(grant_steps).where(_open(kind, opaque, now))
        async with self._database.read() as connection:
            row = (await connection.execute(asked)).one_or_none()
        return None if row is None else self._step(row)

    async def move(self, link: str, state: str, step: Step, now: float) -> bool:
        """Use a link up for the step that follows it; False where somebody has."""
        async with self._database.write() as connection:
            used = sa.delete(grant_steps).where(_open("link", link, now))
            if (await connection.execute(used)).rowcount != 1:
                return False
            await self._add_step(connection, "state", state, step, now)
        return True

    async def use(self, kind: StepKind, opaque: str, now: float) -> Step | None:
        """Use a step up; None where there is none such, or none any more."""
        async with self._database.write() as connection:
            found = await connection.execute(sa.select(grant_steps).where(_open(kind, opaque, now)))
            row = found.one_or_none()
            if row is None:
                return None
            gone = sa.delete(grant_steps).where(grant_steps.c.id == row.id)
            if (await connection.execute(gone)).rowcount != 1:
                return None
        return self._step(row)

    async def client(self, server: str, issuer: str) -> dict[str, Any] | None:
        """What an authorization server registered the hub as, for that server."""
        asked = sa.select(oauth_clients.c.body).where(
            oauth_clients.c.server == server, oauth_clients.c.issuer == issuer
        )
        async with self._database.read() as connection:
            body = (await connection.execute(asked)).scalar_one_or_none()
        return None if body is None else json.loads(self._opened(body, "client", server, issuer))

    async def put_client(
        self, server: str, issuer: str, client: Client, redirect_uri: str, until: float, now: float
    ) -> None:
        told = {
            "id": client.id,
            "secret": client.secret,
            "method": client.method,
            "redirect_uri": redirect_uri,
            "until": until,
        }
        row = {
            "server": server,
            "issuer": issuer,
            "body": self._sealing.seal(json.dumps(told).encode(), "client", server, issuer),
            "changed_at": moment(now),
        }
        async with self._database.write() as connection:
            old = sa.delete(oauth_clients).where(
                oauth_clients.c.server == server, oauth_clients.c.issuer == issuer
            )
            await connection.execute(old)
            await connection.execute(sa.insert(oauth_clients).values(row))

    async def forget_client(self, server: str, issuer: str) -> None:
        async with self._database.write() as connection:
            await connection.execute(
                sa.delete(oauth_clients).where(
                    oauth_clients.c.server == server, oauth_clients.c.issuer == issuer
                )
            )

    async def _add_step(
        self, connection: AsyncConnection, kind: StepKind, opaque: str, step: Step, now: float
    ) -> None:
        over = sa.delete(grant_steps).where(grant_steps.c.until < moment(now))
        await connection.execute(over)
        mine = (
            grant_steps.c.kind == kind,
            grant_steps.c.principal == step.principal,
            grant_steps.c.server == step.server,
        )
        newest = sa.select(grant_steps.c.id).where(*mine).order_by(grant_steps.c.until.desc())
        kept = (await connection.execute(newest.limit(MAX_OPEN - 1))).scalars().all()
        spare = sa.delete(grant_steps).where(*mine, grant_steps.c.id.not_in(kept))
        await connection.execute(spare)
        body = json.dumps(dict(step.told)).encode()
        row = {
            "id": digest_of(opaque),
            "kind": kind,
            "principal": step.principal,
            "server": step.server,
            "body": self._sealing.seal(body, kind, digest_of(opaque), step.principal, step.server),
            "until": moment(step.until),
        }
        await connection.execute(sa.insert(grant_steps).values(row))

    def _kept(self, row: Any) -> Kept:
        raw = self._opened(row.body, "grant", row.principal, row.server)
        return Kept(row.principal, row.server, Grant.read(raw), row.changed_at)

    def _step(self, row: Any) -> Step:
        raw = self._opened(row.body, row.kind, row.id, row.principal, row.server)
        until = datetime.fromisoformat(row.until).timestamp()
        return Step(row.principal, row.server, until, json.loads(raw))

    def _opened(self, body: bytes, *purpose: str) -> bytes:
        return self._sealing.open(bytes(body), *purpose)


def _changed(now: float) -> str:
    # Two changes in one moment are two changes all the same.
    return f"{moment(now)}.{secrets.token_hex(4)}"


def _is(principal: str, server: str) -> sa.ColumnElement[bool]:
    return sa.and_(grants.c.principal == principal, grants.c.server == server)


def _same(kept: Kept) -> sa.ColumnElement[bool]:
    return sa.and_(_is(kept.principal, kept.server), grants.c.changed_at == kept.changed_at)


def _open(kind: StepKind, opaque: str, now: float) -> sa.ColumnElement[bool]:
    return sa.and_(
        grant_steps.c.id == digest_of(opaque),
        grant_steps.c.kind == kind,
        grant_steps.c.until >= moment(now),
    )
