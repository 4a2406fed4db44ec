"""From an entry to a running server: secrets, program, home, fetch, sandbox, process."""

import hashlib
import json
import platform
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import structlog
from anyio import to_thread

from flotilla import NotConfigured, Unavailable
from flotilla.leftovers import Ledger
from flotilla.redaction import Redactor
from master.external.cgroup import Cgroups
from master.external.child import MAX_LINE_BYTES, Child, running
from master.external.config import ServerEntry
from master.external.fetch import Fetch, fetch_of, forwarded
from master.external.handles import Resolved, resolve
from master.external.prepare import prepare, unusable
from master.external.sandbox import Means, Wish, seal

log = structlog.get_logger(__name__)

FETCH_S = 300.0


@dataclass(frozen=True)
class Launcher:
    """Starts the programs of external servers in `folder`, each with a home of its own there.

    `hidden` is what no server may see or be given a folder of (the fleet's data, configuration and
    secrets), `closed` are the folders whose files no handle may name (the fleet's data); `env` is
    the environment in which handles are looked up; `fleet_secrets` are kept out of servers' logs.
    """

    folder: Path
    means: Means
    cgroups: Cgroups | None = None
    hidden: tuple[Path, ...] = ()
    closed: tuple[Path, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    fleet_secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def ledger(self) -> Ledger:
        """What runs now."""
        return Ledger(self.folder / ".running")

    def settle(self) -> None:
        """End what a former life of the hub that was killed left running; once, before any start.

        It blocks for a look at every process.
        """
        if left := self.ledger.settle():
            log.warning("external_leftovers_ended", servers=left)
        if self.cgroups is not None:
            self.cgroups.settle()

    def resolved(self, name: str, entry: ServerEntry) -> Resolved:
        """The entry with its handles replaced; NotConfigured names what is missing."""
        return resolve(name, entry, self.env, self.closed)

    @asynccontextmanager
    async def open(
        self, name: str, entry: ServerEntry, max_line_bytes: int = MAX_LINE_BYTES
    ) -> AsyncGenerator[Child]:
        """The server runs within, and at the end is gone with everything that it started.

        NotConfigured when something is missing, Unavailable when it cannot be fetched or started.
        """
        if platform.system() != "Linux":
            raise NotConfigured(
                f"external server {name}: only Linux can shut a program in",
                hint="Run it elsewhere, and give its url.",
            )
        resolved = await to_thread.run_sync(self.resolved, name, entry)
        wish = await to_thread.run_sync(self._wish, name, resolved)
        redactor = resolved.redactor(self.fleet_secrets)
        fetch = fetch_of(wish.program, wish.args) if not wish.network else None
        if fetch is not None:
            await self._fetch(wish, fetch, redactor)
            wish = replace(wish, env={**fetch.offline, **wish.env})
        sealed = seal(wish, self._means, secrets.token_hex(16))
        if sealed.protection.weaker:
            log.warning("external_server_weaker", server=name, weaker=sealed.protection.weaker)
        for sentence in unusable(wish):
            log.warning("external_server_folder", server=name, problem=sentence)
        async with running(
            sealed,
            redactor=redactor,
            ledger=self.ledger,
            cgroups=self.cgroups,
            max_line_bytes=max_line_bytes,
        ) as child:
            yield child

    @property
    def _means(self) -> Means:
        return replace(self.means, cgroup=self.cgroups is not None)

    def _wish(self, name: str, resolved: Resolved) -> Wish:
        return prepare(
            name,
            resolved,
            self.means,
            folder=self.folder,
            hidden=self.hidden,
            env=self.env,
        )

    async def _fetch(self, wish: Wish, fetch: Fetch, redactor: Redactor) -> None:
        """Fetch the server's package unless that was done; the record lies out of its reach."""
        record = self.folder / wish.server / "fetched"
        digest = _digest((wish.program, *fetch.args))
        fetched = record.exists() and record.read_text() == digest
        if fetched and fetch.pinned:
            return
        alone = replace(
            wish,
            args=fetch.args,
            env=forwarded(wish.env),
            network=True,
            readable=(),
            writable=(),
            cwd=None,
        )
        log.info("external_server_fetch", server=wish.server, args=fetch.args)
        try:
            await self._run_to_end(alone, redactor)
        except Unavailable as error:
            if not fetched:
                raise
            log.warning("external_server_not_renewed", server=wish.server, reason=error.message)
        else:
            record.write_text(digest)

    async def _run_to_end(self, wish: Wish, redactor: Redactor) -> None:
        sealed = seal(wish, self._means, secrets.token_hex(16))
        with suppress(TimeoutError), anyio.fail_after(FETCH_S):
            async with running(
                sealed, redactor=redactor, ledger=self.ledger, cgroups=self.cgroups
            ) as child:
                async for _ in child.lines():
                    pass
                await child.wait()
                ended = await child.end()
            if ended.code == 0:
                return
            raise Unavailable(f"cannot fetch external server {wish.server}: {ended.reason}")
        raise Unavailable(f"cannot fetch external server {wish.server} in {FETCH_S:.0f} s")


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
