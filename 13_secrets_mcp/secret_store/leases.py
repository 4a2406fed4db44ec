"""Leases: a handle stands for a secret, for one principal and one tool, for a while.

The value is resolved by the hub alone, on the way to the tool; the model has the handle at most.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from flotilla import Conflict, Model, NotAllowed, NotFound, Page, decode_cursor, encode_cursor
from flotilla.database.database import Database
from flotilla.errors import InvalidArgument
from secret_store.actor import Actor
from secret_store.backend import Backend, Learn, Value, Wanted, whole
from secret_store.cards import card_of, mark_used
from secret_store.keeper import no_secret
from secret_store.lease_rows import forget_leases, lease_by, live_leases
from secret_store.paths import check_path, handle_digest, new_handle, new_lease_id
from secret_store.rules import same
from secret_store.stamps import Clock, Time
from secret_store.tables import lease
from secret_store.trail import Trail

MOST_LIVE = 100
"""Leases of one principal that could still be used."""
_REMEMBERED_S = 7 * 24 * 3600
_JUST_NOW_S = 120
"""For how long a value that the hub resolved for a call may arrive with it."""


class Lease(Model):
    """A handle; put it as it is into an argument of `tool` that takes a secret."""

    handle: str
    lease_id: str
    path: str
    version: int | None = None
    tool: str
    uses: int
    expires_at: Time


class LeaseShown(Model):
    """A lease without its handle."""

    lease_id: str
    path: str
    principal: str
    tool: str
    uses: int
    uses_left: int
    created_at: Time
    expires_at: Time
    revoked_at: Time | None = None
    live: bool


class Resolved(Model):
    """What a handle stands for; goes to the hub and to nobody else."""

    value: str = Field(repr=False)
    path: str
    version: int


class Leases:
    def __init__(
        self, database: Database, backend: Backend, trail: Trail, clock: Clock, learn: Learn
    ) -> None:
        self._database = database
        self._backend = backend
        self._trail = trail
        self._clock = clock
        self._learn = learn

    async def grant(
        self, actor: Actor, path: str, *, tool: str, ttl_s: int, uses: int, version: int | None
    ) -> Lease:
        """A handle for the actor and that tool; NotAllowed where the secret's rules have not both.

        `version` None: whichever is the newest when it is resolved.
        """
        check_path(path)
        await self._check_there(path, version)
        now, handle = self._clock.now(), new_handle()
        made = Lease(
            handle=handle,
            lease_id=new_lease_id(),
            path=path,
            version=version,
            tool=tool,
            uses=uses,
            expires_at=self._clock.after(ttl_s),
        )
        async with self._trail.act() as transaction:
            card = await card_of(transaction, path)
            reason = card.rules.refusal(principal=actor.principal, roles=actor.roles, tool=tool)
            if reason is None and card.expires_at is not None and card.expires_at <= now:
                reason = "secret_expired"
            if reason is None:
                await self._keep(transaction, made, actor, now)
            await self._trail.add(
                transaction,
                actor,
                "leased",
                path=path,
                version=version,
                refused=reason,
                given_to=tool,
                lease_id=None if reason else made.lease_id,
            )
        if reason is not None:
            raise refused(reason, path, tool)
        return made

    async def resolve(self, handle: str, *, tool: str, principal: str) -> Resolved:
        """The value, once more of its uses; NotAllowed with `details.reason` for any doubt."""
        actor = Actor.through_hub(principal, tool)
        digest = handle_digest(handle)
        async with self._database.read() as connection:
            held = None if digest is None else await lease_by(connection, handle_digest=digest)
        # Read before it is told or counted: a store that is away costs no use.
        value = None if held is None else await self._value(held)
        async with self._trail.act() as transaction:
            reason, row = await self._decide(transaction, digest, tool, principal)
            if reason is None and value is None:
                reason = "secret_gone"
            path = None if row is None else str(row["path"])
            mark = None if row is None else str(row["id"])
            if reason is None and row is not None and value is not None:
                now = self._clock.now()
                await transaction.execute(
                    update(lease)
                    .where(lease.c.id == row["id"])
                    .values(uses_left=lease.c.uses_left - 1, resolved_at=now)
                )
                await mark_used(transaction, [str(path)], now)
            await self._trail.add(
                transaction,
                actor,
                "resolved",
                path=path,
                version=value.version if reason is None and value is not None else None,
                refused=reason,
                given_to=tool,
                lease_id=mark,
            )
        if reason is not None or value is None or path is None:
            raise handle_refused(reason or "secret_gone")
        self._learn([value.text])
        return Resolved(value=value.text, path=path, version=value.version)

    async def revoke(self, actor: Actor, lease_or_handle: str) -> LeaseShown:
        """End a lease, named by its ID or its handle; one that has ended stays so."""
        digest = handle_digest(lease_or_handle)
        key = {"id": lease_or_handle} if digest is None else {"handle_digest": digest}
        async with self._trail.act() as transaction:
            row = await lease_by(transaction, **key)
            if row is None:
                raise NotFound("there is no such lease")
            now = self._clock.now()
            if row["revoked_at"] is None:
                ended = update(lease).where(lease.c.id == row["id"])
                await transaction.execute(ended.values(revoked_at=now))
                await self._trail.add(
                    transaction, actor, "revoked", path=row["path"], lease_id=row["id"]
                )
            return _shown({**row, "revoked_at": row["revoked_at"] or now}, now)

    async def page(
        self, *, path: str | None, live_only: bool, limit: int, cursor: str | None
    ) -> Page[LeaseShown]:
        """Leases, the newest first."""
        now = self._clock.now()
        asked = select(lease).order_by(lease.c.created_at.desc(), lease.c.id.desc())
        if path is not None:
            asked = asked.where(lease.c.path == path)
        if live_only:
            asked = asked.where(
                lease.c.expires_at > now, lease.c.revoked_at.is_(None), lease.c.uses_left > 0
            )
        if cursor is not None:
            at, last = _position(cursor)
            older = (lease.c.created_at < at) | ((lease.c.created_at == at) & (lease.c.id < last))
            asked = asked.where(older)
        async with self._database.read() as connection:
            rows = (await connection.execute(asked.limit(limit + 1))).mappings().all()
        items = [_shown(row, now) for row in rows[:limit]]
        more = len(rows) > limit
        position = [items[-1].created_at, items[-1].lease_id] if more else None
        return Page[LeaseShown](
            items=items,
            returned=len(items),
            next_cursor=encode_cursor("leases", position) if more else None,
            truncated=more,
        )

    async def was_resolved(self, value: str, *, principal: str, tool: str) -> bool:
        """Whether the hub resolved a handle to this very value, for them and just now."""
        async with self._database.read() as connection:
            rows = await connection.execute(
                select(lease.c.path, lease.c.version)
                .where(
                    lease.c.principal == principal,
                    lease.c.tool == tool,
                    lease.c.resolved_at > self._clock.after(-_JUST_NOW_S),
                )
                .distinct()
            )
            wanted = [Wanted(row["path"], row["version"]) for row in rows.mappings()]
        found = await self._backend.get(wanted) if wanted else ()
        matches = [same(value, each.text) for each in found if isinstance(each, Value)]
        return any(matches)

    async def _keep(
        self, transaction: AsyncConnection, made: Lease, actor: Actor, now: str
    ) -> None:
        if await live_leases(transaction, actor.principal, now) >= MOST_LIVE:
            raise Conflict(
                f"{actor.principal} holds {MOST_LIVE} leases, which is the most",
                hint="Use or revoke some, or wait until they expire.",
            )
        await forget_leases(transaction, self._clock.after(-_REMEMBERED_S))
        row = {
            "id": made.lease_id,
            "handle_digest": handle_digest(made.handle),
            "path": made.path,
            "version": made.version,
            "principal": actor.principal,
            "roles": list(actor.roles),
            "tool": made.tool,
            "uses": made.uses,
            "uses_left": made.uses,
            "created_at": now,
            "expires_at": made.expires_at,
        }
        await transaction.execute(insert(lease), [row])

    async def _check_there(self, path: str, version: int | None) -> None:
        if version is None:
            there = await self._backend.metadata(path) is not None
        else:
            there = version in {each.number for each in await self._backend.versions(path)}
        if not there:
            raise no_secret(path) if version is None else NotFound(f"{path} has no such version")

    async def _value(self, row: Mapping[str, Any]) -> Value | None:
        (found,) = await self._backend.get([Wanted(str(row["path"]), row["version"])])
        return whole(found)

    async def _decide(
        self, transaction: AsyncConnection, digest: str | None, tool: str, principal: str
    ) -> tuple[str | None, Mapping[str, Any] | None]:
        """Why the handle may not be resolved, and its lease."""
        row = None if digest is None else await lease_by(transaction, handle_digest=digest)
        if row is None:
            return "handle_unknown", None
        card = await card_of(transaction, str(row["path"]))
        now = self._clock.now()
        # Both are compared in any case, so that time tells nothing of which was wrong.
        his, its = same(principal, str(row["principal"])), same(tool, str(row["tool"]))
        checks = (
            (not his, "handle_of_another_principal"),
            (not its, "handle_of_another_tool"),
            (row["revoked_at"] is not None, "handle_revoked"),
            (row["expires_at"] <= now, "handle_expired"),
            (row["uses_left"] < 1, "handle_used_up"),
            (card.expires_at is not None and card.expires_at <= now, "secret_expired"),
        )
        reason = next((reason for holds, reason in checks if holds), None)
        # A person may have changed his mind since the lease was granted.
        return reason or card.rules.refusal(principal=principal, roles=row["roles"], tool=tool), row


def refused(reason: str, path: str, tool: str) -> NotAllowed:
    """The refusal of a secret to a tool, with what a person can do."""
    told = {
        "tool_not_allowed": f"{path} may not be used by {tool}",
        "principal_not_allowed": f"{path} may not be used by you",
        "secret_expired": f"{path} has expired",
    }
    hints = {
        "tool_not_allowed": f"A person may allow it: `python3 -m flotilla secrets allow {path} "
        f"--tool {tool}`.",
        "principal_not_allowed": f"A person may allow it: `python3 -m flotilla secrets allow "
        f"{path} --principal NAME`.",
        "secret_expired": "A person may write or rotate it.",
    }
    return NotAllowed(told[reason], hint=hints[reason], details={"reason": reason})


def handle_refused(reason: str) -> NotAllowed:
    told = reason.replace("_", " ")
    return NotAllowed(
        f"the handle cannot be resolved: {told}",
        hint="Lease the secret again with leaseSecret, for the tool that will use it.",
        details={"reason": reason},
    )


def _shown(row: Mapping[Any, Any], now: str) -> LeaseShown:
    live = row["revoked_at"] is None and row["expires_at"] > now and row["uses_left"] > 0
    return LeaseShown(
        lease_id=row["id"],
        path=row["path"],
        principal=row["principal"],
        tool=row["tool"],
        uses=row["uses"],
        uses_left=row["uses_left"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        live=live,
    )


def _position(cursor: str) -> tuple[str, str]:
    match decode_cursor("leases", cursor):
        case [str(at), str(last)] if "\0" not in at + last:
            return at, last
        case _:
            raise InvalidArgument("cursor is not one that this tool gave out")
