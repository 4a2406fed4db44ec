"""Ways from loopback here to a port behind a host, for a limited time."""

import secrets
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import asyncssh
import structlog
from anyio.abc import Listener, SocketAttribute, SocketStream, TaskGroup

from flotilla import NotAllowed, NotFound, RateLimited, Unavailable
from linux_cli.ssh.inventory import target_of
from linux_cli.ssh.pool import Link

log = structlog.get_logger(__name__)

MAX_TTL_S = 3600.0
_MAX_TUNNELS = 16
_MAX_CONNECTIONS = 32
_RETRY_AFTER_MS = 10_000
_READ_BYTES = 64 * 1024
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Tunnel:
    """An open tunnel; it listens on 127.0.0.1 here, and nowhere else."""

    id: str
    host: str
    target: str
    port: int
    opened_by: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Open:
    tunnel: Tunnel
    scope: anyio.CancelScope
    closed: anyio.Event = field(default_factory=anyio.Event)


class Tunnels:
    """The tunnels that are open; all close with `open`'s end."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._group: TaskGroup | None = None

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        async with anyio.create_task_group() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                group.cancel_scope.cancel()

    def listed(self) -> list[Tunnel]:
        return [one.tunnel for one in self._open.values()]

    async def dig(self, link: Link, target: str, *, ttl_s: float, opened_by: str) -> Tunnel:
        """Open one; NotAllowed for a target that the inventory does not name for the host."""
        if target not in link.entry.tunnels:
            named = ", ".join(link.entry.tunnels) or "none"
            raise NotAllowed(
                f"the inventory allows no tunnel to {target!r} through {link.alias!r}",
                hint=f"Allowed there: {named}. The owner names others in hosts.yaml (`tunnels`).",
            )
        if self._group is None:
            raise Unavailable("tunnels cannot be opened while the service starts or stops")
        if len(self._open) >= _MAX_TUNNELS:
            raise RateLimited(
                f"{_MAX_TUNNELS} tunnels are open, as many as may",
                retry_after_ms=_RETRY_AFTER_MS,
                hint="Close one by closeTunnel.",
            )
        return await self._group.start(self._serve, link, target, ttl_s, opened_by)

    async def close(self, tunnel_id: str) -> Tunnel:
        """Close one with all that goes through it."""
        found = self._open.get(tunnel_id)
        if found is None:
            raise NotFound(f"there is no tunnel {tunnel_id!r}", hint="listHosts names those open.")
        found.scope.cancel()
        await found.closed.wait()
        return found.tunnel

    async def _serve(
        self,
        link: Link,
        target: str,
        ttl_s: float,
        opened_by: str,
        *,
        task_status: anyio.abc.TaskStatus[Tunnel],
    ) -> None:
        entry: _Open | None = None
        try:
            async with (
                link.use() as live,
                await anyio.create_tcp_listener(local_host=_LOOPBACK) as listener,
            ):
                tunnel = Tunnel(
                    id=secrets.token_hex(8),
                    host=link.alias,
                    target=target,
                    port=listener.extra(SocketAttribute.local_port),  # noqa: S610 - no Django here
                    opened_by=opened_by,
                    expires_at=datetime.now(UTC) + timedelta(seconds=ttl_s),
                )
                with anyio.move_on_after(ttl_s) as scope:
                    entry = _Open(tunnel, scope)
                    self._open[tunnel.id] = entry
                    log.info("tunnel_opened", tunnel=tunnel.id, host=link.alias, target=target)
                    task_status.started(tunnel)
                    async with anyio.create_task_group() as group:
                        group.start_soon(self._accept, listener, live.connection, target, link)
                        await live.set_aside.wait()
                        group.cancel_scope.cancel()
        finally:
            # Only now is nothing of it there any more.
            if entry is not None:
                del self._open[entry.tunnel.id]
                entry.closed.set()
                log.info("tunnel_closed", tunnel=entry.tunnel.id, host=link.alias)

    async def _accept(
        self,
        listener: Listener[SocketStream],
        connection: asyncssh.SSHClientConnection,
        target: str,
        link: Link,
    ) -> None:
        places = anyio.Semaphore(_MAX_CONNECTIONS)

        async def serve(stream: SocketStream) -> None:
            # Beyond that many at once a connection waits, as in any queue.
            async with places, stream:
                with _one_way():
                    await _carry(stream, connection, target, link)

        await listener.serve(serve)


async def _carry(
    near: SocketStream, connection: asyncssh.SSHClientConnection, target: str, link: Link
) -> None:
    """Bytes both ways until both are done; what goes wrong ends this connection alone."""
    host, port = target_of(target)
    try:
        # An open connection gives bytes unless it was opened with an encoding.
        opens: Any = connection
        reader, writer = await opens.open_connection(host, port, encoding=None)
    except (asyncssh.Error, OSError) as error:
        log.warning("tunnel_refused", host=link.alias, target=target, reason=str(error))
        return

    async def out() -> None:
        with _one_way():
            async for data in near:
                writer.write(data)
                await writer.drain()
            writer.write_eof()

    async def back() -> None:
        with _one_way():
            while data := await reader.read(_READ_BYTES):
                await near.send(data)
            await near.send_eof()

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(out)
            group.start_soon(back)
    finally:
        writer.close()
        with anyio.move_on_after(1, shield=True), suppress(asyncssh.Error, OSError):
            await writer.wait_closed()


@contextmanager
def _one_way() -> Generator[None]:
    """One way may end badly: the other sees that by itself."""
    with suppress(asyncssh.Error, OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        yield
