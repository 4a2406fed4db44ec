"""What no source and no client can do to the hub while it gathers."""

import tracemalloc
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from flotilla import FlotillaError, RateLimited, TooLarge, UpstreamError, meta
from flotilla.discovery import DESCRIBE, PAGE
from master.audit.seam import Unwritten
from master.call import Call
from master.catalogue import Catalogue
from master.entry import Entry, Origin
from master.gathering.gatherer import MAX_AT_ONCE, Gatherer
from master.gathering.wanted import filled, mark_of, wanted_of
from master.offer import Offer
from master.policy.seam import Open

from ...conftest import until
from ..cache.calls import call, entry

pytestmark = pytest.mark.anyio

MARK = {"argument": "discover", "into": "gathering", "page": "x.gather", "drop": "x.drop"}
PREVIEW = entry("test.shop.preview", **{meta.GATHERS: MARK})


@dataclass
class Source:
    """A source and a keeper in one: `pages` are its answers, the last one again and again."""

    pages: list[Any]
    asked: list[tuple[str, str]] = field(default_factory=list[Any])
    count: int = 0

    async def run(
        self, service: str, name: str, body: Mapping[str, Any] | bytes, **_: Any
    ) -> Mapping[str, Any]:
        self.asked.append((service, name))
        if name == DESCRIBE:
            covers = {"ciClasses": ["server"], "attributes": {"provider": "toys"}}
            return {"tool": "test.toys.list", "covers": covers, "within": {}}
        if name == PAGE:
            self.count += 1
            page = self.pages[min(self.count, len(self.pages)) - 1]
            return page(self.count) if callable(page) else page
        return {"items": 0}


def gatherer(source: Source) -> Gatherer:
    toys = Origin(frozenset({"test.toys"}))
    catalogue = Catalogue({"toys": toys, "shop": Origin(frozenset({"test.shop"}))})
    listed = {"name": "test.toys.list", "annotations": {"readOnlyHint": True}, "inputSchema": {}}
    catalogue.offer("toys", Offer({"tools": (listed,)}))
    return Gatherer(source, catalogue, Open(), Unwritten())


def asking(target: Entry = PREVIEW, text: str = '{"discover": {"service": "toys"}}') -> Call:
    return call(target, text)


async def gathered(source: Source) -> str:
    given = asking()
    wanted = wanted_of(given, MARK)
    assert wanted is not None
    async with gatherer(source).gathered(given, wanted) as gathering:
        return gathering


def page(items: int = 1, following: str | None = None, **more: Any) -> dict[str, Any]:
    return {"items": [{}] * items, "relations": [], "nextCursor": following, **more}


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (Source([lambda n: page(1000, str(n))]), TooLarge),
        (Source([lambda n: page(0, str(n))]), TooLarge),
        (Source([page(1, "a")]), UpstreamError),
        (Source([page(1, following=7)]), UpstreamError),  # pyright: ignore[reportArgumentType]
        (Source([{"items": {}, "relations": []}]), UpstreamError),
        (Source([{}]), UpstreamError),
    ],
)
async def test_a_source_without_end_or_sense_is_left_and_dropped(
    source: Source, error: type[FlotillaError]
) -> None:
    with pytest.raises(error):
        await gathered(source)
    await until(lambda: source.asked[-1] == ("shop", "x.drop"))
    assert source.count <= 2001


async def test_an_id_is_nobodys_to_guess_and_another_one_each_time() -> None:
    first, second = [await gathered(Source([page()])) for _ in range(2)]
    assert first != second and len(first) >= 43


async def test_only_so_many_sources_are_read_at_once() -> None:
    source = Source([page()])
    one = gatherer(source)
    given = asking()
    wanted = wanted_of(given, MARK)
    assert wanted is not None
    async with AsyncExitStack() as held:
        for _ in range(MAX_AT_ONCE):
            await held.enter_async_context(one.gathered(given, wanted))
        with pytest.raises(RateLimited):
            await held.enter_async_context(one.gathered(given, wanted))
    async with one.gathered(given, wanted):
        pass


def test_all_but_the_id_stays_as_the_client_wrote_it() -> None:
    text = '{"discover": {"service": "toys"}, "n": 1.0, "n": 2.50, "gathering": null}'
    given = asking(text=text)
    made = filled(given, "gathering", "g-1")
    assert made.params["arguments"] == (
        '{"discover":{"service": "toys"},"n":2.50,"gathering":"g-1"}'
    )
    assert made.arguments["gathering"] == "g-1" and given.params["arguments"] == text


def test_a_strangers_mark_counts_for_nothing() -> None:
    stranger = entry("test.shop.preview", origin=Origin(external=True), **{meta.GATHERS: MARK})
    assert mark_of(stranger) is None and mark_of(PREVIEW) == MARK


async def test_no_page_stays_in_the_hub() -> None:
    async def peak(pages: int) -> int:
        def made(number: int) -> dict[str, Any]:
            # Anew each time, as what came over a wire is.
            items = [f"{number}-{each}" + "x" * 900 for each in range(999)]
            following = str(number) if number < pages else None
            return {"items": items, "relations": [], "nextCursor": following}

        source = Source([made])
        tracemalloc.start()
        try:
            await gathered(source)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    await peak(1)
    assert await peak(20) < 1.3 * await peak(2)
