"""TLS is verified by the fetcher itself, and leaving it is told."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

from tests.backends.tls_server import TlsServer

from .conftest import OpenTools, Site, answer, article

pytestmark = pytest.mark.anyio


def application(target: str = "") -> web.Application:
    async def page(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=article("Over TLS."), content_type="text/html")

    async def away(_request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(target)

    app = web.Application()
    app.router.add_get("/page", page)
    app.router.add_get("/away", away)
    return app


async def test_a_page_over_tls_is_verified_and_leaving_tls_is_told(
    site: Site, open_tools: OpenTools, tmp_path: Path
) -> None:
    site.pages["/b"] = answer(article("In the clear."))
    server = TlsServer(application(site.url + "/b"), tmp_path)
    async with server.running():
        there = Site(port=URL(server.url).port or 0)
        async with open_tools(there, site, authorities=server.trusted) as tools:
            assert "Over TLS." in (await tools.fetch(server.url + "/page"))["text"]
            page = await tools.fetch(server.url + "/away")
            assert "In the clear." in page["text"]
            assert any("plain http" in note for note in page["notes"])
        async with open_tools(there) as tools:
            error = await tools.fetch(server.url + "/page")
            assert (error["code"], error["reason"]) == ("upstream_error", "certificate")
    assert all("authorization" not in each.headers for each in server.asked)
    assert all("proxy-authorization" not in each.headers for each in server.asked)


async def test_what_is_no_tls_where_tls_should_be_is_no_page(open_tools: OpenTools) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(answer(b"in the clear", 400))
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with open_tools(Site(port=port)) as tools:
            error = await tools.fetch(f"https://127.0.0.1:{port}/a")
    assert (error["code"], error["reason"]) == ("upstream_error", "tls")
