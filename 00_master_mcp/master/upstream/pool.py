"""The hub's connections to all its servers."""

import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from master.upstream.transport.client import Client
from master.upstream.transport.plain import PlainClient
from master.upstream.transport.resolve import Ask, Names
from master.upstream.transport.target import Target
from master.upstream.transport.with_aiohttp import AiohttpClient


class ConnectionPool:
    """Open inside `running`. Limits on calls in flight are not its business."""

    def __init__(
        self, ask: Ask | None = None, tls: Mapping[str, ssl.SSLContext] | None = None
    ) -> None:
        """`ask` finds the addresses of names, the system's by default.

        `tls` is how the hub shows who it is to servers of its own, by their `host:port`; to all
        others it shows nothing, and they are checked as a browser would.
        """
        self._ask = ask
        self._tls = tls or {}
        self._plain: Client | None = None
        self._general: Client | None = None

    def client(self, target: Target) -> Client:
        """What sends requests there: our own client where it can, which is the faster one."""
        client = self._plain if target.plain else self._general
        assert client is not None, "the pool is used inside `running` alone"
        return client

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        self._plain, self._general = (
            PlainClient(names=Names(self._ask)),
            AiohttpClient(tls=self._tls),
        )
        try:
            yield
        finally:
            await self._plain.close()
            await self._general.close()
