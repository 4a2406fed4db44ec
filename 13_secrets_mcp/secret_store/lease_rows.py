"""The rows of leases."""

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from secret_store.tables import lease


async def revoke_leases_of(transaction: AsyncConnection, path: str, at: str) -> None:
    """End every lease of a secret."""
    await transaction.execute(
        update(lease)
        .where(lease.c.path == path, lease.c.revoked_at.is_(None))
        .values(revoked_at=at)
    )


async def forget_leases(transaction: AsyncConnection, expired_before: str) -> None:
    """Leave out what ended long ago; the trail keeps what was done with it."""
    await transaction.execute(delete(lease).where(lease.c.expires_at < expired_before))


async def live_leases(connection: AsyncConnection, principal: str, now: str) -> int:
    """How many leases of a principal could still be used."""
    found = await connection.scalar(
        select(func.count())
        .select_from(lease)
        .where(
            lease.c.principal == principal,
            lease.c.expires_at > now,
            lease.c.revoked_at.is_(None),
            lease.c.uses_left > 0,
        )
    )
    return int(found or 0)


async def lease_by(connection: AsyncConnection, **key: str) -> Mapping[str, Any] | None:
    """The lease whose column has that value: `handle_digest` or `id`."""
    ((name, value),) = key.items()
    found = await connection.execute(select(lease).where(lease.c[name] == value))
    return cast("Mapping[str, Any] | None", found.mappings().one_or_none())
