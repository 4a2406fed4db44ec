"""A site on loopback that serves a set of pages, and the HTML files that such sets are made of."""

import gzip
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web


def html_of(file: Path) -> bytes:
    """Of a file that may be packed (`.gz`)."""
    raw = file.read_bytes()
    return gzip.decompress(raw) if file.suffix == ".gz" else raw


@asynccontextmanager
async def served(pages: Mapping[str, bytes]) -> AsyncGenerator[int]:
    """Serve the HTML of each as /<name>, in UTF-8; gives the port. Nothing else is there."""

    async def answer(request: web.Request) -> web.Response:
        page = pages.get(request.path.strip("/"))
        if page is None:
            return web.Response(status=404)
        return web.Response(body=page, content_type="text/html", charset="utf-8")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
