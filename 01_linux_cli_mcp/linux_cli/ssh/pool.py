"""One connection to each host, opened on first use and shared by all calls."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

import anyio
import asyncssh
import structlog

from flotilla import FlotillaError, Unavailable
from flotilla.backoff import delay_s
from linux_cli.ssh.connecting import Checks, Looks, Opened, Shown, close_connection, open_connection
from linux_cli.ssh.inventory import Inventory, SshEntry
from linux_cli.ssh.keys import Keys
from linux_cli.ssh.pins import Pins

log = structlog.get_logger(__name__)

T = TypeVar("T")

IDLE_S = 300.0
_BACKOFF_FIRST_S, _BACKOFF_MOST_S = 0.5, 15.0


@dataclass(eq=False)
class Live:
    """A connection in use; `sessions` bounds those opened on it, `files` is its one for SFTP."""

    connection: asyncssh.SSHClientConnection
    sessions: anyio.Semaphore
    held: AsyncExitStack
    users: int = 0
    set_aside: anyio.Event = field(default_factory=anyio.Event)
    """No new call uses it; it is closed when its last one has ended."""
    ending: bool = False
    files: "FileSession | None" = None
    opening_files: anyio.Lock = field(default_factory=anyio.Lock)

    @property
    def stale(self) -> bool:
        return self.set_aside.is_set()


@dataclass(eq=False)
class FileSession:
    """The one SFTP session of a connection, shared by all calls; it takes one of `sessions`."""

    client: asyncssh.SFTPClient
    users: int = 0
    stale: bool = False


class Link:
    """The pooled connection to one host."""

    def __init__(
        self,
        alias: str,
        entry: SshEntry,
        links: "Links",
        *,
        idle_s: float,
        clock: Callable[[], float],
    ) -> None:
        self.alias = alias
        self.entry = entry
        self._links = links
        self._idle_s = idle_s
        self._clock = clock
        self._live: Live | None = None
        self._connecting: asyncio.Task[Live] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._failures = 0
        self._failed: FlotillaError | None = None
        self._rest_until = 0.0
        self._turn = 0
        """Counts the times that key, trust or connection turned out to be stale."""

    @property
    def connected(self) -> bool:
        return self._live is not None

    @asynccontextmanager
    async def use(self) -> AsyncGenerator[Live]:
        """The connection, kept open within; Unavailable and the like when there is none."""
        live = await self._current()
        live.users += 1
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        try:
            yield live
        finally:
            live.users -= 1
            self._left(live)

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[Live]:
        """As `use`, with one of the connection's sessions to open within."""
        async with self.use() as live, live.sessions:
            yield live

    def retire(self, live: Live | None = None) -> None:
        """Connect anew for the next call; the old connection ends with its last call."""
        if live is None or live is self._live:
            # What an older one leaves late says nothing of one that is being made since.
            self._turn += 1
            live, self._live = live or self._live, None
        self.forgive()
        if live is not None:
            live.set_aside.set()
            self._left(live)

    def forgive(self) -> None:
        """Try at once again, since something has changed."""
        self._failures, self._failed, self._rest_until = 0, None, 0.0

    async def close(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        live, self._live = self._live, None
        if live is not None:
            await self._end(live)

    async def _current(self) -> Live:
        if self._live is not None:
            return self._live
        if self._connecting is None:
            if self._failed is not None and self._clock() < self._rest_until:
                # Without the way of the calls before, which it would gather.
                raise self._failed.with_traceback(None)
            self._connecting = self._links.spawn(self._connect())
            self._connecting.add_done_callback(self._connected)
        # Shielded: one caller that gives up must not take the connection from the others.
        return await asyncio.shield(self._connecting)

    def _connected(self, task: "asyncio.Task[Live]") -> None:
        self._connecting = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self.forgive()
        elif isinstance(error, FlotillaError):
            self._failures += 1
            self._failed = error
            pause_s = delay_s(self._failures, _BACKOFF_FIRST_S, _BACKOFF_MOST_S)
            self._rest_until = self._clock() + pause_s
            log.warning(
                "host_not_connected", host=self.alias, code=error.code, tries=self._failures
            )

    async def _connect(self) -> Live:
        turn = self._turn
        async with AsyncExitStack() as stack:
            via = await self._links.way(self.entry, stack)
            opened = await self._links.open(self.alias, self.entry, via)
            if turn != self._turn:
                # By a key, or a trust, that has been taken back meanwhile.
                await close_connection(opened.connection)
                raise Unavailable(f"what host {self.alias!r} is reached by has just changed")
            live = Live(
                opened.connection, anyio.Semaphore(self.entry.max_sessions), stack.pop_all()
            )
        opened.checks.lost = lambda: self._lost(live)
        self._live = live
        log.info("host_connected", host=self.alias)
        self._left(live)
        return live

    def _lost(self, live: Live) -> None:
        live.set_aside.set()
        if self._live is live:
            self._live = None
            log.warning("host_disconnected", host=self.alias)
        self._left(live)

    def _left(self, live: Live) -> None:
        if live.users:
            return
        if live.stale:
            if self._links.is_open and not live.ending:
                live.ending = True
                self._links.spawn(self._end(live))
        elif self._idle is None and self._live is live:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(self._idle_s, self._rest, live)

    def _rest(self, live: Live) -> None:
        self._idle = None
        if self._live is live and not live.users:
            log.info("host_idle", host=self.alias)
            self.retire(live)

    async def _end(self, live: Live) -> None:
        live.set_aside.set()
        held, live.held = live.held, AsyncExitStack()
        await close_connection(live.connection)
        await held.aclose()


class Links:
    """The connections to all hosts of the inventory, while `open`."""

    def __init__(
        self,
        inventory: Inventory,
        keys: Keys,
        pins: Pins,
        *,
        connect_s: float,
        idle_s: float = IDLE_S,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._keys = keys
        self._pins = pins
        self._connect_s = connect_s
        self._tasks: set[asyncio.Task[Any]] = set()
        self.is_open = False
        self.by_alias = {
            alias: Link(alias, entry, self, idle_s=idle_s, clock=clock)
            for alias, entry in inventory
        }

    @asynccontextmanager
    async def open_all(self) -> AsyncGenerator[None]:
        """Hosts may be reached within; all connections end with it."""
        self.is_open = True
        try:
            yield
        finally:
            self.is_open = False
            with anyio.CancelScope(shield=True):
                # Those behind a jump host first, as each keeps its jump host's connection.
                for link in sorted(self.by_alias.values(), key=self._depth, reverse=True):
                    await link.close()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def secret_changed(self, name: str) -> None:
        """Connect anew to the hosts whose key comes from that stored secret."""
        for link in self.by_alias.values():
            if name in link.entry.secrets():
                link.retire()

    async def way(
        self, entry: SshEntry, stack: AsyncExitStack
    ) -> asyncssh.SSHClientConnection | None:
        """The connection to the jump host, kept open as long as `stack`; None without one."""
        if entry.jump is None:
            return None
        live = await stack.enter_async_context(self.by_alias[entry.jump].use())
        return live.connection

    async def open(
        self,
        alias: str,
        entry: SshEntry,
        via: asyncssh.SSHClientConnection | None,
        checks: Checks | None = None,
    ) -> Opened:
        """A connection of one's own to a host, with its key checked against the pin."""
        checks = checks or self.checks(alias, entry)
        key = await self._keys.of(alias, entry)
        pin = self._pins.get(alias)
        return await open_connection(
            alias,
            entry,
            checks,
            key,
            via=via,
            timeout_s=self._connect_s,
            algorithm=pin.algorithm if pin else None,
        )

    async def look(self, alias: str) -> Shown:
        """The key that a host shows now; it has proved that it holds it, and saw none of ours."""
        entry = self.by_alias[alias].entry
        looks = Looks()
        async with AsyncExitStack() as stack:
            via = await self.way(entry, stack)
            try:
                opened = await open_connection(
                    alias, entry, looks, None, via=via, timeout_s=self._connect_s
                )
            except FlotillaError as error:
                # Without a key of ours it ends there, as it should.
                if looks.shown is None or error.details.get("reason") != "key_refused":
                    raise
            else:
                await close_connection(opened.connection)
        if looks.shown is None:
            raise Unavailable(f"host {alias!r} shows no key")
        return looks.shown

    def pin_changed(self, alias: str) -> None:
        """Connect anew, by the key that is trusted now."""
        self.by_alias[alias].retire()

    def checks(self, alias: str, entry: SshEntry) -> Checks:
        pin = self._pins.get(alias)
        return Checks(entry.host_key or (pin.fingerprint if pin else None))

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` on its own; it is waited for when the hosts are closed."""
        if not self.is_open:
            work.close()
            raise Unavailable("hosts cannot be reached while the service starts or stops")
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _depth(self, link: Link) -> int:
        depth, jump = 0, link.entry.jump
        while jump is not None:
            depth, jump = depth + 1, self.by_alias[jump].entry.jump
        return depth
