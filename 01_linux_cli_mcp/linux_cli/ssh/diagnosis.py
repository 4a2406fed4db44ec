"""Where the way to a host fails: each step of a connection, timed."""

import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from time import perf_counter

import anyio
import asyncssh

from flotilla import FlotillaError
from linux_cli.ssh.connecting import Checks, close_connection, told
from linux_cli.ssh.host import SshHost
from linux_cli.ssh.pool import Links
from linux_cli.ssh.sftp import file_errors, file_session
from linux_cli.ssh.steps import Step

_QUICK_S = 10.0


class Timed(Checks):
    """Notes when the host was reached, and when its key was shown."""

    def __init__(self, pinned: str | None) -> None:
        super().__init__(pinned)
        self.reached_at: float | None = None
        self.shown_at: float | None = None

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        del conn
        self.reached_at = perf_counter()

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        self.shown_at = perf_counter()
        return super().validate_host_public_key(host, addr, port, key)


class Diagnosis:
    """One walk along the steps; it ends at the first that fails."""

    def __init__(self, links: Links, host: SshHost) -> None:
        self._links = links
        self._host = host
        self._steps: list[Step] = []

    async def walk(self) -> tuple[list[Step], FlotillaError | None]:
        """The steps taken, and why it ended early."""
        try:
            await self._connect()
            # What the pool remembers of earlier failures is not asked.
            self._host.link.forgive()
            await self._timed("command", self._command)
            await self._timed("sftp", self._files)
        except FlotillaError as error:
            return self._steps, error
        return self._steps, None

    async def _connect(self) -> None:
        alias, entry = self._host.name, self._host.link.entry
        async with AsyncExitStack() as stack:
            via = None
            if entry.jump is None:
                await self._timed("resolve", self._resolve)
            else:
                async with self._step("jump", lambda: f"through {entry.jump}"):
                    self._links.by_alias[entry.jump].forgive()
                    via = await self._links.way(entry, stack)
            pinned = self._links.checks(alias, entry).pinned
            checks = Timed(pinned)
            began = perf_counter()
            try:
                opened = await self._links.open(alias, entry, via, checks)
            except FlotillaError as error:
                self._account(began, checks, error)
                raise
            self._account(began, checks, None)
            await close_connection(opened.connection)

    def _account(self, began: float, checks: Timed, error: FlotillaError | None) -> None:
        """Part one connection into its steps; `error` belongs to the last that was begun."""
        ended = perf_counter()
        marks = (
            ("tcp", checks.reached_at),
            ("hostKey", checks.shown_at if error is None or not _of_key(error) else None),
            ("authenticate", None if error else ended),
        )
        for name, at in marks:
            if at is None:
                self._add(name, began, ended, error)
                return
            detail = checks.shown.fingerprint if name == "hostKey" and checks.shown else None
            self._steps.append(Step(name=name, ok=True, duration_ms=_ms(began, at), detail=detail))
            began = at

    async def _resolve(self) -> str:
        entry = self._host.link.entry
        try:
            found = await anyio.getaddrinfo(entry.address, entry.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise told(self._host.name, entry, error) from None
        return ", ".join(dict.fromkeys(str(one[4][0]) for one in found))

    async def _command(self) -> str:
        said = await self._host.ask("id -un; uname -sr", timeout_s=_QUICK_S)
        return ", ".join(said.decode(errors="replace").split("\n")[:2])

    async def _files(self) -> str:
        async with file_session(self._host.link) as sftp:
            with file_errors(self._host.name, "/"):
                await sftp.stat(b"/")
                return f"version {sftp.version}"

    async def _timed(self, name: str, work: Callable[[], Awaitable[str]]) -> None:
        detail = ""
        async with self._step(name, lambda: detail):
            detail = await work()

    @asynccontextmanager
    async def _step(self, name: str, detail: Callable[[], str]) -> AsyncGenerator[None]:
        began = perf_counter()
        try:
            yield
        except FlotillaError as error:
            self._add(name, began, perf_counter(), error)
            raise
        self._steps.append(
            Step(name=name, ok=True, duration_ms=_ms(began, perf_counter()), detail=detail())
        )

    def _add(self, name: str, began: float, ended: float, error: FlotillaError | None) -> None:
        detail = error.message if error else None
        self._steps.append(Step(name=name, ok=False, duration_ms=_ms(began, ended), detail=detail))


def _of_key(error: FlotillaError) -> bool:
    return str(error.details.get("reason", "")).startswith("host_key")


def _ms(began: float, ended: float) -> float:
    return round((ended - began) * 1000, 1)
