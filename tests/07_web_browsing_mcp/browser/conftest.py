"""A site on loopback, and sessions of a real Chromium that go to it by the real gate."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flotilla import Context, Deadline, Principal
from tests.listening import stop_listening
from tests.web_site import Asked, next_asked
from tests.web_site import answer as answer
from web_browsing.browser.engine import Equipment
from web_browsing.browser.sessions import Sessions, equipment_of
from web_browsing.gate.proxy import Proxy
from web_browsing.gate.rules import Rules
from web_browsing.settings import Settings

Page = bytes | str | Callable[[Asked], bytes] | Callable[[Asked], Awaitable[bytes]]


@dataclass
class Site:
    """Answers by path, without the query; what has no page answers 404."""

    port: int = 0
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def sent(self) -> list[Asked]:
        """What was sent here, beyond looking."""
        return [each for each in self.asked if each.method not in ("GET", "HEAD", "OPTIONS")]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                asked = await next_asked(reader)
                self.asked.append(asked)
                writer.write(await self._answer(asked))
                await writer.drain()
        writer.close()

    async def _answer(self, asked: Asked) -> bytes:
        page = self.pages.get(asked.place, answer("nothing", 404))
        if callable(page):
            made = page(asked)
            page = made if isinstance(made, bytes) else await made
        return answer(page) if isinstance(page, str) else page


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def harbour(anyio_backend: str) -> AsyncGenerator[Site]:
    """One server for the tests of a module, so that they may share a browser."""
    site = Site()
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    yield site
    await stop_listening(server)


@pytest.fixture
def site(harbour: Site) -> Site:
    harbour.pages.clear()
    harbour.asked.clear()
    return harbour


Browsing = Callable[..., AbstractAsyncContextManager[Sessions]]


@asynccontextmanager
async def opened_sessions(
    site: Site,
    folder: Path,
    *,
    allow_hosts: tuple[str, ...] = (),
    equipment: dict[str, Any] | None = None,
    resolve: Any = None,
    unused_s: float = 60.0,
    try_after_s: float = 3600,
    **settings: Any,
) -> AsyncGenerator[Sessions]:
    """Sessions whose browser reaches `site` alone.

    `equipment` changes what Chromium is started with; `resolve` is the proxy's. What is not about
    the trial of the browser has none.
    """
    hosts = (*allow_hosts, f"127.0.0.1:{site.port}")
    chosen = Settings(allow_hosts=hosts, **settings)
    proxy = Proxy(Rules.of(chosen.ports, chosen.allow_hosts), resolve=resolve)
    started: Equipment = replace(equipment_of(chosen, proxy.spki_hash), **(equipment or {}))
    sessions = Sessions(
        proxy, chosen, folder, equipment=started, unused_s=unused_s, try_after_s=try_after_s
    )
    async with sessions.lifespan():
        yield sessions


@pytest.fixture
def browsing(site: Site, tmp_path: Path) -> Browsing:
    """`async with browsing(max_tabs=2) as sessions`: as `opened_sessions`, for one test alone."""
    return partial(opened_sessions, site, tmp_path / "downloads")


@pytest.fixture(scope="module")
async def shared_sessions(
    harbour: Site, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Sessions]:
    """For the tests of a module that want nothing particular: the browser is started once."""
    async with opened_sessions(harbour, tmp_path_factory.mktemp("shared") / "downloads") as shared:
        yield shared


@pytest.fixture
def calling() -> Callable[..., Context]:
    """`calling("ada", 20)`: the context of a call of hers that has 20 s."""

    def context(name: str = "ada", deadline_s: float = 30) -> Context:
        return Context(
            principal=Principal(name),
            correlation_id=f"of-{name}",
            deadline=Deadline.after(deadline_s),
        )

    return context
