"""Brave's search by key. Source: https://api-dashboard.search.brave.com/app/documentation"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from flotilla import Deadline, FlotillaError, NotConfigured
from flotilla.meta import members
from flotilla.placed_secrets import PlacedSecrets
from flotilla.upstream import MAX_RETRY_AFTER_S, retry_after_s
from web_search.engine import Found, Kind, Question, Wish
from web_search.engines.judging import failed, limited
from web_search.engines.places import Place, place_of
from web_search.engines.texts import moment, moment_ago, number, plain, rows, web_url
from web_search.engines.wire import Answer, Wire

URL = "https://api.search.brave.com"
_PATHS: Mapping[Kind, str] = {
    "web": "/res/v1/web/search",
    "news": "/res/v1/news/search",
    "images": "/res/v1/images/search",
    "suggest": "/res/v1/suggest/search",
}
_MOST: Mapping[Kind, int] = {"web": 20, "news": 50, "images": 100, "suggest": 20}
_FRESH = {"day": "pd", "week": "pw", "month": "pm", "year": "py"}
_COUNTRIES = (
    "ar at au be br ca ch cl cn de dk es fi fr gb gr hk id in it jp kr mx my nl no nz ph pl pt ru "
    "sa se tr tw us za"
)
"""Those that it knows; it refuses a question with another."""
_LANGUAGES = (
    "ar bg bn ca cs da de el en es et eu fi fr gl gu he hi hr hu is it kn ko lt lv ml mr ms nb nl "
    "pa pl ro ru sk sl sr sv ta te th tr uk vi"
)
_OWN_LANGUAGES = {"ja": "jp", "no": "nb"}


class BraveApi:
    """Brave's API under one key; `Engine` says what it raises."""

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
        return frozenset(_PATHS)

    @property
    def missing(self) -> str | None:
        return self._keys.missing(self._key_place)

    def leaves_out(self, kind: Kind, question: Question) -> tuple[Wish, ...]:
        place = place_of(question.region)
        out: list[Wish] = []
        if place is not None and not _region(place, kind):
            out.append("region")
        if question.within is not None and kind in ("images", "suggest"):
            out.append("within")
        if question.safe != "moderate" and kind == "suggest":
            out.append("safe")
        return tuple(out)

    async def search(self, kind: Kind, question: Question, due: Deadline) -> Sequence[Found]:
        headers = {"X-Subscription-Token": self._keys.get(self._key_place)}
        answer = await self._wire.get(_PATHS[kind], _params(kind, question), headers, due)
        body = members(answer.body)
        if answer.status != 200 or "type" not in body:
            raise self._refused(answer)
        listed = members(body.get("web")).get("results") if kind == "web" else body.get("results")
        now = datetime.now(UTC)
        found = (_found(kind, row, now) for row in rows(listed))
        return [each for each in found if each is not None][: question.most]

    async def close(self) -> None:
        await self._wire.close()

    def _refused(self, answer: Answer) -> FlotillaError:
        told = members(members(answer.body).get("error"))
        code = plain(told.get("code"))[:80] or None
        message = plain(told.get("detail")) or f"it answers with status {answer.status}"
        if answer.status == 429:
            return limited(self.name, _reset_s(answer.headers))
        if answer.status in (401, 403) or "TOKEN" in (code or "") or "PLAN" in (code or ""):
            return NotConfigured(
                f"{self.name} does not take its key, or the key's plan lacks this: {message}",
                hint="Renew the key, or subscribe it to this kind of search.",
                details={"reason": "key", "engine": self.name, "upstreamCode": code},
            )
        wait_s = retry_after_s(answer.headers.get("Retry-After"))
        return failed(self.name, answer.status, message, code=code, wait_s=wait_s)


def _params(kind: Kind, question: Question) -> dict[str, str]:
    params = {"q": question.words, "count": str(min(question.most, _MOST[kind]))}
    place = place_of(question.region)
    if place is not None:
        params |= _region(place, kind)
    if kind == "suggest":
        return params
    # Pictures know no middle: they are filtered or they are not.
    is_coarse = kind == "images" and question.safe == "moderate"
    params["safesearch"] = "strict" if is_coarse else question.safe
    if kind != "images" and question.within is not None:
        params["freshness"] = _FRESH[question.within]
    if kind == "web":
        params["result_filter"] = "web"
        params["text_decorations"] = "false"
    return params


def _region(place: Place, kind: Kind) -> dict[str, str]:
    found: dict[str, str] = {}
    if place.country is not None and place.country in _COUNTRIES.split():
        found["country"] = place.country.upper()
    if kind == "suggest":
        return found
    if place.language in _LANGUAGES.split():
        found["search_lang"] = place.language
    elif place.language in _OWN_LANGUAGES:
        found["search_lang"] = _OWN_LANGUAGES[place.language]
    elif place.language == "pt":
        found["search_lang"] = "pt-br" if place.country == "br" else "pt-pt"
    elif place.language == "zh":
        is_old = place.country in ("tw", "hk")
        found["search_lang"] = "zh-hant" if is_old else "zh-hans"
    return found


def _found(kind: Kind, row: Mapping[str, Any], now: datetime) -> Found | None:
    if kind == "suggest":
        words = plain(row.get("query"))
        return Found(title=words, url="") if words else None
    url, title = web_url(row.get("url")), plain(row.get("title"))
    if not url or not title:
        return None
    picture, thumbnail = members(row.get("properties")), members(row.get("thumbnail"))
    if kind == "images":
        return Found(
            title=title,
            url=url,
            source=plain(row.get("source")) or None,
            image_url=web_url(picture.get("url")) or None,
            thumbnail_url=web_url(thumbnail.get("src")) or None,
            width=number(picture.get("width")),
            height=number(picture.get("height")),
        )
    return Found(
        title=title,
        url=url,
        snippet=plain(row.get("description")),
        source=_publisher(row),
        published_at=moment(row.get("page_age")) or moment_ago(row.get("age"), now),
        thumbnail_url=web_url(thumbnail.get("src")) or None,
    )


def _publisher(row: Mapping[str, Any]) -> str | None:
    name = plain(members(row.get("profile")).get("name"))
    host = plain(members(row.get("meta_url")).get("hostname"))
    return name or host or urlsplit(web_url(row.get("url"))).hostname


def _reset_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until the window that is used up begins anew, at most an hour.

    `X-RateLimit-Remaining: 0, 1000` and `X-RateLimit-Reset: 1, 1419704` are a second and a month.
    """
    left = _numbers(headers.get("X-RateLimit-Remaining"))
    reset = _numbers(headers.get("X-RateLimit-Reset"))
    used_up = [after for remaining, after in zip(left, reset, strict=False) if remaining <= 0]
    if used_up:
        return min(max(used_up), MAX_RETRY_AFTER_S)
    return min(reset, default=None) or retry_after_s(headers.get("Retry-After"))


def _numbers(header: str | None) -> list[float]:
    try:
        return [float(part) for part in (header or "").split(",") if part.strip()]
    except ValueError:
        return []
