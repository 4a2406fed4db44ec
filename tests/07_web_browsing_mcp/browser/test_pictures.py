"""Pictures, prints and lists of real pages in Chromium, through the gate."""

import struct
from base64 import b64decode
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any

import pytest
from pypdf import PdfReader

from flotilla import Context
from flotilla.redaction import Redactor
from flotilla.toolbox import Toolbox, error_code_of
from tests.conftest import until
from web_browsing.browser.contexts import Wants
from web_browsing.browser.listing import ListingTools
from web_browsing.browser.opening import visit
from web_browsing.browser.pictures import Area, PictureTools, scale_of
from web_browsing.browser.sessions import Sessions
from web_browsing.browser.snapshot import SnapshotTools

Calling = Callable[..., Context]
Call = Callable[..., Awaitable[dict[str, Any]]]

PAGE = """<!doctype html><title>Chart</title><body style="margin:0">
<div style="height:3000px;background:linear-gradient(red,blue)"></div>
<button style="width:120px;height:40px">Go</button>"""


@pytest.fixture
def showing(site: Any, shared_sessions: Sessions, calling: Calling) -> Any:
    """`async with showing(path="<p>…") as call`: `await call("getConsole", limit=3)`."""

    @asynccontextmanager
    async def opened(**pages: str) -> AsyncGenerator[Call]:
        site.pages |= {f"/{path}": page for path, page in pages.items()}
        sessions = shared_sessions
        families = (PictureTools(sessions), ListingTools(sessions), SnapshotTools(sessions))
        tools = Toolbox([tool for each in families for tool in each.tools()], Redactor())
        session = await sessions.open("ada", Wants())
        await visit(session, f"{site.url}/{next(iter(pages))}", calling())

        async def call(tool: str, *, deadline_s: float = 30, **more: Any) -> dict[str, Any]:
            # As the session's own, unless the call opens a page for itself.
            arguments = more if "url" in more else {"sessionId": session.id, **more}
            context = calling("ada", deadline_s)
            return await tools.call(f"web.browse.{tool}", arguments, context)

        try:
            yield call
        finally:
            await sessions.close(session.id, "ada")

    return opened


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height as PNG's header has them (RFC 2083, 4.1.1)."""
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def picture_of(result: dict[str, Any]) -> bytes:
    assert not result["isError"], result
    assert result["content"][1]["type"] == "image"
    return b64decode(result["content"][1]["data"])


def test_a_picture_is_never_larger_than_the_page_nor_than_models_see() -> None:
    assert scale_of(Area(0, 0, 1280, 800), None) == 1.0
    assert scale_of(Area(0, 0, 1280, 16_384), None) == pytest.approx(1568 / 16_384)
    assert scale_of(Area(0, 0, 1280, 800), 640) == 0.5
    assert scale_of(Area(0, 0, 1280, 800), 4096) == 1.0
    assert scale_of(Area(0, 0, 1000, 16_384), 1000) == pytest.approx(8000 / 16_384)


@pytest.mark.real
@pytest.mark.anyio
async def test_a_picture_is_of_what_is_in_view_of_one_element_or_of_all(showing: Any) -> None:
    async with showing(page=PAGE) as call:
        result = await call("captureScreenshot")
        assert size_of(picture_of(result)) == (1280, 800)
        assert result["structuredContent"]["title"] == "Chart"
        assert result["_meta"] == {"io.flotilla/untrusted": True}
        small = await call("captureScreenshot", maxWidth=320)
        assert size_of(picture_of(small)) == (320, 200)
        await call("snapshot")
        one = await call("captureScreenshot", ref="e3")
        assert size_of(picture_of(one)) == (120, 40)
        whole = await call("captureScreenshot", fullPage=True)
        width, height = size_of(picture_of(whole))
        assert height == 1568
        assert whole["structuredContent"]["height"] == height
        assert width == pytest.approx(1280 * 1568 / 3040, abs=2)
        stale = await call("captureScreenshot", ref="e999")
        assert error_code_of(stale) == "conflict"


@pytest.mark.real
@pytest.mark.anyio
async def test_a_picture_that_would_be_heavy_is_a_jpeg_of_a_megabyte_at_most(showing: Any) -> None:
    noise = """<body style="margin:0"><canvas width=1280 height=800></canvas><script>
    const pen = document.querySelector('canvas').getContext('2d');
    const image = pen.createImageData(1280, 800);
    for (let at = 0; at < image.data.length; at += 65536)
      crypto.getRandomValues(image.data.subarray(at, at + 65536));
    for (let at = 3; at < image.data.length; at += 4) image.data[at] = 255;
    pen.putImageData(image, 0, 0);</script>"""
    async with showing(page=noise) as call:
        result = await call("captureScreenshot")
        assert picture_of(result).startswith(b"\xff\xd8")
        told = result["structuredContent"]
        assert told["format"] == "jpeg"
        assert result["content"][1]["mimeType"] == "image/jpeg"
        assert told["sizeBytes"] <= 1024 * 1024


@pytest.mark.real
@pytest.mark.anyio
async def test_a_page_higher_than_a_picture_is_cut_and_said_to_be(showing: Any) -> None:
    async with showing(page="<div style='height:40000px'>tall</div>") as call:
        told = (await call("captureScreenshot", fullPage=True))["structuredContent"]
        assert told["truncated"]
        assert told["height"] == 1568
        assert len(told["notes"]) == 2


@pytest.mark.real
@pytest.mark.anyio
async def test_a_page_is_printed_on_the_paper_that_was_asked_for(showing: Any) -> None:
    async with showing(page="<title>Bill</title>" + "<p>line of the bill</p>" * 80) as call:
        result = await call("capturePdf", paper="Letter", landscape=True)
        assert not result["isError"], result
        file = result["content"][1]["resource"]
        assert (file["uri"], file["mimeType"]) == ("file:///page.pdf", "application/pdf")
        printed = PdfReader(BytesIO(b64decode(file["blob"])))
        assert len(printed.pages) == result["structuredContent"]["pages"] > 1
        assert (printed.pages[0].mediabox.width, printed.pages[0].mediabox.height) == (792, 612)
        assert "line of the bill" in printed.pages[0].extract_text()


@pytest.mark.real
@pytest.mark.anyio
async def test_a_url_is_opened_for_one_picture_and_its_session_is_gone_after(
    site: Any, browsing: Any, calling: Calling
) -> None:
    site.pages["/page"] = "<title>Once</title><p>x"
    async with browsing() as sessions:
        tools = Toolbox(PictureTools(sessions).tools(), Redactor())

        async def call(tool: str, **arguments: Any) -> dict[str, Any]:
            return await tools.call(f"web.browse.{tool}", arguments, calling())

        result = await call("captureScreenshot", url=f"{site.url}/page")
        picture_of(result)
        assert result["structuredContent"]["title"] == "Once"
        assert result["structuredContent"]["status"] == 200
        printed = await call("capturePdf", url=f"{site.url}/page")
        assert printed["structuredContent"]["pages"] == 1
        inside = await call("captureScreenshot", url="http://127.0.0.2:8080/")
        assert error_code_of(inside) == "not_allowed"
        for bad in ({"url": "file:///etc/passwd"}, {}, {"url": site.url, "sessionId": "x"}):
            assert error_code_of(await call("captureScreenshot", **bad)) == "invalid_argument"
        await until(lambda: not sessions.of("ada"))


@pytest.mark.real
@pytest.mark.anyio
async def test_a_page_that_hangs_is_told_of_in_time(showing: Any) -> None:
    page = "<p>x</p><script>setTimeout(() => { for (;;) {} }, 200)</script>"
    async with showing(page=page) as call:
        await call("getConsole")
        for tool in ("captureScreenshot", "capturePdf"):
            result = await call(tool, deadline_s=3)
            # The last frame that was drawn may still be had.
            assert error_code_of(result) in ("timeout", None)


LOUD = """<p>x<script>console.log('one'); console.warn('two'); console.error('three');
fetch('/missing?token=abcdef123456&q=1'); fetch('http://127.0.0.2:8080/inside').catch(() => 0);
fetch('/save', {method: 'POST', body: 'a=1', mode: 'no-cors', keepalive: true}).catch(() => 0);
throw new Error('broke')</script>"""


@pytest.mark.real
@pytest.mark.anyio
async def test_the_console_and_the_network_say_what_happened_and_what_was_refused(
    showing: Any, site: Any
) -> None:
    async with showing(page=LOUD) as call:

        async def refused() -> list[Any]:
            network = (await call("getNetwork"))["structuredContent"]
            return [each for each in network["refused"] if each["reason"] == "private_address"]

        await until(refused)
        console = (await call("getConsole"))["structuredContent"]
        assert {"one", "two", "three"} <= {each["text"] for each in console["items"]}
        severe = (await call("getConsole", level="error"))["structuredContent"]
        assert any("broke" in each["text"] for each in severe["items"])
        assert all(each["level"] == "error" for each in severe["items"])
        assert all(each["text"] != "two" for each in severe["items"])

        async def missing() -> list[Any]:
            network = (await call("getNetwork", onlyFailed=True))["structuredContent"]
            return [each for each in network["items"] if "/missing" in each["url"]]

        await until(missing)
        (gone,) = await missing()
        assert gone["status"] == 404
        assert "abcdef123456" not in str(gone)
        network = (await call("getNetwork", kind="document"))["structuredContent"]
        assert [each["url"] for each in network["items"]] == [f"{site.url}/page"]
        assert network["bytesIn"] > 0
        (inside,) = await refused()
        assert inside["url"].startswith("http://127.0.0.2:8080/")
        assert not site.sent()
