"""Pages that are fetched without a browser: however a site words it, nothing inside is reached."""

import gzip
import zlib
from collections.abc import AsyncGenerator
from time import monotonic
from typing import Any

import pytest

from flotilla import meta
from web_browsing.fetching.readers import Readers

from .web_spellings import LOOPBACK, OTHERS, misleading
from .web_world import ATTACKER, FOUND, INSIDE, MIXED, Web, answer, opened_web

pytestmark = pytest.mark.anyio

REDIRECTS = (301, 302, 303, 307, 308)
REFUSALS = {
    "not_allowed", "invalid_argument", "not_found", "unavailable", "upstream_error",
}  # fmt: skip


@pytest.fixture(scope="module")
async def readers(anyio_backend: str) -> AsyncGenerator[Readers]:
    shared = Readers()
    async with shared.opened():
        yield shared


@pytest.fixture(scope="module")
async def opened(readers: Readers, tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Web]:
    async with opened_web(tmp_path_factory.mktemp("web"), readers=readers) as web:
        yield web


async def fetched(web: Web, url: str, **more: Any) -> dict[str, Any]:
    return await web.call("fetchPage", url=url, render="never", fresh=True, **more)


async def refused(web: Web, url: str, tool: str = "fetchPage", **more: Any) -> str:
    """The code; the inside has heard nothing, and nothing of it came back."""
    given = {"render": "never"} if tool != "getMetadata" else {}
    result = await web.result(tool, url=url, **given, **more)
    assert result["isError"], (url, result)
    assert FOUND not in str(result)
    assert web.inside.heard == (0, 0), url
    return result["_meta"][meta.ERROR]["code"]


@pytest.mark.parametrize("tool", ["fetchPage", "extractLinks", "getMetadata"])
async def test_no_spelling_of_an_inside_address_is_fetched(web: Web, tool: str) -> None:
    for host in (*LOOPBACK, *OTHERS, INSIDE, MIXED):
        assert await refused(web, web.within(host), tool) in REFUSALS, host
        assert await refused(web, f"https://{host}/", tool) in REFUSALS, host
    assert not web.site.asked


async def test_no_url_that_may_be_read_in_two_ways_is_fetched(web: Web) -> None:
    here, there = f"{ATTACKER}:{web.site.port}", f"127.0.0.1:{web.inside.port}"
    web.site.pages["/"] = "<p>the attacker's page</p>"
    for url in misleading(here, there):
        result = await web.result("fetchPage", url=url, render="never")
        assert FOUND not in str(result), url
        assert web.inside.heard == (0, 0), url


@pytest.mark.parametrize("status", REDIRECTS)
async def test_no_redirect_leads_inside(web: Web, status: int) -> None:
    """Each is really followed to where it is refused."""
    spelled = [web.within(host) for host in (*LOOPBACK, *OTHERS, INSIDE, MIXED)]
    spelled += misleading(f"{ATTACKER}:{web.site.port}", f"127.0.0.1:{web.inside.port}")
    for count, location in enumerate(spelled):
        # As bytes: what is no ASCII stands in headers, too, of servers that mean harm.
        web.site.pages[f"/{count}"] = _redirect(status, location)
        web.site.pages[f"/far/{count}"] = answer(status=status, location=f"{web.elsewhere}/{count}")
        for path in (f"/{count}", f"/far/{count}"):
            result = await web.result("fetchPage", url=web.here + path, render="never")
            assert web.inside.heard == (0, 0), location
            assert FOUND not in str(result), location
            assert f"/{count}" in web.site.places()
    leads = answer(status=status, location=f"{web.elsewhere}/public")
    web.site.pages |= {"/leads": leads, "/public": "<p>As the public has it.</p>"}
    assert "public has it" in (await fetched(web, f"{web.here}/leads"))["text"]


def _redirect(status: int, location: str) -> bytes:
    head = f"HTTP/1.1 {status} Elsewhere\r\ncontent-length: 0\r\nlocation: {location}\r\n\r\n"
    return head.encode(errors="replace")


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "view-source:file:///etc/passwd",
        "ftp://127.0.0.1/",
        "gopher://127.0.0.1:11211/_stats",
        "dict://127.0.0.1:11211/",
        "data:text/html,<p>hello</p>",
        "javascript:alert(1)",
        "chrome://version",
        "unix:/run/docker.sock",
        "http+unix://%2Frun%2Fdocker.sock/info",
        "",
    ],
)
async def test_a_redirect_to_another_scheme_is_none(web: Web, location: str) -> None:
    web.site.pages["/"] = _redirect(302, location)
    result = await web.result("fetchPage", url=f"{web.here}/", render="never")
    assert result["isError"]
    assert "root:" not in str(result)
    assert web.site.places() == {"/"}
    if location:
        direct = await web.result("fetchPage", url=location, render="never")
        assert direct["_meta"][meta.ERROR]["code"] == "invalid_argument"


def _references(inside: str) -> dict[str, bytes]:
    """Answers that name the inside wherever something might be loaded from of its own accord."""
    everywhere = f"""<!doctype html><html manifest="{inside}/manifest"><head>
        <base href="{inside}/base/"><meta http-equiv=refresh content="0;url={inside}/refresh">
        <link rel=canonical href="{inside}/canonical"><link rel=stylesheet href="{inside}/css">
        <link rel=alternate type=application/rss+xml href="{inside}/feed">
        <link rel="next prefetch" href="{inside}/next"><link rel=icon href="{inside}/icon">
        <meta property=og:image content="{inside}/og"><link rel=amphtml href="{inside}/amp">
        <script src="{inside}/script"></script></head><body><frameset><frame src="{inside}/frame">
        <iframe src="{inside}/iframe"></iframe><object data="{inside}/object"></object>
        <main><article><p>{"Words of the attacker's page. " * 30}</p><img src="{inside}/img">
        <a href="{inside}/link">a link</a></article></main></body></html>"""
    entities = f"""<?xml version="1.0"?><!DOCTYPE r SYSTEM "{inside}/dtd" [
        <!ENTITY inside SYSTEM "{inside}/entity"><!ENTITY file SYSTEM "file:///etc/passwd">
        <!ENTITY % more SYSTEM "{inside}/parameter"> %more;]>"""
    included = f"""<r xmlns:xi="http://www.w3.org/2001/XInclude">&inside;&file;
        <xi:include href="{inside}/include"/><xi:include href="file:///etc/passwd" parse="text"/>
        </r>"""
    feed = f"""<rss version="2.0"><channel><title>&file;</title><link>{inside}/</link>
        <item><title>&inside;</title><link>{inside}/item</link></item></channel></rss>"""
    sheet = f'<?xml-stylesheet type="text/xsl" href="{inside}/sheet"?>'
    pdf = (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R/OpenAction<</S/URI/URI("
        + f"{inside}/action".encode()
        + b")>>>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page"
        b"/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>endobj\n4 0 obj<</Length 0/FFilter/FS"
        b"/F<</FS/URL/F(" + f"{inside}/stream".encode() + b")>>>>stream\n\nendstream endobj\n"
        b"trailer<</Root 1 0 R>>\n%%EOF"
    )
    return {
        "refresh header": answer(everywhere, refresh=f"0;url={inside}/header"),
        "link header": answer(everywhere, link=f"<{inside}/preload>; rel=preload; as=style"),
        "content location": answer(everywhere, content_location=f"{inside}/here"),
        "reports": answer(
            everywhere,
            report_to=f'{{"max_age":9,"endpoints":[{{"url":"{inside}/report"}}]}}',
            content_security_policy=f"default-src 'none'; report-uri {inside}/csp",
            sourcemap=f"{inside}/map",
        ),
        "xml": answer(entities + included, kind="application/xml"),
        "xhtml": answer(entities + included, kind="application/xhtml+xml"),
        "svg": answer(entities + f'<svg><image href="{inside}/i"/>&file;</svg>', kind="image/svg"),
        "feed": answer(entities + feed, kind="application/rss+xml"),
        "sheet": answer(sheet + "<r>words</r>", kind="text/xml"),
        "pdf": answer(pdf, kind="application/pdf"),
        "location without a redirect": answer(everywhere, location=f"{inside}/location"),
        "multiple choices": answer(everywhere, status=300, location=f"{inside}/choice"),
        "created": answer(everywhere, status=201, location=f"{inside}/created"),
        "use proxy": answer(status=305, location=f"{inside}/proxy"),
        "switch": answer(status=306, set_proxy=f"SET; proxyURI={inside}/"),
        "alternative": answer(everywhere, alt_svc=f'h2="{inside.partition("//")[2]}"; ma=9'),
    }


async def test_nothing_that_a_page_names_is_loaded_of_its_own_accord(web: Web) -> None:
    for name, page in _references(web.within()).items():
        web.site.clear()
        web.site.pages["/"] = page
        for tool in ("fetchPage", "extractLinks", "getMetadata"):
            given: dict[str, Any] = {} if tool == "getMetadata" else {"render": "never"}
            result = await web.result(tool, url=f"{web.here}/", **given)
            assert web.inside.heard == (0, 0), (name, tool)
            assert "root:x" not in str(result) and FOUND not in str(result), (name, tool)
        assert web.site.places() == {"/"}, name


async def test_robots_txt_is_no_way_inside(readers: Readers, tmp_path: Any) -> None:
    async with opened_web(tmp_path, readers=readers, robots="obey") as web:
        web.site.pages["/robots.txt"] = _redirect(302, f"{web.within()}/robots.txt")
        web.site.pages["/"] = "<p>words</p>"
        await web.result("fetchPage", url=f"{web.here}/", render="never")
        assert "/robots.txt" in web.site.places()
        assert web.inside.heard == (0, 0)


async def test_where_the_guard_is_off_the_inside_is_reached(
    readers: Readers, tmp_path: Any
) -> None:
    """So that the other tests could fail: the same ways, with an operator's exception."""
    async with opened_web(tmp_path, readers=readers, exempt=("127.0.0.1", INSIDE)) as web:
        web.site.pages |= {
            f"/{status}": _redirect(status, f"{web.within()}/{status}") for status in REDIRECTS
        }
        for status in REDIRECTS:
            assert (await fetched(web, f"{web.here}/{status}"))["text"].strip() == FOUND
        assert FOUND in (await fetched(web, web.within(INSIDE)))["text"]
        assert web.inside.places() == {"/", *(f"/{each}" for each in REDIRECTS)}
        # Exactly this one: no other name, spelling or port of the same machine.
        for host in ("127.0.0.2", "2130706433", "localhost", "[::1]", MIXED):
            assert (await web.result("fetchPage", url=web.within(host)))["isError"]


async def _ten_gigabytes(writer: Any) -> None:
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 10737418240\r\n\r\n"
    )
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def _endless(writer: Any) -> None:
    writer.write(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    while True:
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()


async def _endless_head(writer: Any) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x-more: " + b"x" * 8000 + b"\r\n")
        await writer.drain()


async def _endless_informational(writer: Any) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n")
        await writer.drain()


async def _endless_line(writer: Any) -> None:
    writer.write(b"HTTP/1.1 200 ")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


def _bomb(kind: int) -> bytes:
    """256 MiB of zeroes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, kind)
    piece = bytes(1 << 20)
    return b"".join(packer.compress(piece) for _ in range(256)) + packer.flush()


@pytest.mark.parametrize(
    "page",
    [
        _ten_gigabytes,
        _endless,
        _endless_head,
        _endless_informational,
        _endless_line,
        pytest.param(answer(_bomb(31), content_encoding="gzip"), id="gzip bomb"),
        pytest.param(answer(_bomb(15), content_encoding="deflate"), id="deflate bomb"),
        pytest.param(
            answer(gzip.compress(_bomb(31)), content_encoding="gzip, gzip"), id="bomb in a bomb"
        ),
        pytest.param(
            answer("x", **dict[str, Any]((f"x_{n}", "y" * 900) for n in range(200))),
            id="many headers",
        ),
        pytest.param(answer("x", x_long="y" * 200_000), id="one long header"),
    ],
)
async def test_nothing_that_has_no_end_is_waited_for_or_taken_whole(web: Web, page: Any) -> None:
    web.site.pages["/"] = page
    began = monotonic()
    result = await web.result("fetchPage", url=f"{web.here}/", render="never", within_s=10)
    assert result["isError"], result
    assert monotonic() - began < 5
    assert result["_meta"][meta.ERROR]["code"] in REFUSALS | {"too_large"}


async def test_ten_thousand_redirects_end_soon(web: Web) -> None:
    web.site.pages |= {
        f"/{count}": answer(status=302, location=f"/{count + 1}") for count in range(10_000)
    }
    refused = await web.refusal("fetchPage", url=f"{web.here}/0", render="never")
    assert refused.reason == "too_many_redirects"
    assert len(web.site.asked) <= 12


async def test_a_password_in_a_url_goes_nowhere_and_is_logged_nowhere(
    web: Web, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    web.site.pages["/"] = _redirect(302, f"http://ann:pa55word-canary@{ATTACKER}:{web.site.port}/x")
    for url in (f"http://ann:pa55word-canary@{ATTACKER}:{web.site.port}/", f"{web.here}/"):
        for tool in ("fetchPage", "openSession"):
            if tool == "openSession" and "@" not in url:
                continue
            result = await web.result(tool, url=url)
            assert result["isError"]
            assert "pa55word-canary" not in str(result)
    told = capsys.readouterr()
    assert "pa55word-canary" not in told.out + told.err + caplog.text
    assert web.site.places() <= {"/"}
