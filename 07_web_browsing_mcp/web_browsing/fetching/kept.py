"""Pages kept for a while: asked for again only where their server wants that.

Kept for each principal apart, so that nobody learns from it what another read. All requests of
ours have the same headers, so that Vary matters only where it is `*`. Source: RFC 9111.
"""

import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import monotonic

from web_browsing.fetching.kinds import Kind
from web_browsing.fetching.orders import Reading
from web_browsing.fetching.wire import Answer
from web_browsing.reading.shapes import Form

MAX_BYTES = 64 * 1024 * 1024
MAX_PAGES = 500
MAX_FRESH_S = 3600.0
_PAGE_BYTES, _LINK_BYTES = 2048, 300
PAGING_S, PAGING_NO_STORE_S = 600.0, 120.0
"""For so long the further pieces of a page come from the reading that the first one came from."""

Key = tuple[str, str, bool]
"""Whose, the URL asked for, and whether it was rendered."""


@dataclass(eq=False, kw_only=True)
class KeptPage:
    """A page and how it was read."""

    key: Key
    answer: Answer
    kind: Kind
    fetched_at_s: float
    """On the clock of Kept, when its server last said that it is so."""
    fresh_s: float
    """For how long from then nobody need be asked."""
    rendered: bool = False
    readings: dict[tuple[Form, bool], Reading] = field(
        default_factory=dict[tuple[Form, bool], Reading]
    )
    must_go: bool = field(init=False)
    """Its server wants it stored nowhere, so that it stays only while its pieces are read."""

    def __post_init__(self) -> None:
        self.must_go = no_store(self.answer.headers)

    @property
    def size_bytes(self) -> int:
        headers = sum(len(name) + len(value) for name, value in self.answer.headers.items())
        read = sum(
            sys.getsizeof(each.text) + _LINK_BYTES * len(each.links)
            for each in self.readings.values()
        )
        return _PAGE_BYTES + headers + len(self.answer.body or b"") + read


class Kept:
    """At most `max_bytes` and MAX_PAGES; what was not used for longest goes first."""

    def __init__(self, max_bytes: int = MAX_BYTES, clock: Callable[[], float] = monotonic) -> None:
        self._max_bytes = max_bytes
        self.clock = clock
        self._pages: OrderedDict[Key, KeptPage] = OrderedDict()
        self._sizes: dict[Key, int] = {}
        self.size_bytes = 0

    def get(self, key: Key) -> KeptPage | None:
        page = self._pages.get(key)
        if page is not None:
            self._pages.move_to_end(key)
        return page

    def put(self, page: KeptPage) -> None:
        self._pages[page.key] = page
        self._pages.move_to_end(page.key)
        self.grew(page)

    def grew(self, page: KeptPage) -> None:
        """It got a reading: what is too much now goes, and what must go."""
        if self._pages.get(page.key) is page:
            size = page.size_bytes
            self.size_bytes += size - self._sizes.get(page.key, 0)
            self._sizes[page.key] = size
        for each in [one for one in self._pages.values() if one.must_go]:
            if not self.pages_on(each):
                self._drop(each.key)
        while self.size_bytes > self._max_bytes or len(self._pages) > MAX_PAGES:
            self._drop(next(iter(self._pages)))

    def is_fresh(self, page: KeptPage) -> bool:
        return self.clock() < page.fetched_at_s + page.fresh_s

    def pages_on(self, page: KeptPage) -> bool:
        """Whether further pieces still come from it."""
        lasts_s = PAGING_NO_STORE_S if page.must_go else PAGING_S
        return self.clock() < page.fetched_at_s + lasts_s

    def _drop(self, key: Key) -> None:
        del self._pages[key]
        self.size_bytes -= self._sizes.pop(key)


def fresh_s(answer: Answer) -> float:
    """Seconds for which an answer may be given again unasked; section 4.2."""
    control = directives(answer.headers.get("cache-control", ""))
    if {"no-store", "no-cache"} & control.keys() or answer.headers.get("vary", "").strip() == "*":
        return 0
    if answer.status != HTTPStatus.OK:
        return 0
    # What a redirect says holds for that one call, unless it is for good.
    if any(hop.status not in (301, 308) for hop in answer.hops):
        return 0
    if "max-age" in control:
        age_s = _seconds(answer.headers.get("age"))
        return min(max(0, _seconds(control["max-age"]) - age_s), MAX_FRESH_S)
    expires, date = _moment(answer.headers.get("expires")), _moment(answer.headers.get("date"))
    if expires is None:
        return 0
    return min(max(0.0, (expires - (date or answer.at)).total_seconds()), MAX_FRESH_S)


def conditions_of(answer: Answer) -> dict[str, dict[str, str]]:
    """The headers that ask whether the page is still so, by its URL; sections 4.3.1."""
    etag, modified = answer.headers.get("etag"), answer.headers.get("last-modified")
    headers = {
        **({"If-None-Match": etag} if etag and len(etag) < 1000 else {}),
        **({"If-Modified-Since": modified} if modified and len(modified) < 100 else {}),
    }
    return {str(answer.url): headers} if headers and not no_store(answer.headers) else {}


def no_store(headers: Mapping[str, str]) -> bool:
    return "no-store" in directives(headers.get("cache-control", ""))


def directives(cache_control: str) -> dict[str, str]:
    """`{"max-age": "60"}`; section 5.2."""
    parts = (each.partition("=") for each in cache_control[:2000].split(","))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in parts}


def _seconds(text: str | None) -> float:
    """Zero for nonsense, which makes an answer stale; section 4.2.1."""
    told = (text or "").strip()
    return float(told) if told.isascii() and told.isdigit() and len(told) < 12 else 0.0


def _moment(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
