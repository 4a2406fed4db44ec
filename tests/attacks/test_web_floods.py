"""A real Chromium on pages that want to take all there is: calls end in time, others go on."""

import asyncio
import zlib
from collections.abc import AsyncGenerator
from functools import cache
from time import monotonic
from typing import Any

import pytest

from tests.conftest import until

from .web_world import Asked, Web, answer, opened_web

pytestmark = [pytest.mark.anyio, pytest.mark.real]

IN_TIME_S = 40.0


@pytest.fixture(scope="module")
async def opened(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Web]:
    async with opened_web(tmp_path_factory.mktemp("web"), max_memory_mb=700, max_tabs=4) as web:
        yield web


_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n"


async def _endless(writer: Any) -> None:
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    while True:
        writer.write(b"10000\r\n" + b"<b>" + b"x" * 65533 + b"\r\n")
        await writer.drain()


async def _ten_gigabytes(writer: Any) -> None:
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 10737418240\r\n\r\n"
    )
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def _drip(writer: Any) -> None:
    writer.write(_HEAD + b"content-length: 100000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.5)


async def _endless_head(writer: Any) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x-more: " + b"x" * 8000 + b"\r\n")
        await writer.drain()


@cache
def _bomb() -> bytes:
    """A gigabyte of a page."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    piece = b"<b>x" * (1 << 18)
    return b"".join(packer.compress(piece) for _ in range(1024)) + packer.flush()


def _bombing(asked: Asked) -> bytes:
    return answer(_bomb(), content_encoding="gzip")


def _redirecting(asked: Asked) -> bytes:
    count = int(asked.path.partition("?")[2] or 0)
    return answer(status=302, location=f"/redirects?{count + 1}")


PAGES: dict[str, Any] = {
    "endless": _endless,
    "ten gigabytes": _ten_gigabytes,
    "drip": _drip,
    "endless head": _endless_head,
    "bomb": _bombing,
    "bomb as data": "<script>fetch('/bomb').then(r => r.text()).then(t => window.all = t)</script>",
    "windows": "<script>setInterval(() => open('/'), 1); onclick = () => open('/')</script>",
    "dialogs": "<script>setInterval(() => alert('again'), 1)</script>",
    "dialogs without end": "<script>for (;;) alert('again')</script>",
    "refresh": "<meta http-equiv=refresh content=0><script>location.reload()</script>",
    "redirects": _redirecting,
    "scripted redirects": "<script>location = '/?' + Math.random()</script>",
    "history": "<script>setInterval(() => history.pushState(0, '', '?' + Math.random()))</script>",
    "requests": "<script>setInterval(() => { for (let n = 0; n < 50; n++) fetch('/x?' + n) })"
    "</script>",
    "console": "<script>setInterval(() => { for (let n = 0; n < 200; n++) "
    "console.log('x'.repeat(9000)) })</script>",
    "downloads": "<script>setInterval(() => { const a = document.createElement('a'); a.download = "
    "'../../../../etc/cron.d/x' + Math.random(); a.href = 'data:,x'; a.click() }, 5)</script>",
    "frames": "<script>for (let n = 0; n < 60; n++) { const f = document.createElement('iframe');"
    " f.src = '/?' + Math.random(); document.documentElement.append(f) }</script>",
    "print": "<script>setInterval(print, 1)</script>",
    "leaving": "<script>onbeforeunload = () => { for (;;); }</script><button>x</button>",
    "workers": "<script>for (let n = 0; n < 100; n++) new Worker(URL.createObjectURL(new Blob(["
    "'for (;;);'])))</script>",
}


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_that_takes_all_there_is_holds_up_nobody(web: Web, name: str) -> None:
    """Whatever becomes of the session, each call ends in time and another's is as it was."""
    path = "/" + name.partition(" ")[0] if callable(PAGES[name]) else "/"
    web.site.pages["/bomb"] = PAGES["bomb"]
    web.site.pages[path] = PAGES[name]
    web.site.pages["/plain"] = "<title>Plain</title><p>still here</p>"
    async with web.session("ben") as other, web.session() as session:
        for tool, given in (
            ("navigate", {"url": web.here + path}),
            ("click", {"selector": "html"}),
            ("snapshot", {}),
            ("getConsole", {}),
            ("getNetwork", {}),
        ):
            began = monotonic()
            more: dict[str, Any] = {"sessionId": session.id, **given}
            result = await web.result(tool, within_s=15, **more)
            assert monotonic() - began < IN_TIME_S / 2, tool
            assert len(str(result)) < 300_000, tool
        assert path in web.site.places()
        assert len(session.tabs) <= 4
        given = {"sessionId": other.id, "who": "ben", "url": f"{web.here}/plain"}
        assert (await web.result("navigate", within_s=20, **given))["isError"] is False
        given = {"sessionId": other.id, "who": "ben"}
        assert "still here" in (await web.call("snapshot", **given))["snapshot"]
    await until(lambda: not web.sessions.of("ada"))
    assert web.inside.heard == (0, 0)
