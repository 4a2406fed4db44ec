"""The robots.txt of the sites that were asked, fetched through the wire and kept for an hour."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from yarl import URL

from flotilla import FlotillaError, NotAllowed, UpstreamError
from web_browsing.fetching.robots import (
    ALL_ALLOWED,
    ALL_SHUT,
    MAX_BYTES,
    Robots,
    product_of,
    read_robots,
)
from web_browsing.fetching.targets import origin_of
from web_browsing.fetching.wire import Answer, Ask, Wire

KEPT_S, SHUT_KEPT_S = 3600.0, 60.0
"""A failing server is asked again soon, so that a short fault does not shut a site for an hour."""
MAX_KEPT = 1000
MOST_HOPS = 5


@dataclass(frozen=True, slots=True)
class _Kept:
    robots: Robots
    until: float


class RobotsKept:
    """Asked before each hop of a page."""

    def __init__(self, wire: Wire, user_agent: str, clock: Callable[[], float] = monotonic) -> None:
        self._wire = wire
        self._product = product_of(user_agent)
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def check(self, url: URL) -> None:
        """Raises NotAllowed where the site does not want the page fetched by a program."""
        robots = await self._robots(url)
        if robots.allows(url.raw_path_qs):
            return
        told = (
            "does not say what it allows: its robots.txt fails"
            if robots.shut
            else "asks programs not to fetch this page"
        )
        raise NotAllowed(
            f"robots.txt: {origin_of(url)} {told}",
            hint="Look for another page that says the same; an operator may set "
            "WEB_BROWSING_ROBOTS=ignore.",
            details={"reason": "robots"},
        )

    async def _robots(self, url: URL) -> Robots:
        origin = origin_of(url)
        kept = self._kept.get(origin)
        if kept is not None and kept.until > self._clock():
            self._kept.move_to_end(origin)
            return kept.robots
        robots = await self._fetched(url)
        keep_s = SHUT_KEPT_S if robots.shut else KEPT_S
        self._kept[origin] = _Kept(robots, self._clock() + keep_s)
        self._kept.move_to_end(origin)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return robots

    async def _fetched(self, url: URL) -> Robots:
        """Where nobody answers at all the page's own error says more, and is raised."""
        ask = Ask(max_bytes=MAX_BYTES, cut=True, most_hops=MOST_HOPS)
        try:
            answer = await self._wire.get(url.origin().with_path("/robots.txt"), ask)
        except UpstreamError as error:
            return _despite(error)
        return _robots_of(answer, self._product)


def _robots_of(answer: Answer, product: str) -> Robots:
    """RFC 9309, section 2.3.1: 4xx allows everything, 5xx nothing."""
    if answer.status >= 500:
        return ALL_SHUT
    if answer.status >= 300 or answer.body is None:
        return ALL_ALLOWED
    return read_robots(answer.body.decode("utf-8-sig", errors="replace"), product)


def _despite(error: FlotillaError) -> Robots:
    """Redirects without end are like no file (section 2.3.1.2); the rest is the site's fault."""
    if error.details.get("reason") in ("too_many_redirects", "redirect_loop"):
        return ALL_ALLOWED
    raise error
