"""Brave's and Tavily's APIs on loopback, as strict about questions as theirs; faults on demand.

async with KeyedApis(key="k").running() as apis:
    apis.url
    apis.asked                  # headers, query or body of each question
    apis.faults.append(web.Response(...))       # answered instead, one after the other
"""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from tests.backends.web_search.library import Entry, entries_for

BRAVE_QUERY = {
    "web": {"q", "country", "search_lang", "ui_lang", "count", "offset", "safesearch", "freshness",
            "text_decorations", "spellcheck", "result_filter", "extra_snippets", "units"},
    "news": {"q", "country", "search_lang", "ui_lang", "count", "offset", "safesearch",
             "freshness", "spellcheck", "extra_snippets"},
    "images": {"q", "country", "search_lang", "count", "safesearch", "spellcheck"},
    "suggest": {"q", "country", "lang", "count", "rich"},
}  # fmt: skip
BRAVE_MOST = {"web": 20, "news": 50, "images": 200, "suggest": 20}
BRAVE_SAFE = {
    "web": {"off", "moderate", "strict"},
    "news": {"off", "moderate", "strict"},
    "images": {"off", "strict"},
}
BRAVE_COUNTRIES = {"AT", "BR", "DE", "GB", "HK", "JP", "TW", "US", "ALL"}
BRAVE_LANGUAGES = {"de", "en", "jp", "nb", "pt-br", "pt-pt", "zh-hans", "zh-hant"}
WRITTEN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@dataclass(frozen=True)
class Asked:
    path: str
    headers: Mapping[str, str]
    said: Mapping[str, Any]


@dataclass
class KeyedApis:
    key: str
    asked: list[Asked] = field(default_factory=list[Asked])
    faults: list[Callable[[], Awaitable[web.StreamResponse]]] = field(
        default_factory=list[Callable[[], Awaitable[web.StreamResponse]]]
    )
    url: str = ""

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["KeyedApis"]:
        application = web.Application(middlewares=[self._between])
        application.router.add_get("/res/v1/{kind}/search", self._brave)
        application.router.add_post("/search", self._tavily)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    @web.middleware
    async def _between(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        said = await request.json() if request.method == "POST" else dict(request.query)
        self.asked.append(Asked(request.path, dict(request.headers), said))
        return await self.faults.pop(0)() if self.faults else await handler(request)

    async def _brave(self, request: web.Request) -> web.StreamResponse:
        kind, query = request.match_info["kind"], request.query
        if request.headers.get("X-Subscription-Token") != self.key:
            return brave_error(422, "SUBSCRIPTION_TOKEN_INVALID", "The token is invalid.")
        wrong = (
            not set(query) <= BRAVE_QUERY[kind]
            or not 1 <= int(query.get("count", "20")) <= BRAVE_MOST[kind]
            or query.get("country", "ALL") not in BRAVE_COUNTRIES
            or query.get("search_lang", "en") not in BRAVE_LANGUAGES
            or query.get("safesearch", "strict") not in BRAVE_SAFE.get(kind, {"strict"})
            or query.get("freshness", "pd") not in {"pd", "pw", "pm", "py"}
        )
        if wrong:
            return brave_error(422, "VALIDATION", "Unable to validate request parameter(s)")
        found = entries_for(query["q"])[: int(query.get("count", "20"))]
        return web.json_response(_BRAVE[kind](query["q"], found))

    async def _tavily(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return tavily_error(401, "Unauthorized: missing or invalid API key.")
        said = await request.json()
        wrong = (
            not isinstance(said.get("query"), str)
            or said.get("topic", "general") not in {"general", "news", "finance"}
            or not 0 <= said.get("max_results", 5) <= 20
            or said.get("time_range", "day") not in {"day", "week", "month", "year"}
        )
        if wrong:
            return tavily_error(400, "Invalid request body")
        found = entries_for(said["query"])[: said.get("max_results", 5)]
        is_news = said.get("topic") == "news"
        pictures = [{"url": f"{each.url}.png", "description": each.text} for each in found]
        return web.json_response(
            {
                "query": said["query"],
                "answer": None,
                "images": pictures if said.get("include_images") else [],
                "results": [_tavily_row(each, is_news=is_news) for each in found],
                "response_time": 0.7,
                "request_id": "123e4567",
            }
        )


def brave_error(status: int, code: str, detail: str, **headers: str) -> web.Response:
    error = {"id": "0f3a", "status": status, "code": code, "detail": detail}
    return web.json_response(
        {"type": "ErrorResponse", "error": error, "time": 1_795_000_000},
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def tavily_error(status: int, told: str, **headers: str) -> web.Response:
    return web.json_response(
        {"detail": {"error": told}},
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


def _brave_web(words: str, found: tuple[Entry, ...]) -> dict[str, Any]:
    rows = [
        {
            "title": each.title,
            "url": each.url,
            "description": f"<strong>A</strong> text: {each.text}",
            "page_age": WRITTEN.replace(tzinfo=None).isoformat(),
            "age": "March 4, 2026",
            "language": "en",
            "family_friendly": True,
            "profile": {"name": each.publisher, "url": each.url},
            "meta_url": {"scheme": "https", "hostname": "sailing.example.org"},
            "thumbnail": {"src": "https://imgs.example.com/t.jpg", "original": each.url},
        }
        for each in found
    ]
    told: dict[str, Any] = {"type": "search", "query": {"original": words}, "mixed": {}}
    # It leaves out what it has nothing of.
    return told | ({"web": {"type": "search", "results": rows}} if rows else {})


def _brave_news(words: str, found: tuple[Entry, ...]) -> dict[str, Any]:
    rows = [
        {
            "type": "news_result",
            "title": each.title,
            "url": each.url,
            "description": each.text,
            "age": f"{each.hours_old} hours ago",
            "meta_url": {"hostname": "news.example.org"},
        }
        for each in found
    ]
    return {"type": "news", "query": {"original": words}, "results": rows}


def _brave_images(words: str, found: tuple[Entry, ...]) -> dict[str, Any]:
    rows = [
        {
            "type": "image_result",
            "title": each.title,
            "url": each.url,
            "source": "sailing.example.org",
            "thumbnail": {"src": "https://imgs.example.com/t.jpg", "width": 200, "height": 150},
            "properties": {"url": f"{each.url}.jpg", "width": 800, "height": 600},
        }
        for each in found
    ]
    return {"type": "images", "query": {"original": words}, "results": rows}


def _brave_suggest(words: str, found: tuple[Entry, ...]) -> dict[str, Any]:
    rows = [{"query": f"{words} {number}"} for number in range(len(found))]
    return {"type": "suggest", "query": {"original": words}, "results": rows}


_BRAVE: Mapping[str, Callable[[str, tuple[Entry, ...]], dict[str, Any]]] = {
    "web": _brave_web,
    "news": _brave_news,
    "images": _brave_images,
    "suggest": _brave_suggest,
}


def _tavily_row(each: Entry, *, is_news: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "title": each.title,
        "url": each.url,
        "content": each.text,
        "score": 0.9,
        "raw_content": None,
    }
    moment = WRITTEN - timedelta(hours=each.hours_old)
    return row | ({"published_date": format_datetime(moment, usegmt=True)} if is_news else {})


def garbled() -> web.Response:
    """A page of a gateway in the place of JSON."""
    return web.Response(text="<html>bad gateway</html>", content_type="text/html")


def too_deep() -> web.Response:
    return web.Response(text="[" * 200_000, content_type="application/json")


def as_response(value: Any, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(value), status=status, content_type="application/json")
