"""The hub's one pool of connections to servers."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp

POOL_KEEP_ALIVE_S = 30.0
"""Shorter than the services', so that a pooled connection is never one that they just closed."""


class ConnectionPool:
    """Open inside `running`. Limits on calls in flight are not its business."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        assert self._session is not None, "the pool is used inside `running` alone"
        return self._session

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=POOL_KEEP_ALIVE_S)
        cookies = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(connector=connector, cookie_jar=cookies) as session:
            self._session = session
            yield
