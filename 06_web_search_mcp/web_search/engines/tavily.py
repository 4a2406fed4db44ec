"""Tavily's search by key. Source: https://docs.tavily.com/documentation/api-reference"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from flotilla import Deadline, FlotillaError, NotConfigured
from flotilla.meta import members
from flotilla.placed_secrets import PlacedSecrets
from flotilla.upstream import MAX_RETRY_AFTER_S, retry_after_s
from web_search.engine import Found, Kind, Question, Wish
from web_search.engines.judging import failed, limited
from web_search.engines.places import place_of
from web_search.engines.texts import moment, rows, web_url, words
from web_search.engines.wire import Answer, Wire

URL = "https://api.tavily.com"
MOST = 20
_USED_UP = frozenset({432, 433})
"""The statuses of a plan and of a budget that are used up."""


class Tavily:
    """Tavily's API under one key; `Engine` says what it raises."""

    def __init__(
        self, name: str, wire: Wire, keys: PlacedSecrets, key_place: str, weight: float = 1.0
    ) -> None:
        self.name = name
        self._wire = wire
        self._keys = keys
        self._key_place = key_place
        self.weight = weight

    @property
    def kinds(self) -> frozenset[Kind]:
        return frozenset({"web", "news", "images"})

    @property
    def missing(self) -> str | None:
        return self._keys.missing(self._key_place)

    def leaves_out(self, kind: Kind, question: Question) -> tuple[Wish, ...]:
        out: list[Wish] = []
        if place_of(question.region) is not None:
            out.append("region")
        if question.safe != "moderate":
            out.append("safe")
        return tuple(out)

    async def search(self, kind: Kind, question: Question, due: Deadline) -> Sequence[Found]:
        headers = {"Authorization": f"Bearer {self._keys.get(self._key_place)}"}
        answer = await self._wire.post("/search", _body(kind, question), headers, due)
        body = members(answer.body)
        if answer.status != 200 or "results" not in body:
            raise self._refused(answer)
        if kind == "images":
            found = (_image(row) for row in rows(body.get("images")))
        else:
            found = (_found(kind, row) for row in rows(body["results"]))
        return [each for each in found if each is not None][: question.most]

    async def close(self) -> None:
        await self._wire.close()

    def _refused(self, answer: Answer) -> FlotillaError:
        detail = members(answer.body).get("detail")
        told = words(members(detail).get("error")) or words(detail)
        message = told or f"it answers with status {answer.status}"
        if answer.status == 429:
            return limited(self.name, retry_after_s(answer.headers.get("Retry-After")))
        if answer.status in _USED_UP:
            return limited(self.name, MAX_RETRY_AFTER_S)
        if answer.status in (401, 403):
            return NotConfigured(
                f"{self.name} does not take its key: {message}",
                hint="Renew the key.",
                details={"reason": "key", "engine": self.name},
            )
        return failed(self.name, answer.status, message)


def _body(kind: Kind, question: Question) -> dict[str, Any]:
    body: dict[str, Any] = {
        "query": question.words,
        "topic": "news" if kind == "news" else "general",
        "search_depth": "basic",
        "max_results": min(question.most, MOST),
        "include_answer": False,
        "include_raw_content": False,
    }
    if question.within is not None:
        body["time_range"] = question.within
    if kind == "images":
        body |= {"include_images": True, "include_image_descriptions": True}
    return body


def _found(kind: Kind, row: Mapping[str, Any]) -> Found | None:
    url, title = web_url(row.get("url")), words(row.get("title"))
    if not url or not title:
        return None
    return Found(
        title=title,
        url=url,
        snippet=words(row.get("content")),
        source=urlsplit(url).hostname if kind == "news" else None,
        published_at=moment(row.get("published_date")),
    )


def _image(row: Mapping[str, Any]) -> Found | None:
    image = web_url(row.get("url"))
    if not image:
        return None
    return Found(title=words(row.get("description")), url=image, image_url=image)
