"""A set of pages with the main text that people took from them, and a site that serves them."""

import gzip
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web


@dataclass(frozen=True)
class Page:
    name: str
    text: str
    """Its main text, as a person marked it."""
    html: bytes


def load(folder: Path, most: int | None = None) -> list[Page]:
    """The pages of a folder with `ground-truth.json` and `html/<name>.html.gz`, by name."""
    truth = json.loads((folder / "ground-truth.json").read_text())
    pages: list[Page] = []
    for name in sorted(truth)[:most]:
        html = gzip.decompress((folder / "html" / f"{name}.html.gz").read_bytes())
        pages.append(Page(name, truth[name].get("articleBody", ""), html))
    return pages


@asynccontextmanager
async def served(pages: Sequence[Page]) -> AsyncGenerator[int]:
    """Serve each page as /<name>; gives the port. Nothing else of the page's site is there."""
    by_name = {each.name: each for each in pages}

    async def answer(request: web.Request) -> web.Response:
        page = by_name.get(request.path.strip("/"))
        if page is None:
            return web.Response(status=404)
        return web.Response(body=page.html, content_type="text/html", charset="utf-8")

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
