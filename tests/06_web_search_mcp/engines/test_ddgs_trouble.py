"""What is no result is told as what it is, and never as "nothing found"."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from flotilla import (
    Deadline,
    FlotillaError,
    InvalidArgument,
    RateLimited,
    Unavailable,
    UpstreamError,
)
from tests.backends.web_search.engine_pages import html
from tests.backends.web_search.internet import Internet
from tests.backends.web_search.library import NOTHING
from web_search.configured import engines_of
from web_search.engine import Blocked, Kind, Question
from web_search.engines.phrasing import without_bangs
from web_search.settings import Settings

from .refusals import Named, answering, refused

pytestmark = pytest.mark.anyio
HOSTS = {
    "duckduckgo": "html.duckduckgo.com",
    "brave": "search.brave.com",
    "mojeek": "www.mojeek.com",
    "startpage": "www.startpage.com",
    "yahoo": "search.yahoo.com",
}
WALLS = {
    "captcha": '<form id="challenge-form" action="//duckduckgo.com/anomaly.js?sv=html">pick</form>',
    "recaptcha": '<script src="https://www.google.com/recaptcha/api.js"></script><p>one moment</p>',
    "turnstile": '<div class="cf-turnstile"></div>',
    "unusual traffic": "<p>We have detected unusual traffic from your network.</p>",
    "automated queries": "<p>Sorry, your network appears to send automated queries.</p>",
    "consent": '<form action="https://consent.example.com/v2/collectConsent">Accept all</form>',
    "another layout": "<main><section>Everything is new here</section></main>",
    "garbage": "\x00\x01<<<>>><div",
}


@pytest.mark.parametrize("name", HOSTS)
async def test_no_wall_passes_for_nothing_found(
    named: Named, internet: Internet, name: str
) -> None:
    for wall in WALLS.values():
        internet.hosts[HOSTS[name]] = answering(lambda page=wall: html(page))
        for words in ("flotilla", NOTHING):
            error = await refused(named(name), words)
            assert isinstance(error, Blocked), wall
            assert error.details["reason"] == "blocked"


async def test_the_kind_of_wall_is_told(named: Named, internet: Internet) -> None:
    told: dict[str, str] = {}
    for wall, page in WALLS.items():
        internet.hosts["www.mojeek.com"] = answering(lambda page=page: html(page))
        told[wall] = (await refused(named("mojeek"))).message
    assert "captcha" in told["captcha"] and "captcha" in told["recaptcha"]
    assert "unusual traffic" in told["unusual traffic"]
    assert "automated queries" in told["automated queries"]
    assert "consent" in told["consent"]
    assert "neither results" in told["another layout"]


@pytest.mark.parametrize("body", ["", "   ", "<!doctype html>"])
async def test_a_page_with_nothing_on_it_says_nothing(
    named: Named, internet: Internet, body: str
) -> None:
    def page() -> web.Response:
        return web.Response(text=body, content_type="text/html")

    internet.hosts["search.brave.com"] = answering(page)
    assert isinstance(await refused(named("brave")), Blocked)


@pytest.mark.parametrize(
    ("name", "kind", "host"),
    [
        ("duckduckgo", "news", "duckduckgo.com"),
        ("duckduckgo", "images", "duckduckgo.com"),
        ("duckduckgo", "suggest", "duckduckgo.com"),
        ("wikipedia", "web", "*.wikipedia.org"),
        ("grokipedia", "web", "grokipedia.com"),
    ],
)
@pytest.mark.parametrize(
    "body", ["<html>no vqd, no JSON</html>", "[]", "{}", '{"results": 7}', "["]
)
async def test_what_should_be_json_and_is_not_is_no_empty_list(
    named: Named, internet: Internet, name: str, kind: Kind, host: str, body: str
) -> None:
    internet.hosts[host] = answering(lambda: web.Response(text=body))
    assert isinstance(await refused(named(name), kind=kind), Blocked)


async def test_the_same_words_as_a_wall_are_still_a_question(named: Named) -> None:
    for words in ("captcha unusual traffic", "are you a robot"):
        question = Question(words=words, most=5)
        assert len(await named("brave").search("web", question, Deadline.after(4))) == 3


@pytest.mark.parametrize("words", ["!g boats", "boats w!", "\\boats", "a !g b", "boats! !ducky"])
async def test_no_words_make_an_engine_send_us_elsewhere(
    named: Named, internet: Internet, words: str
) -> None:
    for name in ("duckduckgo", "brave"):
        question = Question(words=words, most=3)
        assert len(await named(name).search("web", question, Deadline.after(4))) == 3
    assert set(internet.tunnels) == {"html.duckduckgo.com:443", "search.brave.com:443"}


def test_operators_stay_as_they_are() -> None:
    words = 'site:example.org "two words!" -not (a OR b) c# 5! why!? a!b'
    assert without_bangs(words) == words.replace("5!", '"5!"')


@pytest.mark.parametrize("status", [202, 401, 403, 418, 451])
async def test_a_status_of_refusal_is_a_block(
    named: Named, internet: Internet, status: int
) -> None:
    internet.hosts["html.duckduckgo.com"] = answering(lambda: web.Response(status=status))
    assert isinstance(await refused(named("duckduckgo")), Blocked)


@pytest.mark.parametrize("name", ["cf-mitigated", "X-Amzn-Waf-Action"])
@pytest.mark.parametrize("status", [200, 403, 503])
async def test_a_gateways_word_is_a_block_whatever_the_status(
    named: Named, internet: Internet, name: str, status: int
) -> None:
    internet.hosts["www.mojeek.com"] = answering(
        lambda: web.Response(status=status, headers={name: "challenge", "Retry-After": "5"})
    )
    assert isinstance(await refused(named("mojeek")), Blocked)


@pytest.mark.parametrize("charset", ["utf-8", "nonsense", "idna", "hex", "utf-16"])
async def test_no_charset_breaks_a_page(named: Named, internet: Internet, charset: str) -> None:
    body = b"<p>No pages found matching: <b>\xff\xfe...xn--</b></p>"
    internet.hosts["www.mojeek.com"] = answering(
        lambda: web.Response(body=body, headers={"Content-Type": f"text/html; charset={charset}"})
    )
    if charset == "utf-16":
        assert isinstance(await refused(named("mojeek")), Blocked)
        return
    question = Question(words="flotilla", most=5)
    assert await named("mojeek").search("web", question, Deadline.after(4)) == []


@pytest.mark.parametrize(
    ("status", "header", "after_ms"),
    [(429, "17", 17_000), (429, None, 60_000), (503, "120", 120_000), (429, "soon", 60_000)],
)
async def test_to_be_asked_more_slowly_comes_with_a_time(
    named: Named, internet: Internet, status: int, header: str | None, after_ms: int
) -> None:
    headers = {} if header is None else {"Retry-After": header}
    internet.hosts["www.mojeek.com"] = answering(
        lambda: web.Response(status=status, headers=headers)
    )
    error = await refused(named("mojeek"))
    assert isinstance(error, RateLimited)
    assert error.details["retryAfterMs"] == after_ms


@pytest.mark.parametrize(
    ("status", "kind"), [(500, UpstreamError), (503, Unavailable), (404, UpstreamError)]
)
async def test_an_ill_engine_is_not_a_blocking_one(
    named: Named, internet: Internet, status: int, kind: type[FlotillaError]
) -> None:
    internet.hosts["www.mojeek.com"] = answering(lambda: web.Response(status=status))
    error = await refused(named("mojeek"))
    assert type(error) is kind


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("https://consent.yahoo.com/v2/collectConsent?sessionId=1", "consent"),
        ("https://www.google.com/sorry/index?continue=x", "captcha"),
        ("https://search.yahoo.com/sp/captcha", "captcha"),
        ("https://169.254.169.254/latest/meta-data", "another host"),
        ("http://search.yahoo.com/search?p=x", "another host"),
        ("https://search.yahoo.com:8443/search", "another host"),
        ("https://[::1", "another host"),
        ("file:///etc/passwd", "another host"),
    ],
)
async def test_a_redirect_to_another_host_is_told_and_not_followed(
    named: Named, internet: Internet, location: str, why: str
) -> None:
    internet.hosts["search.yahoo.com"] = answering(
        lambda: web.Response(status=302, headers={"Location": location})
    )
    error = await refused(named("yahoo"))
    assert isinstance(error, Blocked)
    assert why in error.message
    assert set(internet.tunnels) == {"search.yahoo.com:443"}
    assert len(internet.asked) == 1


async def test_a_redirect_within_the_host_is_followed_five_times(
    named: Named, internet: Internet
) -> None:
    page = internet.hosts["search.yahoo.com"]

    async def first_elsewhere(request: web.Request) -> web.StreamResponse:
        if request.path == "/moved":
            return await page(request)
        return web.Response(status=302, headers={"Location": "/moved?p=flotilla"})

    internet.hosts["search.yahoo.com"] = first_elsewhere
    question = Question(words="flotilla", most=3)
    assert len(await named("yahoo").search("web", question, Deadline.after(4))) == 3
    internet.asked.clear()
    internet.hosts["search.yahoo.com"] = answering(
        lambda: web.Response(status=302, headers={"Location": "/round"})
    )
    assert "redirects without end" in (await refused(named("yahoo"))).message
    assert len(internet.asked) == 6


async def test_a_region_cannot_name_a_host(named: Named, internet: Internet) -> None:
    for region in ("evil.example/#", "de-AT/../..", "x", "de@evil.example", "de-AT;x=1"):
        question = Question(words="flotilla", most=3, region=region)
        for name in ("wikipedia", "brave"):
            with pytest.raises(InvalidArgument):
                await named(name).search("web", question, Deadline.after(4))
    assert internet.tunnels == []


async def test_a_connection_that_breaks_or_a_certificate_of_nobody_is_unavailable(
    named: Named, internet: Internet, tmp_path: Path
) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "1000"})
        await answer.prepare(request)
        await answer.write(b"<html>")
        assert request.transport is not None
        request.transport.abort()
        return answer

    internet.hosts["www.mojeek.com"] = cut
    assert (await refused(named("mojeek"))).details["reason"] == "dropped"
    del internet.hosts["www.mojeek.com"]
    assert isinstance(await refused(named("mojeek")), Unavailable)
    (tmp_path / "web_search.yaml").unlink()
    untrusting, _ = engines_of(Settings(proxy=internet.proxy), tmp_path)
    error = await refused({each.name: each for each in untrusting}["brave"])
    assert isinstance(error, Unavailable)


async def test_no_error_says_what_was_asked_or_the_proxys_password(
    internet: Internet, tmp_path: Path
) -> None:
    proxy = internet.proxy.replace("http://", "http://user:geheim@").rpartition(":")[0] + ":1"
    engines, _ = engines_of(Settings(proxy=proxy), tmp_path)
    for engine in engines:
        kind: Kind = "web" if "web" in engine.kinds else "news"
        error = await refused(engine, "my private words", kind)
        said: list[Any] = [error.as_json("c"), repr(error), repr(error.__cause__)]
        assert "private" not in str(said) and "geheim" not in str(said)


async def test_what_the_first_page_brought_stands_when_the_second_fails(
    named: Named, internet: Internet
) -> None:
    page = internet.hosts["www.mojeek.com"]

    async def once(request: web.Request) -> web.StreamResponse:
        return web.Response(status=429) if "s" in request.query else await page(request)

    internet.hosts["www.mojeek.com"] = once
    question = Question(words="flotilla", most=50)
    assert len(await named("mojeek").search("web", question, Deadline.after(4))) == 3
