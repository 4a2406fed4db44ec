"""The engines of ddgs that are asked: their pages, what each heeds, and how one finds nothing.

ddgs knows the addresses and how to read results. What it does not know stands here: when a page
truly says that there is nothing, and what an engine must be told that ddgs leaves out. Sources: the
public pages of the engines, and SearXNG's notes on them for `kp`, `since`, `sB` and `country`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from flotilla.json_text import from_json
from web_search.engine import Blocked, Freshness, Kind, Question
from web_search.engines.places import Place, duckduckgo_code
from web_search.engines.reading import (
    Read,
    as_it_is,
    bing_images,
    by_ddgs,
    by_names,
    quoted_again,
)
from web_search.engines.texts import plain, words

Payload = dict[str, Any]
Adjust = Callable[[Any, Payload, Question, Place | None], None]
"""Mends what ddgs built: its engine (for cookies), the payload, the question and its place."""
Nothing = Callable[[str, Any], bool]
"""Whether a page, and its parsed tree where it is HTML, says that there is nothing."""

ALWAYS: frozenset[Freshness] = frozenset({"day", "week", "month", "year"})
TO_A_MONTH: frozenset[Freshness] = frozenset({"day", "week", "month"})
NEVER: frozenset[Freshness] = frozenset()


def _as_it_is(_engine: Any, _payload: Payload, _question: Question, _place: Place | None) -> None:
    """ddgs says all that there is to say."""


def _says(xpath: str) -> Nothing:
    return lambda _page, tree: tree is not None and bool(tree.xpath(xpath))


def _has_class(*names: str) -> str:
    tests = (f"contains(concat(' ', normalize-space(@class), ' '), ' {name} ')" for name in names)
    return f"//*[{' or '.join(tests)}]"


def _text(*sentences: str) -> str:
    # Only what is read: a script that could say the sentence says nothing.
    tests = (f"contains(normalize-space(.), '{sentence}')" for sentence in sentences)
    return f"//body//text()[{' or '.join(tests)}][not(ancestor::script or ancestor::style)]"


def _empty_list(*path: str | int) -> Nothing:
    """JSON whose list at `path` is there, and empty."""

    def says(page: str, _tree: Any) -> bool:
        try:
            value: Any = from_json(page.encode())
            for step in path:
                value = value[step]
        except (ValueError, LookupError, TypeError):
            return False
        return value == []

    return says


def _is_opensearch(page: str, _tree: Any) -> bool:
    """A list of words, titles, texts and addresses, whose titles may lead to several things only.

    Source: OpenSearch suggestions 1.1.
    """
    try:
        value: Any = from_json(page.encode())
    except ValueError:
        return False
    parts = cast("list[Any]", value) if isinstance(value, list) else []
    return len(parts) > 1 and isinstance(parts[1], list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """How one engine answers questions of one kind."""

    module: str
    """Within `ddgs.engines`."""
    name: str
    """Of the class."""
    nothing: Nothing
    adjust: Adjust = _as_it_is
    place: Callable[[Place | None], bool] = lambda _place: False
    """Whether it heeds that region."""
    within: frozenset[Freshness] = NEVER
    safe: bool = False
    times: Mapping[Freshness, str] = field(
        default_factory=lambda: {"day": "d", "week": "w", "month": "m", "year": "y"}
    )
    site: str
    """The domain that is asked, with its subdomains."""
    is_json: bool = False
    read: Read = by_ddgs
    address: Callable[[str], str] = as_it_is
    """Mends the address of a result."""
    text: Callable[[Any], str] = words
    """Makes plain what it says: some put markup into JSON."""
    most_pages: int = 1


@dataclass(frozen=True, slots=True)
class Suggesting:
    """An address that completes words: JSON of `[words, [completion, ...]]` (OpenSearch)."""

    url: str
    """With `{language}` where it is one of the host's."""
    site: str
    words: str
    """The parameter that the words go into."""
    fixed: Mapping[str, str]


def _with_country(place: Place | None) -> bool:
    return place is not None and place.country is not None


def _with_language(place: Place | None) -> bool:
    return place is not None


def _duckduckgo(_engine: Any, payload: Payload, question: Question, place: Place | None) -> None:
    payload["kl"] = payload["l"] = duckduckgo_code(place)
    payload["kp"] = {"strict": "1", "moderate": "-1", "off": "-2"}[question.safe]


def _duckduckgo_json(
    _engine: Any, payload: Payload, _question: Question, place: Place | None
) -> None:
    payload["l"] = duckduckgo_code(place)


def _brave(engine: Any, _payload: Payload, _question: Question, place: Place | None) -> None:
    country = place.country if place is not None and place.country else "all"
    engine.http_client.client.set_cookies("https://search.brave.com", {"country": country})


def _mojeek(engine: Any, payload: Payload, question: Question, place: Place | None) -> None:
    if place is None or place.country is None:
        engine.http_client.client.set_cookies("https://www.mojeek.com", {"arc": "none"})
    if question.within is not None:
        days = {"day": 1, "week": 7, "month": 31, "year": 366}[question.within]
        payload["since"] = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y%m%d")


def _startpage(_engine: Any, payload: Payload, _question: Question, place: Place | None) -> None:
    if not payload["sc"]:
        # Whoever asks without it is blocked the more.
        raise Blocked("startpage", "its form lacks what a question must bring along")
    if place is None or place.country is None:
        payload["qsr"] = "all"


def _yahoo(engine: Any, _payload: Payload, question: Question, _place: Place | None) -> None:
    mode = {"strict": "r", "moderate": "i", "off": "p"}[question.safe]
    engine.http_client.client.set_cookies(
        "https://search.yahoo.com", {"sB": f"v=1&vm={mode}&pn=10&rw=new&userset=1"}
    )


def _bing_news(_engine: Any, payload: Payload, _question: Question, place: Place | None) -> None:
    # ddgs begins with the second page.
    page = int(payload["SFX"])
    payload["first"], payload["SFX"] = str((page - 1) * 10 + 1), str(page - 1)
    if place is None or place.country is None:
        del payload["cc"], payload["setlang"]


_BING_NONE = _says(_text("There are no results for", "No results found for"))
_YAHOO_NONE = _says(f"{_has_class('compNoResult', 'zrp')} | {_text('We did not find results for')}")

BUILT_IN: Mapping[str, Mapping[Kind, Pages]] = {
    "duckduckgo": {
        "web": Pages(
            module="duckduckgo",
            name="Duckduckgo",
            site="duckduckgo.com",
            nothing=_says(_has_class("no-results", "result--no-result")),
            adjust=_duckduckgo,
            place=_with_country,
            within=ALWAYS,
            safe=True,
        ),
        "news": Pages(
            module="duckduckgo_news",
            name="DuckduckgoNews",
            site="duckduckgo.com",
            nothing=_empty_list("results"),
            adjust=_duckduckgo_json,
            place=_with_country,
            within=ALWAYS,
            safe=True,
            is_json=True,
            read=by_names,
            text=plain,
        ),
        "images": Pages(
            module="duckduckgo_images",
            name="DuckduckgoImages",
            site="duckduckgo.com",
            nothing=_empty_list("results"),
            adjust=_duckduckgo_json,
            place=_with_country,
            within=ALWAYS,
            safe=True,
            is_json=True,
            read=by_names,
            text=plain,
        ),
    },
    "brave": {
        "web": Pages(
            module="brave",
            name="Brave",
            site="search.brave.com",
            nothing=_says(_text("Not many great matches came back")),
            adjust=_brave,
            place=_with_country,
            within=ALWAYS,
            safe=True,
            most_pages=3,
        ),
    },
    "mojeek": {
        "web": Pages(
            module="mojeek",
            name="Mojeek",
            site="www.mojeek.com",
            nothing=_says(_text("No pages found matching")),
            adjust=_mojeek,
            place=_with_country,
            within=ALWAYS,
            safe=True,
            most_pages=3,
        ),
    },
    "startpage": {
        "web": Pages(
            module="startpage",
            name="Startpage",
            site="www.startpage.com",
            nothing=_says(
                f"{_has_class('no-results')} | {_text('there are no results for this search')}"
            ),
            adjust=_startpage,
            place=_with_country,
            within=ALWAYS,
            safe=True,
        ),
    },
    "yahoo": {
        "web": Pages(
            module="yahoo",
            name="Yahoo",
            site="search.yahoo.com",
            nothing=_YAHOO_NONE,
            adjust=_yahoo,
            within=TO_A_MONTH,
            safe=True,
            most_pages=3,
        ),
        "news": Pages(
            module="yahoo_news",
            name="YahooNews",
            site="search.yahoo.com",
            nothing=_YAHOO_NONE,
            within=TO_A_MONTH,
            most_pages=3,
        ),
    },
    "bing": {
        "news": Pages(
            module="bing_news",
            name="BingNews",
            site="www.bing.com",
            nothing=_BING_NONE,
            adjust=_bing_news,
            place=_with_country,
            within=TO_A_MONTH,
            most_pages=3,
        ),
        "images": Pages(
            module="bing_images",
            name="BingImages",
            site="www.bing.com",
            nothing=_BING_NONE,
            within=ALWAYS,
            times={"day": "day", "week": "week", "month": "month", "year": "year"},
            read=bing_images,
            text=plain,
        ),
    },
    "wikipedia": {
        "web": Pages(
            module="wikipedia",
            name="Wikipedia",
            site="wikipedia.org",
            nothing=_is_opensearch,
            place=_with_language,
            address=quoted_again,
            is_json=True,
        ),
    },
    "grokipedia": {
        "web": Pages(
            module="grokipedia",
            name="Grokipedia",
            site="grokipedia.com",
            nothing=_empty_list("results"),
            is_json=True,
        ),
    },
}
"""By name, the ones to be asked first first: their indexes are not the same."""

SUGGESTING: Mapping[str, Suggesting] = {
    "duckduckgo": Suggesting("https://duckduckgo.com/ac/", "duckduckgo.com", "q", {"type": "list"}),
    "brave": Suggesting("https://search.brave.com/api/suggest", "search.brave.com", "q", {}),
    "startpage": Suggesting(
        "https://www.startpage.com/suggestions",
        "www.startpage.com",
        "q",
        {"format": "opensearch", "segment": "startpage.defaultffx", "lui": "english"},
    ),
    "wikipedia": Suggesting(
        "https://{language}.wikipedia.org/w/api.php",
        "wikipedia.org",
        "search",
        {"action": "opensearch", "format": "json", "limit": "20"},
    ),
}
"""What completes words; ddgs has none of these."""
