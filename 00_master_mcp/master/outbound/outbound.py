"""Which external servers need credentials by principal, and where each gets them."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from flotilla import InvalidArgument, Misconfigured, NotFound
from flotilla.credentials import secret_named
from flotilla.database.database import Database
from flotilla.redaction import Redactor
from master.audit.seam import AuditBook
from master.outbound.choice import Exchanged, Granted, Personal, StoredSecret, is_safe
from master.outbound.exchanging import ExchangeSource
from master.outbound.flow import Flow, Wanted
from master.outbound.sealing import Sealing
from master.outbound.sessions import Sessions
from master.outbound.sources import GrantSource, SecretSource, Source, Stored
from master.outbound.store import GrantStore
from master.outbound.talking import Talk
from master.outbound.wallet import Wallet
from master.state.seam import News
from master.upstream.operations import Operations

HUB = "hub"
"""The principal by whose credentials the hub itself asks for lists and health."""


class Outbound:
    """`base_url` is the hub as browsers reach it."""

    def __init__(
        self,
        *,
        database: Database,
        sealing: Sealing,
        operations: Operations | None,
        audit: AuditBook,
        redactor: Redactor,
        news: News,
        base_url: str,
        talk: Talk | None = None,
    ) -> None:
        store, talk = GrantStore(database, sealing), talk or Talk()
        self.wallet = Wallet(store, talk, audit, news)
        self.flow = Flow(store, talk, audit, base_url, self.wallet.given)
        self._stored = Stored(operations)
        self._talk = talk
        self._redactor = redactor
        self._sources: dict[str, Source] = {}
        self._wanted: dict[str, Wanted] = {}
        self._attended: dict[str, Sessions] = {}

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        async with self.wallet.running():
            try:
                yield
            finally:
                for sessions in self._attended.values():
                    await sessions.closed()

    def add(self, server: str, url: str, choice: Personal, client_secret: str | None) -> Source:
        """From now on this server has credentials by principal; Misconfigured says why not."""
        if isinstance(choice, StoredSecret):
            source: Source = SecretSource(server, choice, self._stored, self._redactor)
        elif not is_safe(url, near=True):
            raise Misconfigured(
                f"external server {server}: tokens are sent over https:// alone, "
                "or to this machine itself"
            )
        elif isinstance(choice, Granted):
            wanted = self._wanted[server] = Wanted(server, url, choice, client_secret)
            source = GrantSource(wanted, self.wallet, self._redactor)
        else:
            source = self._exchange(server, choice, client_secret)
        self._sources[server] = source
        return source

    def attend(self, server: str, sessions: Sessions) -> None:
        """End these sessions when the server is removed, or the hub stops."""
        self._attended[server] = sessions

    def remove(self, server: str) -> None:
        if (sessions := self._attended.pop(server, None)) is not None:
            sessions.close()
        self._sources.pop(server, None)
        self._wanted.pop(server, None)

    def of(self, server: str) -> Source | None:
        """Where its credentials come from; None for one that has the same for everybody."""
        return self._sources.get(server)

    async def link(self, server: str, principal: str, *, by: str) -> str:
        """A page where that principal signs in for a server; NotFound, InvalidArgument."""
        wanted = self._wanted.get(server)
        if wanted is None:
            if server in self._sources:
                raise InvalidArgument(f"{server} does not take grants; see its credentials")
            raise NotFound(
                f"no external server {server!r} takes grants",
                hint='Its entry in mcp.json says so by "credentials": {"type": "oauth"}.',
            )
        named = secret_named(wanted.client_secret or "")
        if named is not None:
            value = await self._stored.value(server, named)
            self._redactor.learn([value])
            wanted = Wanted(server, wanted.url, wanted.choice, value)
        return await self.flow.link(wanted, principal, by=by)

    @property
    def urls(self) -> Mapping[str, str]:
        """The addresses of the servers that take grants."""
        return {name: wanted.url for name, wanted in self._wanted.items()}

    def _exchange(self, server: str, choice: Exchanged, client_secret: str | None) -> Source:
        return ExchangeSource(
            server, choice, client_secret, self._stored, self._talk, self._redactor
        )
