"""The ways to read a page that are compared: each takes a URL and gives what a model would get."""

import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import trafilatura
from mcp import Client, StdioServerParameters
from reading.scoring import words_of_markdown, words_of_snapshot
from wire.peers.install import node_peer, program, python_peer, script
from wire.peers.peer import Skipped

from flotilla import Context, Deadline, Principal
from flotilla.redaction import Redactor
from flotilla.toolbox import Toolbox
from web_browsing.fetching.fetcher import Fetcher
from web_browsing.fetching.pages import PageTools
from web_browsing.gate.proxy import Proxy
from web_browsing.gate.rules import Rules
from web_browsing.settings import Settings

PAGE_S = 60.0
FETCH = "mcp-server-fetch==2026.10.24"
PLAYWRIGHT = "@playwright/mcp@0.0.83"
CHROMIUM = "/usr/bin/chromium"
NOBODY = "65534"

Read = Callable[[str], Awaitable[str]]


class Failed(Exception):
    """A page was not read; the message says why."""


@dataclass(frozen=True)
class Way:
    """`opened` gets the port of the pages; `words` takes the format out of what was answered."""

    name: str
    opened: Callable[[int], AbstractAsyncContextManager[Read]]
    words: Callable[[str], str] = words_of_markdown


@asynccontextmanager
async def fetch_page(port: int) -> AsyncGenerator[Read]:
    """Our tool as its toolbox answers it: through the gate, read in its own process."""
    settings = Settings(allow_hosts=(f"127.0.0.1:{port}",))
    fetcher = Fetcher(settings, Proxy(Rules.of(settings.ports, settings.allow_hosts)))
    box = Toolbox(PageTools(fetcher).tools(), Redactor())

    async def read(url: str) -> str:
        told: list[str] = []
        at: int | None = 0
        while at is not None:
            arguments = {"url": url, "startIndex": at, "maxLength": 48_000}
            context = Context(
                principal=Principal("benchmark"),
                correlation_id="benchmark",
                deadline=Deadline.after(PAGE_S),
            )
            result = await box.call("web.browse.fetchPage", arguments, context)
            if result["isError"]:
                raise Failed(str(result["content"])[:300])
            told.append(result["structuredContent"]["text"])
            at = result["structuredContent"].get("nextStartIndex")
        return "".join(told)

    async with fetcher.opened():
        yield read


@asynccontextmanager
async def plain_trafilatura(port: int) -> AsyncGenerator[Read]:
    """The library by itself, as Markdown with links."""
    del port
    async with aiohttp.ClientSession() as session:

        async def read(url: str) -> str:
            async with session.get(url) as answer:
                html = await answer.text(errors="replace")
            extract: Any = trafilatura.extract
            return (
                extract(
                    html,
                    url=url,
                    output_format="markdown",
                    include_links=True,
                    include_comments=False,
                )
                or ""
            )

        yield read


@asynccontextmanager
async def mcp_server_fetch(port: int) -> AsyncGenerator[Read]:
    """The official fetch server: a port of Readability, then Markdown."""
    del port
    python_peer("mcp-server-fetch", FETCH)
    server = StdioServerParameters(
        command=str(program("mcp-server-fetch", "mcp-server-fetch")),
        args=["--ignore-robots-txt", "--allow-private-ips"],
    )
    async with Client(server) as client:

        async def read(url: str) -> str:
            arguments = {"url": url, "max_length": 999_999}
            text = _text(await client.call_tool("fetch", arguments))
            return text.partition("Contents of ")[2].partition("\n")[2]

        yield read


@asynccontextmanager
async def playwright_mcp(port: int) -> AsyncGenerator[Read]:
    """The accessibility snapshot of a browser, which the page's own scripts have run in."""
    del port
    node_peer("playwright-mcp", PLAYWRIGHT)
    if shutil.which(CHROMIUM) is None:
        raise Skipped(f"there is no {CHROMIUM} here")
    with tempfile.TemporaryDirectory() as home:
        command = [shutil.which("node") or "node", str(script("playwright-mcp"))]
        command += ["--executable-path", CHROMIUM, "--headless", "--isolated", "--no-sandbox"]
        command += ["--output-dir", home]
        if os.geteuid() == 0 and shutil.which("setpriv"):
            os.chown(home, int(NOBODY), int(NOBODY))
            as_nobody = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]
            command = [*as_nobody, *command]
        env = {"HOME": home, "PATH": os.environ["PATH"]}
        server = StdioServerParameters(command=command[0], args=command[1:], env=env, cwd=home)
        async with Client(server) as client:

            async def read(url: str) -> str:
                await client.call_tool("browser_navigate", {"url": url})
                said = _text(await client.call_tool("browser_snapshot", {}))
                return said.partition("```yaml\n")[2].rpartition("```")[0] or said

            yield read


def _text(result: Any) -> str:
    text = "\n".join(each.text for each in result.content if each.type == "text")
    if result.is_error:
        raise Failed(text[:300])
    return text


WAYS = (
    Way("fetchPage", fetch_page),
    Way("trafilatura", plain_trafilatura),
    Way("mcp-server-fetch", mcp_server_fetch),
    Way("playwright-mcp", playwright_mcp, words_of_snapshot),
)
