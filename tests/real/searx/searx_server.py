"""Debian's searx on loopback, whose engines all look into a library on loopback.

    async with searx(folder) as running:
        running.url
        running.library.asked       # what its engines asked for: path and query
        running.library.answers["/news"] = web.Response(status=429)

Its settings are the whole of it: no engine of the package is there, nothing outside is asked.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import aiohttp
import pytest
import yaml
from aiohttp import web

from tests.backends.web_search.library import ENTRIES, entries_for

STARTED_WITHIN_S = 60.0
PER_PAGE = 4
PAGES = 3
ENGINE_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Asked:
    path: str
    query: dict[str, str]


@dataclass
class Library:
    """The upstream of searx's engines: pages of articles, pictures, and faults."""

    asked: list[Asked] = field(default_factory=list[Asked])
    answers: dict[str, Callable[[], web.Response]] = field(
        default_factory=dict[str, Callable[[], web.Response]]
    )
    hanging: set[str] = field(default_factory=set[str])
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Library"]:
        application = web.Application()
        application.router.add_get("/{shelf}", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            self.let_go.set()
            await runner.cleanup()

    def restore(self) -> None:
        self.asked.clear()
        self.answers.clear()
        self.hanging.clear()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        # This searx encodes words twice.
        words = unquote_plus(request.query["q"])
        self.asked.append(Asked(request.path, {**request.query, "q": words}))
        if request.path in self.hanging:
            await self.let_go.wait()
        if request.path in self.answers:
            return self.answers[request.path]()
        page = int(request.query["p"])
        rows = "".join(
            f'<article><a href="{escape(each.url)}">{escape(each.title)}</a>'
            f'<p>{escape(each.text)}</p><img src="{escape(each.url)}.jpg"></article>'
            for each in entries_for(words)
            if page == 1
        )
        if words == "many" and page <= PAGES:
            rows = "".join(
                f'<article><a href="https://many.example.org/{page}/{number}">{ENTRIES[0].title}'
                f"</a><p>{page}</p></article>"
                for number in range(PER_PAGE)
            )
        return web.Response(text=f"<html><body>{rows}</body></html>", content_type="text/html")


@dataclass(frozen=True)
class Searx:
    url: str
    library: Library


@asynccontextmanager
async def searx(folder: Path, port: int) -> AsyncGenerator[Searx]:
    """Skips the test where the package is not installed."""
    program = shutil.which("searx-run")
    if program is None:
        pytest.skip("searx-run is not installed (Debian's package searx)")
    async with Library().running() as library:
        file = folder / "settings.yml"
        file.write_text(yaml.safe_dump(_settings(library.url, port)))
        with (folder / "searx.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                program,
                env={"PATH": os.environ["PATH"], "SEARX_SETTINGS_PATH": str(file)},
                cwd=folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        url = f"http://127.0.0.1:{port}"
        try:
            await _up(process, url, folder / "searx.log")
            yield Searx(url, library)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _up(process: asyncio.subprocess.Process, url: str, log: Path) -> None:
    async with asyncio.timeout(STARTED_WITHIN_S), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{url}/config") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                assert process.returncode is None, log.read_text()
            await asyncio.sleep(0.1)


def _settings(library: str, port: int) -> dict[str, Any]:
    return {
        "general": {
            "debug": False,
            "instance_name": "loopback",
            "contact_url": False,
            "enable_stats": False,
        },
        "search": {
            "safe_search": 0,
            "autocomplete": "",
            "default_lang": "",
            # Engines that fail are asked again at once.
            "ban_time_on_fail": 0,
            "max_ban_time_on_fail": 0,
        },
        "server": {
            "port": port,
            "bind_address": "127.0.0.1",
            "secret_key": "of the tests alone",
            "base_url": False,
            "image_proxy": False,
            "http_protocol_version": "1.0",
            "method": "GET",
        },
        "ui": {
            "static_path": "/usr/share/python3-searx/static",
            "templates_path": "/usr/share/python3-searx/templates",
            "default_theme": "oscar",
            "default_locale": "",
            "theme_args": {"oscar_style": "logicodev"},
        },
        "outgoing": {
            "request_timeout": ENGINE_TIMEOUT_S,
            "useragent_suffix": "",
            "pool_connections": 10,
            "pool_maxsize": 10,
        },
        "engines": [
            _engine("shelves", "general", library),
            _engine("papers", "news", library),
            _engine("pictures", "images", library) | {"thumbnail_xpath": ".//img/@src"},
        ],
        "locales": {"en": "English", "de": "Deutsch"},
        "default_doi_resolver": "oadoi.org",
        "doi_resolvers": {"oadoi.org": "https://oadoi.org/"},
    }


def _engine(name: str, category: str, library: str) -> dict[str, Any]:
    return {
        "name": name,
        "engine": "xpath",
        "shortcut": name[:2],
        "categories": category,
        "paging": True,
        "page_size": 1,
        "first_page_num": 1,
        "time_range_support": True,
        "time_range_url": "&hours={time_range_val}",
        "safe_search_support": True,
        "search_url": f"{library}/{name}?q={{query}}&p={{pageno}}{{time_range}}{{safe_search}}"
        "&lang={lang}",
        "results_xpath": "//article",
        "url_xpath": "./a/@href",
        "title_xpath": "./a",
        "content_xpath": "./p",
        "timeout": ENGINE_TIMEOUT_S,
        "enable_http": True,
    }
