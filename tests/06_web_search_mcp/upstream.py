"""Search engines of our own on loopback, each with a will of its own, and who asks them by HTTP."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from flotilla import Deadline, RateLimited, UpstreamError
from web_search.engine import Blocked, Found, Kind, Question, Wish


@dataclass
class Will:
    """How one engine behaves; changed while it runs."""

    pages: Sequence[str | Found] = ()
    status: int = 200
    """202 is a challenge, 429 is throttling, 500 is trouble."""
    retry_after_s: float = 0
    hangs: bool = False
    kinds: frozenset[Kind] = frozenset({"web"})
    unheeded: tuple[Wish, ...] = ()
    missing: str | None = None
    weight: float = 1.0


@dataclass
class Upstream:
    """The server of them all: who was asked how often, and who waits for an answer now."""

    wills: dict[str, Will] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    """Set: those that hang do not any more."""
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        will = self.wills[name]
        self.asked.append(name)
        if will.hangs:
            self.waiting.add(name)
            try:
                await self.go_on.wait()
            finally:
                self.waiting.discard(name)
        found = [{"url": page} for page in will.pages if isinstance(page, str)]
        headers = {"Retry-After": str(will.retry_after_s)} if will.retry_after_s else {}
        return web.json_response(found, status=will.status, headers=headers)


@dataclass
class OverHttp:
    """An Engine that asks the server for real; what it finds beyond addresses is in its will."""

    name: str
    upstream: Upstream
    session: aiohttp.ClientSession
    closed: bool = False

    @property
    def will(self) -> Will:
        return self.upstream.wills[self.name]

    @property
    def kinds(self) -> frozenset[Kind]:
        return self.will.kinds

    @property
    def weight(self) -> float:
        return self.will.weight

    @property
    def missing(self) -> str | None:
        return self.will.missing

    def leaves_out(self, kind: Kind, question: Question) -> tuple[Wish, ...]:
        return tuple(
            wish
            for wish in self.will.unheeded
            if getattr(question, wish) not in (None, "off", "moderate")
        )

    async def search(self, kind: Kind, question: Question, due: Deadline) -> Sequence[Found]:
        query = {"q": question.words, "kind": kind}
        async with self.session.get(f"{self.upstream.url}/{self.name}", params=query) as answer:
            if answer.status == 202:
                raise Blocked(self.name, "it wants a puzzle solved")
            if answer.status == 429:
                wait_ms = round(float(answer.headers.get("Retry-After", 60)) * 1000)
                raise RateLimited(f"{self.name} wants patience", retry_after_ms=wait_ms)
            if answer.status == 418:
                raise ZeroDivisionError("a mistake of the engine's own code")
            if answer.status >= 400:
                raise UpstreamError(f"{self.name} answered {answer.status}")
            urls = [each["url"] for each in await answer.json()]
        given = [each for each in self.will.pages if isinstance(each, Found)]
        return [*(Found(title=f"About {url}", url=url) for url in urls), *given]

    async def close(self) -> None:
        self.closed = True


@asynccontextmanager
async def engines_on_loopback(**wills: Will) -> AsyncGenerator[tuple[Upstream, list[OverHttp]]]:
    """The server, and an engine for each of the wills in their order."""
    upstream = Upstream(dict(wills))
    app = web.Application()
    app.router.add_get("/{name}", upstream.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with aiohttp.ClientSession() as session:
            yield upstream, [OverHttp(name, upstream, session) for name in wills]
    finally:
        upstream.go_on.set()
        await runner.cleanup()
