"""A real Chromium on a page in TLS, which takes the gate for the server."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.conftest import until
from web_browsing.browser.contexts import Wants
from web_browsing.browser.session import Session
from web_browsing.browser.sessions import Sessions
from web_browsing.gate.proxy import Proxy
from web_browsing.gate.rules import Rules
from web_browsing.settings import Settings

from .conftest import SITE, Connection, Gated, Names

pytestmark = [pytest.mark.anyio, pytest.mark.real]

PAGE = """<!doctype html><title>Quay</title><body><p>hello</p>
<iframe src="https://10.0.0.1/"></iframe><iframe src="https://rebound.test/"></iframe>
<script>
window.heard = '';
const socket = new WebSocket(`wss://${location.host}/ws`);
socket.onerror = () => window.heard = 'refused';
fetch('/post', {method: 'POST', body: 'a=b'}).then(r => r.text()).then(t => window.answer = t);
navigator.sendBeacon('/beacon', 'gone');
</script>"""


@asynccontextmanager
async def session_at(gated: Gated, port: int, folder: Path) -> AsyncGenerator[Session]:
    settings = Settings(allow_hosts=(f"{SITE}:{port}",), browser_sandbox="on")
    proxy = Proxy(
        Rules.of(settings.ports, settings.allow_hosts),
        ca_file=gated.authority.file,
        resolve=Names({SITE: [["127.0.0.1"]], "rebound.test": [["93.184.216.34", "127.0.0.1"]]}),
    )
    sessions = Sessions(proxy, settings, folder)
    async with sessions.lifespan():
        yield await sessions.open("ada", Wants())


async def test_a_page_in_tls_is_looked_into_and_sends_nothing_unasked(
    gated: Gated, tmp_path: Path
) -> None:
    asked: list[str] = []

    async def serve(connection: Connection) -> None:
        while request := await connection.request():
            line = request.decode().partition(" HTTP/")[0]
            asked.append(line)
            body = {"GET /": PAGE, "POST /post": "posted"}.get(line, "").encode()
            head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n"
            head += 'Alt-Svc: h3=":443"\r\nStrict-Transport-Security: max-age=1000\r\n\r\n'
            connection.writer.write(head.format(len(body)).encode() + body)

    async with (
        gated.site(serve, tls=gated.authority.context(SITE)) as site,
        session_at(gated, site.port, tmp_path) as session,
    ):
        page = session.page()
        answered = await page.goto(f"https://{SITE}:{site.port}/", wait_until="commit")
        assert answered is not None
        assert answered.status == 200
        # The answer has begun; the page is read after it.
        await page.wait_for_function("document.title === 'Quay'")
        assert await page.evaluate("isSecureContext")
        # All that is not allowed is refused or held, and the server hears nothing of it.
        await until(lambda: session.sending.held())
        await until(lambda: len(session.visitor.refusals) == 4)
        await page.wait_for_function("window.heard === 'refused'")
        assert {line for line in asked if not line.startswith("GET /favicon")} == {"GET /"}
        (held,) = session.sending.held()
        assert (held.outgoing.method, held.outgoing.body) == ("POST", b"a=b")
        origin = f"https://{SITE}:{site.port}"
        assert {(each.reason, each.url) for each in session.visitor.refusals} == {
            ("private_address", "https://10.0.0.1/"),
            ("private_address", "https://rebound.test/"),
            ("websocket", f"{origin}/ws"),
            ("sending", f"{origin}/beacon"),
        }
        session.sending.release(held.id)
        await page.wait_for_function("window.answer === 'posted'")
        assert asked.count("POST /post") == 1


async def test_a_site_whose_certificate_is_wrong_is_shown_as_refused(
    gated: Gated, tmp_path: Path
) -> None:
    async def nobody(connection: Connection) -> None:
        await connection.gone()

    async with (
        gated.site(nobody, tls=gated.authority.context(SITE, expired=True)) as site,
        session_at(gated, site.port, tmp_path) as session,
        asyncio.timeout(60),
    ):
        page = session.page()
        answered = await page.goto(f"https://{SITE}:{site.port}/")
        assert answered is not None
        assert answered.headers["x-flotilla-refused"] == "unreachable"
        assert "expired" in await page.inner_text("body")
