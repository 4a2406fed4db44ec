"""What of a hub runs as long as it serves, in the order in which one thing rests on another."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from master.approvals.upkeep import Upkeep
from master.audit.retention import Retention
from master.keys import Keys
from master.others import Others
from master.parts import Parts
from master.policy.opened import began_with
from master.upstream.links import Clients


@asynccontextmanager
async def running(
    parts: Parts, external: Others, clients: Clients, keys: Keys
) -> AsyncGenerator[None]:
    """The hub serves within; `clients` is told what servers tell by themselves."""
    async with (
        parts.steadiness.running(),
        parts.documents.running(),
        parts.database.opened(migrate=not parts.database.is_postgresql),
        parts.audit.running(),
        Retention(parts.audit, parts.audit_settings.retention_days).running(),
        parts.principals.running(),
        keys.running(),
        parts.pool.running(),
        parts.outbound.running(),
        external.running(),
        parts.links.running(clients),
        parts.colleagues.running(),
        parts.courier.running(),
        Upkeep(parts.approvals, parts.runs).running(),
    ):
        parts.audit.note(began_with(parts.policy))
        yield


def not_ready(parts: Parts) -> str | None:
    """Why the hub cannot serve just now; None where it can."""
    if parts.drain.closed:
        return "stopping"
    if parts.audit.refuses:
        return "the audit cannot be written"
    links = parts.links.by_service
    waiting = [name for name in parts.spokes if not links[name].answered_once]
    if waiting:
        return f"waiting for {', '.join(waiting)}"
    return None if parts.released.whole.is_set() else "waiting to know what to hide"
