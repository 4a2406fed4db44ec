"""An engine of ddgs as one of ours: its own classes build the request and read the page, in sight.

ddgs as a whole chooses engines itself and takes every failure for "no results". So its engines are
driven one by one here, step by step, through a client that tells status, redirects and page.
"""

import asyncio
import importlib
import threading
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, cast

from flotilla import Deadline, FlotillaError, InvalidArgument, TimedOut, UpstreamError
from flotilla.json_text import from_json
from flotilla.threads import Threads
from web_search.engine import Blocked, Found, Kind, Question, Wish
from web_search.engines.built_in import Pages, Suggesting
from web_search.engines.judging import challenge_in, why_unknown
from web_search.engines.phrasing import without_bangs
from web_search.engines.places import Place, place_of
from web_search.engines.reading import (
    MAX_TEXT_CHARS,
    Item,
    found_of,
    reads_items,
    tree_of,
    unreadable,
)
from web_search.engines.texts import plain
from web_search.engines.visit import Visit, Visiting

LEFT_FOR_US_S = 0.05
"""The visit ends that long before the deadline, so that what is told names the engine."""


_loading = threading.Lock()


def loaded(module: str) -> ModuleType:
    """One of the modules of `ddgs.engines`, by its name.

    Their package imports all of them when it is first imported itself: threads that do so at once
    would wait for each other, which Python ends with an error for one of them.
    """
    with _loading:
        return importlib.import_module(f"ddgs.engines.{module}")


@dataclass(frozen=True, slots=True)
class Line:
    """How requests go out: through a proxy, trusting the authority of a PEM file besides."""

    proxy: str | None = None
    ca_file: str | None = None


class Places:
    """How many questions at once go out through all engines that block, and through one of them.

    Each engine has threads of its own, so that one that hangs takes none of the others'.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._all = asyncio.Semaphore(most)

    def threads(self, engine: str) -> Threads:
        return Threads(self._most, engine, abandoned=max(2, self._most // 2))

    @asynccontextmanager
    async def taken(self, engine: str, due: Deadline) -> AsyncGenerator[None]:
        """TimedOut where there is no place until `due`."""
        try:
            async with asyncio.timeout(due.remaining_s()):
                await self._all.acquire()
        except TimeoutError:
            raise TimedOut(f"{engine} did not answer in time") from None
        try:
            yield
        finally:
            self._all.release()


class DdgsEngine:
    """One engine under one name, for all kinds that it answers; `Engine` says what it raises.

    Each question is a client of its own: no cookie outlives it.
    """

    def __init__(
        self,
        name: str,
        pages: Mapping[Kind, Pages],
        suggesting: Suggesting | None,
        places: Places,
        line: Line,
        weight: float = 1.0,
    ) -> None:
        self.name = name
        self._pages = pages
        self._suggesting = suggesting
        self._places = places
        self._threads = places.threads(name)
        self._line = line
        self.weight = weight

    @property
    def kinds(self) -> frozenset[Kind]:
        suggest: frozenset[Kind] = frozenset({"suggest"} if self._suggesting else ())
        return frozenset(self._pages) | suggest

    @property
    def missing(self) -> str | None:
        return None

    def leaves_out(self, kind: Kind, question: Question) -> tuple[Wish, ...]:
        pages = self._pages.get(kind)
        if pages is None:
            return ()
        place = place_of(question.region)
        unheeded: dict[Wish, bool] = {
            "region": place is not None and not pages.place(place),
            "within": question.within is not None and question.within not in pages.within,
            "safe": question.safe != "moderate" and not pages.safe,
        }
        return tuple(wish for wish, is_left_out in unheeded.items() if is_left_out)

    async def search(self, kind: Kind, question: Question, due: Deadline) -> Sequence[Found]:
        place = place_of(question.region)
        over = threading.Event()
        visiting = Visiting(self.name, Deadline(due.at - LEFT_FOR_US_S), over)
        try:
            async with self._places.taken(self.name, due):
                return await self._threads.run(due, self._blocking, kind, question, place, visiting)
        except FlotillaError as error:
            error.details.setdefault("engine", self.name)
            raise
        finally:
            # A thread that nobody waits for any more asks for nothing more.
            over.set()

    async def close(self) -> None:
        """Nothing outlives a question."""

    def _blocking(
        self, kind: Kind, question: Question, place: Place | None, visiting: Visiting
    ) -> list[Found]:
        if kind == "suggest" and self._suggesting is not None:
            return self._suggested(self._suggesting, question, place, visiting)
        pages = self._pages.get(kind)
        if pages is None:
            raise InvalidArgument(f"{self.name} does not answer questions of kind {kind}")
        found: dict[str, Found] = {}
        for page in range(1, pages.most_pages + 1):
            try:
                more = self._page(kind, pages, question, place, page, visiting)
            except FlotillaError:
                if page == 1:
                    raise
                # What the first pages brought stands.
                break
            fresh = {each.url: each for each in more if each.url not in found}
            found |= fresh
            if not fresh or len(found) >= question.most:
                break
        return list(found.values())[: question.most]

    def _page(
        self,
        kind: Kind,
        pages: Pages,
        question: Question,
        place: Place | None,
        page: int,
        visiting: Visiting,
    ) -> list[Found]:
        engine, visit = self._engine(pages, visiting)
        try:
            items, said = _read(engine, pages, question, place, page)
        except FlotillaError:
            raise
        except unreadable():
            raise self._unknown(visit.page) from None
        now = datetime.now(UTC)
        read = (found_of(kind, item, now, address=pages.address, text=pages.text) for item in items)
        found = [each for each in read if each is not None]
        if not found:
            self._judge_empty(pages, said, was_read=bool(items))
        return found

    def _engine(self, pages: Pages, visiting: Visiting) -> tuple[Any, Visit]:
        """The engine of ddgs, new, and the visit that it goes out by."""
        kind = reads_items(getattr(loaded(pages.module), pages.name))
        engine = kind(proxy=self._line.proxy, timeout=1, verify=self._line.ca_file or True)
        visit = visiting.of(engine.http_client.client, pages.site)
        engine.http_client = visit
        return engine, visit

    def _judge_empty(self, pages: Pages, page: str, *, was_read: bool) -> None:
        """Return where this page says that there is nothing; else say what it is instead."""
        tree = None if pages.is_json else tree_of(page)
        if tree is not None and (wall := challenge_in(tree)) is not None:
            raise Blocked(self.name, wall)
        if pages.nothing(page, tree):
            return
        if was_read and not pages.is_json and tree is not None:
            raise UpstreamError(
                f"the results of {self.name} cannot be read any more",
                hint="Its pages have changed; a newer ddgs may know them.",
                details={"reason": "unreadable", "engine": self.name},
            )
        raise self._unknown(page)

    def _unknown(self, page: str) -> Blocked:
        return Blocked(self.name, why_unknown(page))

    def _suggested(
        self, how: Suggesting, question: Question, place: Place | None, visiting: Visiting
    ) -> list[Found]:
        import primp

        client = primp.Client(
            proxy=self._line.proxy,
            impersonate="random",
            impersonate_os="random",
            ca_cert_file=self._line.ca_file,
        )
        url = how.url.format(language=place.language if place is not None else "en")
        visit = visiting.of(client, how.site)
        reply = visit.request("GET", url, params={**how.fixed, how.words: question.words})
        try:
            words = from_json(reply.content)[1]
        except (ValueError, LookupError, TypeError):
            raise self._unknown(visit.page) from None
        if not isinstance(words, list):
            raise self._unknown(visit.page)
        titles = (plain(each)[:MAX_TEXT_CHARS] for each in cast("list[Any]", words))
        return [Found(title=title, url="") for title in titles if title][: question.most]


def _read(
    engine: Any, pages: Pages, question: Question, place: Place | None, page: int
) -> tuple[list[Any], str]:
    """The results of one page, by the engine of ddgs, and the page."""
    within = question.within if question.within in pages.within else None
    payload = engine.build_payload(
        query=without_bangs(question.words),
        region=_region(place),
        safesearch={"strict": "on", "moderate": "moderate", "off": "off"}[question.safe],
        timelimit=pages.times[within] if within is not None else None,
        page=page,
        max_results=str(question.most),
    )
    pages.adjust(engine, payload, question, place)
    wire = "params" if engine.search_method == "GET" else "data"
    reply = engine.http_client.request(engine.search_method, engine.search_url, **{wire: payload})
    items = pages.read(engine, reply.text)
    for item in items:
        if isinstance(item, Item):
            # ddgs overwrites it with what it takes it for.
            item.said_at = item.date
    return list(engine.post_extract_results(items)), reply.text


def _region(place: Place | None) -> str:
    """As ddgs wants it, country first; where no country is said, adjusting takes it out again."""
    if place is None:
        return "us-en"
    return f"{place.country or 'us'}-{place.language}"
