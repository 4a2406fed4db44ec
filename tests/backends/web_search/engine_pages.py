"""Pages of the engines of ddgs, built as theirs are where ddgs and we look, and answering alike.

Each is a handler for `Internet.hosts`; what it finds is the library's.
"""

import json
import re
from collections.abc import Awaitable, Callable
from html import escape
from typing import Any
from urllib.parse import quote

from aiohttp import web

from tests.backends.web_search.library import Entry, entries_for

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
NOW = 1_795_000_000
"""When DuckDuckGo's news say they are from, in seconds since 1970."""


def html(body: str, title: str = "search") -> web.Response:
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{body}</body></html>"
    return web.Response(text=page, content_type="text/html")


def as_json(value: Any) -> web.Response:
    return web.Response(text=json.dumps(value), content_type="application/json")


def _follow_bangs(words: str) -> None:
    """As both do: `!w` or `w!` among the words, or a backslash before them, leads elsewhere."""
    if re.search(r"(?:^|\s)(?:![a-z0-9]+|[a-z0-9]+!)(?:\s|$)", words) or words.startswith("\\"):
        raise web.HTTPFound("https://elsewhere.example.org/?q=x")


async def duckduckgo_html(request: web.Request) -> web.StreamResponse:
    words = str((await request.post()).get("q", ""))
    _follow_bangs(words)
    rows = "".join(
        '<div class="result results_links results_links_deep web-result">'
        '<div class="links_main links_deep result__body"><h2 class="result__title">'
        f'<a rel="nofollow" class="result__a" href="{escape(each.url)}">{escape(each.title)}</a>'
        f'</h2><a class="result__snippet" href="{escape(each.url)}">{escape(each.text)}</a>'
        '<div class="clear"></div></div></div>'
        for each in entries_for(words)
    )
    advert = (
        '<div class="result results_links result--ad"><div class="links_main result__body">'
        '<h2 class="result__title"><a class="result__a" href="#">Buy</a></h2>'
        '<a class="result__snippet" href="https://duckduckgo.com/y.js?ad_provider=x">Buy</a>'
        "</div></div>"
    )
    none = (
        '<div class="result results_links results_links_deep result--no-result">'
        '<div class="links_main links_deep result__body"><h2 class="result__title">'
        f'<a class="result__a">No results.</a></h2></div></div>'
        f'<div class="no-results">No results found for <b>{escape(words)}</b></div>'
    )
    return html(f'<div class="serp__results"><div id="links">{advert}{rows or none}</div></div>')


async def duckduckgo(request: web.Request) -> web.StreamResponse:
    """Its first page with the token, pictures and news as JSON, and completions."""
    words = request.query.get("q", "")
    found = entries_for(words)
    if request.path == "/ac/":
        return as_json([words, [f"{words} {each}" for each in ("boat", "knots")] if found else []])
    if request.path == "/":
        return html('<script>DDG.deep.initialize("/d.js?q=x&vqd=4-123456789&p=1");</script>')
    if request.query.get("vqd") != "4-123456789":
        return web.Response(status=403)
    if request.path == "/news.js":
        return as_json({"results": [_duckduckgo_news(each) for each in found]})
    return as_json({"results": [_picture(each) for each in found]})


def _duckduckgo_news(each: Entry) -> dict[str, Any]:
    return {
        "date": NOW - each.hours_old * 3600,
        "excerpt": f"<b>News</b>: {escape(each.text)}",
        "image": "https://img.example.org/a%20b.jpg",
        "relative_time": f"{each.hours_old} hours ago",
        "source": each.publisher,
        "title": escape(each.title),
        "url": each.url,
    }


def _picture(each: Entry) -> dict[str, Any]:
    return {
        "title": escape(each.title),
        "image": f"{each.url.partition('#')[0]}.jpg",
        "thumbnail": "https://tse.example.org/th?id=1",
        "url": each.url,
        "width": 800,
        "height": 600,
        "source": "Bing",
    }


async def brave(request: web.Request) -> web.StreamResponse:
    words = request.query.get("q", "")
    _follow_bangs(words)
    if request.path == "/api/suggest":
        return as_json([words, [f"{words} harbour"]])
    rows = "".join(
        '<div class="snippet svelte-x" data-pos="1" data-type="web"><div class="result-wrapper">'
        f'<div class="result-content"><a href="{escape(each.url)}" class="svelte-x l1">'
        '<div class="site-wrapper"><div class="favicon-wrapper">i</div></div>'
        f'<div class="title search-snippet-title line-clamp-1">{escape(each.title)}</div></a>'
        '<div class="generic-snippet svelte-x"><div class="content line-clamp-dynamic">'
        f"{escape(each.text)}</div></div></div></div></div>"
        for each in entries_for(words)
    )
    if "offset" in request.query:
        rows = ""
    none = "<div><h5>Not many great matches came back for your search:</h5><p>More words</p></div>"
    return html(f'<main><div id="results">{rows or none}</div></main>', f"{words} - Brave Search")


async def mojeek(request: web.Request) -> web.StreamResponse:
    words = request.query.get("q", "")
    first = "s" not in request.query
    rows = "".join(
        f'<li class="r1"><a title="{escape(each.url)}" class="ob" href="{escape(each.url)}">'
        f'<p class="i"><span class="url">x</span></p></a><h2><a class="title" '
        f'href="{escape(each.url)}">{escape(each.title)}</a></h2>'
        f'<p class="s">{escape(each.text)}</p></li>'
        for each in entries_for(words)
        if first
    )
    none = f"<div><p>No pages found matching: <strong>{escape(words)}</strong></p></div>"
    return html(f'<ul class="results-standard">{rows}</ul>' if rows else none)


async def startpage(request: web.Request) -> web.StreamResponse:
    if request.path == "/suggestions":
        words = request.query.get("q", "")
        return as_json([words, [f"{words} weather"], [], {}])
    if request.path == "/":
        return html(
            '<form id="search" action="/sp/search" method="post"><input name="query">'
            '<input type="hidden" name="sc" value="TLsB0oIT"></form>'
        )
    form = await request.post()
    if form.get("sc") != "TLsB0oIT":
        raise web.HTTPFound("https://www.startpage.com/sp/captcha")
    rows = "".join(
        f'<div class="result css-o7i03b"><a class="result-title result-link css-1bggj8v" '
        f'href="{escape(each.url)}"><h2 class="wgl-title css-i3irj7">{escape(each.title)}</h2></a>'
        f'<p class="description css-1507v2l">{escape(each.text)}</p></div>'
        for each in entries_for(str(form.get("query", "")))
    )
    none = '<div class="no-results"><p>Sorry, there are no results for this search.</p></div>'
    return html(f'<section class="w-gl">{rows or none}</section>')


def _wrapped(url: str) -> str:
    """Yahoo's way of counting clicks."""
    target = re.sub("%..", lambda escaped: escaped[0].lower(), quote(url, safe=""))
    return f"https://r.search.yahoo.com/_ylt=A;_ylu=Y/RV=2/RE=1/RO=10/RU={target}/RK=2/RS=x-"


async def yahoo(request: web.Request) -> web.StreamResponse:
    words = request.query.get("p", "")
    rows = "".join(
        '<li><div class="dd algo algo-sr relsrch Sr"><div class="compTitle options-toggle">'
        f'<h3 class="title"><a href="{escape(_wrapped(each.url))}">{escape(each.title)}</a></h3>'
        f'</div><div class="compText aAbs"><p>{escape(each.text)}</p></div></div></li>'
        for each in entries_for(words)
        if "b" not in request.query
    )
    none = f"<p>We did not find results for: <b>{escape(words)}</b></p>"
    none = f'<li><div class="dd zrp">{none}</div></li>'
    return html(f'<div id="web"><ol class="reg searchCenterMiddle">{rows or none}</ol></div>')


async def yahoo_news(request: web.Request) -> web.StreamResponse:
    words = request.query.get("p", "")
    rows = "".join(
        '<li><a class="thmb" href="#"><img data-src="https://s.yimg.example.com/uu/api/res/-/'
        'https://img.example.org/boat.jpg"></a><h4 class="s-title">'
        f'<a href="{escape(_wrapped(each.url))}">{escape(each.title)}</a></h4>'
        f'<span class="s-source">{escape(each.publisher)}</span>'
        f'<span class="s-time">{each.hours_old} hours ago</span><p>{escape(each.text)}</p></li>'
        for each in entries_for(words)
        if "b" not in request.query
    )
    none = "<li><p>We did not find results for: that. Try the suggestions below.</p></li>"
    return html(f'<div id="web"><ol>{rows or none}</ol></div>')


async def bing(request: web.Request) -> web.StreamResponse:
    found = entries_for(request.query.get("q", ""))
    if request.path == "/images/async":
        return _bing_images(found)
    rows = "".join(
        f'<div class="news-card newsitem cardcommon" data-title="{escape(each.title)}" '
        f'url="{escape(each.url)}" data-author="{escape(each.publisher)}">'
        '<a class="imagelink image"><img src="/th?id=OVFT.x&amp;pid=News"></a>'
        f'<div class="snippet">{escape(each.text)}</div>'
        f'<span tabindex="0" aria-label="{each.hours_old} hours ago">{each.hours_old}h</span></div>'
        for each in found
        if request.query.get("first") == "1"
    )
    return html(rows or "<div><h2>There are no results for that</h2></div>")


def _bing_images(found: tuple[Entry, ...]) -> web.Response:
    def row(each: Entry) -> str:
        picture = _picture(each)
        told = json.dumps(
            {
                "t": picture["title"],
                "murl": picture["image"],
                "turl": picture["thumbnail"],
                "purl": picture["url"],
            }
        )
        return (
            f'<li><div class="iuscp"><div class="imgpt"><a class="iusc" m="{escape(told)}"></a>'
            '<div class="img_info hon"><span class="nowrap">800 &#215; 600 &#183; jpeg</span></div>'
            '</div><div class="infopt"><div class="lnkw"><a>example.org</a></div></div></div></li>'
        )

    rows = "".join(row(each) for each in found)
    none = '<div class="no_results">There are no results for that</div>'
    return html(f'<ul class="dgControl_list">{rows}</ul>' if rows else none)


async def wikipedia(request: web.Request) -> web.StreamResponse:
    words = request.query.get("search", "")
    if request.query.get("action") == "query":
        text = "Mercury may refer to:" if words else "A fleet of boats is a flotilla."
        if request.query.get("titles") == "Mercury":
            text = "Mercury may refer to: a planet, a metal"
        return as_json({"query": {"pages": {"7": {"extract": text}}}})
    if not entries_for(words):
        return as_json([words, [], [], []])
    title = "Mercury" if words == "mercury" else "What is a Flotilla?"
    address = f"https://{request.host}/wiki/{quote(title.replace(' ', '_'))}"
    most = int(request.query.get("limit", "10"))
    titles = [title, "Flotilla"][:most]
    return as_json([words, titles, [""] * len(titles), [address] * len(titles)])


async def grokipedia(request: web.Request) -> web.StreamResponse:
    found = entries_for(request.query.get("query", ""))
    rows = [{"slug": "Flotilla", "title": "Flotilla", "snippet": each.text} for each in found]
    return as_json({"results": rows})


HOSTS: dict[str, Handler] = {
    "html.duckduckgo.com": duckduckgo_html,
    "duckduckgo.com": duckduckgo,
    "search.brave.com": brave,
    "www.mojeek.com": mojeek,
    "www.startpage.com": startpage,
    "search.yahoo.com": yahoo,
    "news.search.yahoo.com": yahoo_news,
    "www.bing.com": bing,
    "*.wikipedia.org": wikipedia,
    "grokipedia.com": grokipedia,
}
