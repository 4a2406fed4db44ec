"""A SearXNG, or a searx, of one's own: asked by its address for JSON.

Source: https://docs.searxng.org/dev/search_api.html
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import structlog

from flotilla import (
    Deadline,
    FlotillaError,
    NotConfigured,
    TimedOut,
    UpstreamError,
)
from flotilla.meta import members
from flotilla.upstream import retry_after_s
from web_search.engine import Blocked, Found, Kind, Question, Wish
from web_search.engines.judging import failed, limited
from web_search.engines.phrasing import without_bangs
from web_search.engines.places import place_of
from web_search.engines.texts import moment, number, rows, web_url, words
from web_search.engines.wire import Answer, Wire

log = structlog.get_logger(__name__)

MOST_PAGES = 5
_CATEGORIES: Mapping[Kind, str] = {"web": "general", "news": "news", "images": "images"}
_SAFE = {"off": "0", "moderate": "1", "strict": "2"}


class Searxng:
    """One instance; `Engine` says what it raises."""

    def __init__(self, name: str, wire: Wire, weight: float = 1.0) -> None:
        self.name = name
        self._wire = wire
        self.weight = weight

    @property
    def kinds(self) -> frozenset[Kind]:
        return frozenset({"web", "news", "images", "suggest"})

    @property
    def missing(self) -> str | None:
        return None

    def leaves_out(self, kind: Kind, question: Question) -> tuple[Wish, ...]:
        # It asks only engines of its own that heed the time and the language.
        return ("region",) if kind == "suggest" and question.region else ()

    async def search(self, kind: Kind, question: Question, due: Deadline) -> Sequence[Found]:
        if kind == "suggest":
            return await self._suggested(question, due)
        found: dict[str, Found] = {}
        for page in range(1, MOST_PAGES + 1):
            try:
                more = await self._page(kind, question, page, due)
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

    async def close(self) -> None:
        await self._wire.close()

    async def _page(self, kind: Kind, question: Question, page: int, due: Deadline) -> list[Found]:
        answer = await self._wire.get("/search", _params(kind, question, page), {}, due)
        body = members(answer.body)
        if answer.status != 200 or "results" not in body:
            raise self._refused(answer)
        found = [each for row in rows(body["results"]) if (each := _found(kind, row)) is not None]
        silent = _unresponsive(body.get("unresponsive_engines"))
        if silent:
            log.info("searxng_engines_silent", engine=self.name, silent=silent, page=page)
        if not found and silent and page == 1:
            raise self._told_nothing(silent)
        return found

    async def _suggested(self, question: Question, due: Deadline) -> list[Found]:
        answer = await self._wire.get(
            "/autocompleter", {"q": without_bangs(question.words)}, {}, due
        )
        if answer.status != 200 or not isinstance(answer.body, list):
            raise self._refused(answer)
        listed = cast("list[Any]", answer.body)
        if len(listed) == 2 and isinstance(listed[1], list):
            # The words and their completions; to a page's script it says the completions alone.
            listed = cast("list[Any]", listed[1])
        titles = (words(each) for each in listed)
        return [Found(title=title, url="") for title in titles if title][: question.most]

    def _refused(self, answer: Answer) -> FlotillaError:
        wait_s = retry_after_s(answer.headers.get("Retry-After"))
        if answer.status == 429:
            return limited(self.name, wait_s)
        if answer.status == 403 or answer.status == 200:
            return NotConfigured(
                f"{self.name} does not answer in JSON",
                hint="Add `json` to search.formats in its settings.yml, and see that its limiter "
                "lets this machine through.",
                details={"reason": "no_json", "engine": self.name},
            )
        told = f"it answers with status {answer.status}"
        return failed(self.name, answer.status, told, wait_s=wait_s)

    def _told_nothing(self, silent: Mapping[str, str]) -> FlotillaError:
        """Nothing was found, but some did not answer: nobody knows whether there is nothing."""
        names = ", ".join(silent)
        told = " ".join(silent.values()).lower()
        if any(word in told for word in ("captcha", "denied", "blocked")):
            return Blocked(self.name, f"of its engines, {names} did not answer ({told})")
        if "too many" in told:
            return limited(self.name, None)
        details = {"reason": "silent", "engine": self.name, "silent": dict(silent)}
        if all("timeout" in why or "timed out" in why for why in silent.values()):
            late = TimedOut(f"the engines of {self.name} did not answer in time: {names}")
            late.details.update(details)
            return late
        return UpstreamError(
            f"{self.name} found nothing, and of its engines {names} did not answer",
            hint="Its page of statistics says which of its engines are ill.",
            details=details,
        )


def _params(kind: Kind, question: Question, page: int) -> dict[str, str]:
    place = place_of(question.region)
    params = {
        "q": without_bangs(question.words),
        "format": "json",
        "categories": _CATEGORIES[kind],
        "pageno": str(page),
        "safesearch": _SAFE[question.safe],
    }
    if question.within is not None:
        params["time_range"] = question.within
    if place is not None:
        country = f"-{place.country.upper()}" if place.country else ""
        params["language"] = f"{place.language}{country}"
    return params


def _found(kind: Kind, row: Mapping[str, Any]) -> Found | None:
    url, title = web_url(row.get("url")), words(row.get("title"))
    image = _picture(row.get("img_src"))
    if kind == "images" and not image:
        return None
    if not url or not (title or image):
        return None
    width, _, height = words(row.get("resolution")).replace("×", "x").partition("x")
    return Found(
        title=title,
        url=url,
        snippet=words(row.get("content")),
        source=words(row.get("source")) or None,
        published_at=moment(row.get("pubdate")) or moment(row.get("publishedDate")),
        image_url=image or None,
        thumbnail_url=_picture(row.get("thumbnail_src") or row.get("thumbnail")) or None,
        width=number(width.strip()),
        height=number((height.split() or [""])[0]),
    )


def _picture(url: Any) -> str:
    """An address of the web; those without a scheme are of https."""
    if isinstance(url, str) and url.startswith("//"):
        return web_url(f"https:{url}")
    return web_url(url)


def _unresponsive(value: Any) -> dict[str, str]:
    """The engines that did not answer, with the reason: `[[name, why], ...]`."""
    found: dict[str, str] = {}
    for pair in cast("list[Any]", value) if isinstance(value, list) else []:
        if isinstance(pair, list) and len(cast("list[Any]", pair)) == 2:
            name, why = cast("list[Any]", pair)
            found[words(name)[:60]] = words(why)[:200]
    return found
