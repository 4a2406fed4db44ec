"""A site on loopback that answers byte by byte as a test has it, and a fetcher that goes to it by
the real gate."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from flotilla import Context, Deadline, Principal
from flotilla.redaction import Redactor
from flotilla.toolbox import Toolbox
from tests.listening import stop_listening
from web_browsing.fetching.fetcher import Fetcher, Render
from web_browsing.fetching.pages import PageTools
from web_browsing.fetching.readers import Readers
from web_browsing.gate.proxy import Proxy
from web_browsing.gate.rules import Rules
from web_browsing.settings import Settings

Write = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Asked:
    path: str
    headers: dict[str, str]


@dataclass
class Site:
    """Answers by path: with what, or not at all (None); what has no page answers 404. `left` are
    paths whose client hung up."""

    port: int = 0
    pages: dict[str, bytes | Write | Callable[[Asked], bytes] | None] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def paths(self) -> list[str]:
        return [each.path for each in self.asked if each.path != "/robots.txt"]

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self.serve(reader, writer))
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = ""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.strip().split("\r\n")
                path = first.split(" ")[1].removeprefix(self.url)
                parted = (line.partition(":") for line in lines)
                asked = Asked(path, {name.lower(): value.strip() for name, _, value in parted})
                self.asked.append(asked)
                page = self.pages.get(path.partition("?")[0], answer(b"nothing", 404))
                if page is None:
                    await reader.read()
                    self.left.append(path)
                    break
                if isinstance(page, bytes):
                    writer.write(page)
                    await writer.drain()
                    path = ""
                elif asyncio.iscoroutinefunction(page):
                    await page(writer)
                    break
                else:
                    writer.write(page(asked))
                    path = ""
        except (OSError, EOFError, asyncio.IncompleteReadError):
            # One that was answered whole may go.
            if path:
                self.left.append(path)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def answer(body: bytes = b"", status: int = 200, **headers: str) -> bytes:
    """A whole HTTP answer; headers as `content_type="text/html"`."""
    said = {"content_type": "text/html; charset=utf-8", **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in said.items()]
    lines.append(f"content-length: {len(body)}")
    return (
        f"HTTP/1.1 {status} Whatever\r\n".encode()
        + "\r\n".join(lines).encode()
        + (b"\r\n\r\n" + body)
    )


def article(words: str, title: str = "A title", more: str = "") -> bytes:
    """A page with enough of a main text that every reader finds it."""
    text = f"<p>{words} {'This sentence is here so that there is something to read. ' * 6}</p>"
    return (
        f"<!doctype html><html lang=en><head><title>{title}</title>{more}</head><body>"
        f"<main><article><h1>{title}</h1>{text * 3}</article></main></body></html>"
    ).encode()


@asynccontextmanager
async def site_running() -> AsyncGenerator[Site]:
    site = Site()
    server = await asyncio.start_server(site.accept, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        await stop_listening(server)
        for task in list(site.serving):
            task.cancel()
        await asyncio.gather(*site.serving, return_exceptions=True)


@pytest.fixture(scope="package")
def anyio_backend() -> str:
    """One loop for the package: what takes long to start is started once."""
    return "asyncio"


@pytest.fixture(scope="package")
async def readers() -> AsyncGenerator[Readers]:
    shared = Readers()
    async with shared.opened():
        yield shared


@pytest.fixture(scope="package")
def tls() -> ssl.SSLContext:
    """The system's authorities, which take a while to load."""
    return ssl.create_default_context()


@pytest.fixture(scope="package")
async def lasting_site() -> AsyncGenerator[Site]:
    async with site_running() as running:
        yield running


@pytest.fixture(scope="package")
def gate(lasting_site: Site) -> Proxy:
    return Proxy(Rules.of((80, 443), [f"127.0.0.1:{lasting_site.port}"]))


@pytest.fixture
def site(lasting_site: Site) -> Site:
    """Swept clean."""
    for each in (lasting_site.pages, lasting_site.asked, lasting_site.left):
        each.clear()
    return lasting_site


def a_context(seconds: float = 20, who: str = "ann") -> Context:
    return Context(principal=Principal(who), correlation_id="c-1", deadline=Deadline.after(seconds))


@dataclass
class Tools:
    """The three tools as a client calls them."""

    box: Toolbox
    fetcher: Fetcher

    async def call(
        self, name: str, *, within_s: float = 20, who: str = "ann", **arguments: Any
    ) -> dict[str, Any]:
        """The structured result, or the error object where it is one (it has a `code`)."""
        result = await self.box.call(f"web.browse.{name}", arguments, a_context(within_s, who))
        if result["isError"]:
            error: dict[str, Any] = result["_meta"]["io.flotilla/error"]
            return error
        structured: dict[str, Any] = result["structuredContent"]
        return structured

    async def fetch(self, url: str, **arguments: Any) -> dict[str, Any]:
        return await self.call("fetchPage", url=url, **arguments)


async def drip(writer: asyncio.StreamWriter, head: bytes, piece: bytes, every_s: float) -> None:
    """An answer without end."""
    writer.write(head)
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(every_s)


OpenTools = Callable[..., AbstractAsyncContextManager[Tools]]


@pytest.fixture
def open_tools(readers: Readers, tls: ssl.SSLContext) -> OpenTools:
    """The tools with a gate that lets through to `sites`, or with `proxy`; further arguments are
    settings."""

    @asynccontextmanager
    async def opened(
        *sites: Site,
        render: Render | None = None,
        proxy: Proxy | None = None,
        ports: tuple[int, ...] = (80, 443),
        **settings: Any,
    ) -> AsyncGenerator[Tools]:
        allowed = [f"127.0.0.1:{each.port}" for each in sites]
        fetcher = Fetcher(
            Settings(**settings),
            proxy or Proxy(Rules.of(ports, allowed)),
            render=render,
            readers=readers,
            tls=None if "authorities" in settings else tls,
        )
        async with fetcher.opened():
            yield Tools(Toolbox(PageTools(fetcher).tools(), Redactor()), fetcher)

    return opened


@pytest.fixture
async def tools(gate: Proxy, open_tools: OpenTools) -> AsyncGenerator[Tools]:
    async with open_tools(proxy=gate) as opened:
        yield opened
