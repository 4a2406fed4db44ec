"""What a page says of itself, in its head, in JSON-LD and in its text. Pure.

All of it is a stranger's: lengths are bounded, control and invisible characters are taken out, and
what should be a date or a URL is one or is left out.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, cast

from flotilla.sizes import strip_invisible
from web_browsing.reading.shapes import About
from web_browsing.reading.targets import Targets
from web_browsing.reading.tree import Node, Parsed

MAX_LENGTH = 500
MAX_JSON_LENGTH = 300_000
_LEAST_TITLE = 3
MAX_THINGS = 200
"""Objects of JSON-LD that are looked at."""
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8}){0,3}")
_DATE = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ](.{4,20}))?")
_BY = re.compile(r"^(?:by|von|par|por|di)\s+", re.IGNORECASE)
_ARTICLES = re.compile(
    r"(?:Article|Posting|Report|Recipe|Product|Event|WebPage|Book|Movie|Dataset)$"
)
_PAGES = frozenset({"WebPage", "WebSite", "CollectionPage", "ItemPage"})


def about(page: Parsed, targets: Targets) -> About:
    """Said in the head before JSON-LD before the text; the first that is sound counts."""
    head = _Head.of(page.root)
    thing = _main_thing(page.json_ld)
    return About(
        title=_title(head, thing),
        author=_first(
            _by(_name(thing.get("author"))),
            _by(head.meta("author", "article:author", "dc.creator", "parsely-author")),
            _by(head.byline),
        ),
        published_at=_first_date(
            thing.get("datePublished"),
            head.meta("article:published_time", "datepublished", "date", "dc.date", "pubdate"),
            head.meta("parsely-pub-date", "sailthru.date", "dc.date.issued", "citation_date"),
            head.time,
        ),
        modified_at=_first_date(
            thing.get("dateModified"),
            head.meta("article:modified_time", "og:updated_time", "datemodified", "last-modified"),
        ),
        language=_language(head.language or head.meta("content-language", "og:locale")),
        site_name=_first(
            head.meta("og:site_name", "application-name"),
            _name(thing.get("publisher")) if thing.get("publisher") else None,
        ),
        description=_first(
            head.meta("description", "og:description", "twitter:description"),
            thing.get("description"),
        ),
        canonical_url=targets.absolute(head.canonical or head.meta("og:url") or ""),
        image_url=targets.absolute(head.meta("og:image", "og:image:url", "twitter:image") or ""),
        kind=_first(head.meta("og:type"), _kind(thing)),
    )


class _Head:
    """What the tree has, gathered in one walk."""

    def __init__(self) -> None:
        self._meta: dict[str, str] = {}
        self.language = ""
        self.canonical = ""
        self.title = ""
        self.headings: list[str] = []
        self.byline = ""
        self.time = ""

    @classmethod
    def of(cls, root: Node) -> "_Head":
        head = cls()
        for node in root.walk():
            head._take(node)
        return head

    def meta(self, *names: str) -> str | None:
        return next((self._meta[each] for each in names if self._meta.get(each)), None)

    def _take(self, node: Node) -> None:
        tag = node.tag
        if tag == "meta":
            name = node.get("property") or node.get("name") or node.get("itemprop")
            name = name or node.get("http-equiv")
            if name and len(name) < 60 and len(self._meta) < 200:
                self._meta.setdefault(name.strip().lower(), node.get("content"))
        elif tag == "html" and not self.language:
            self.language = node.get("lang") or node.get("xml:lang")
        elif tag == "link" and not self.canonical:
            if "canonical" in node.get("rel").lower().split():
                self.canonical = node.get("href")
        elif tag == "title" and not self.title:
            # A picture's title is none of the page's: an svg has one too, but later.
            self.title = _start_of(node)
        elif tag == "h1" and len(self.headings) < 5:
            self.headings.append(_start_of(node))
        elif tag == "time" and not self.time:
            self.time = node.get("datetime")
        elif not self.byline and (
            "author" in node.get("rel").lower().split()
            or node.get("itemprop").lower() == "author"
            or "byline" in node.classes
        ):
            text = _start_of(node)
            self.byline = text if len(text) < 100 else ""


def _start_of(node: Node) -> str:
    """The first of its text, so that an element around the whole page costs little."""
    told: list[str] = []
    length = 0
    for each in node.texts():
        told.append(each)
        length += len(each)
        if length > 2 * MAX_LENGTH:
            break
    return " ".join("".join(told).split())


def _title(head: _Head, thing: Mapping[str, Any]) -> str | None:
    """Without the site's name behind, where a heading of the page says which part that is."""
    named = _first(head.meta("og:title", "twitter:title"), thing.get("headline"), head.title)
    headings = [each for heading in head.headings if (each := _first(heading))]
    if named is None:
        return next(iter(headings), None)
    starts = (
        each
        for each in headings
        if len(each) > _LEAST_TITLE and named.casefold().startswith(each.casefold())
    )
    return next(starts, named)


def _main_thing(json_ld: Sequence[str]) -> Mapping[str, Any]:
    """The object that tells of the page's text; an empty one where none does."""
    things = [(_kind(each) or "", each) for each in _things(json_ld)]
    articles = (each for kind, each in things if kind not in _PAGES and _ARTICLES.search(kind))
    pages = (each for kind, each in things if kind in _PAGES)
    nothing: Mapping[str, Any] = {}
    return next(articles, None) or next(pages, nothing)


def _things(json_ld: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    told = 0
    for text in json_ld[:20]:
        if len(text) > MAX_JSON_LENGTH:
            continue
        try:
            pending: list[Any] = [json.loads(text, strict=False)]
        except (ValueError, RecursionError):
            continue
        while pending and told < MAX_THINGS:
            each = pending.pop(0)
            told += 1
            if isinstance(each, list):
                pending += cast("list[Any]", each)[:50]
            elif isinstance(each, dict):
                thing = cast("dict[str, Any]", each)
                yield thing
                pending += [thing[name] for name in ("@graph", "mainEntity") if name in thing]


def _kind(thing: Mapping[str, Any]) -> str | None:
    kind = thing.get("@type")
    if isinstance(kind, list):
        kind = next(iter(cast("list[Any]", kind)), None)
    return _text(kind)


def _name(value: Any) -> str | None:
    """The name of a person or an organisation of JSON-LD, or of several."""
    if isinstance(value, list):
        names = [
            _name(each) for each in cast("list[Any]", value)[:10] if not isinstance(each, list)
        ]
        return ", ".join(each for each in names if each) or None
    if isinstance(value, dict):
        return _text(cast("dict[str, Any]", value).get("name"))
    return _text(value)


def _by(value: str | None) -> str | None:
    """A person's name: no URL, and without a leading "By"."""
    name = _BY.sub("", _text(value) or "").strip(" ,|·•")
    return name if name and "://" not in name and not name.startswith("@") else None


def _first(*values: Any) -> str | None:
    return next((text for each in values if (text := _text(each))), None)


def _text(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    plain = strip_invisible(value[: 4 * MAX_LENGTH])
    plain = " ".join("".join(each if each.isprintable() else " " for each in plain).split())
    return f"{plain[: MAX_LENGTH - 1]}…" if len(plain) > MAX_LENGTH else plain or None


def _first_date(*values: Any) -> str | None:
    return next((told for each in values if (told := iso(each))), None)


def iso(value: Any) -> str | None:
    """A date or a moment as ISO 8601; None for what is neither."""
    text = value.strip() if isinstance(value, str) else ""
    if not text or len(text) > 40:
        return None
    try:
        if len(text) == 10:
            return date.fromisoformat(text).isoformat()
        return datetime.fromisoformat(text).isoformat()
    except ValueError:
        pass
    if found := _DATE.match(text):
        try:
            return date(int(found[1]), int(found[2]), int(found[3])).isoformat()
        except ValueError:
            return None
    return None


def _language(value: str | None) -> str | None:
    text = (value or "").strip().replace("_", "-")
    return text if _LANGUAGE.fullmatch(text) else None
