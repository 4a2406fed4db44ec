"""What the tools of this spoke return."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

import orjson

from flotilla import MAX_TEXT_BYTES, Model
from web_search.circuits import CircuitState
from web_search.engine import Kind
from web_search.outcomes import Status


class HadBy(Model):
    """An engine that has the result; `rank` is its place in that engine's own list, from 1."""

    engine: str
    rank: int


class Result(Model):
    """One page; title and snippet are the page's or the engine's words."""

    title: str
    url: str
    snippet: str
    source: str
    """The publisher where an engine says it, else the site."""
    rank: int
    published_at: datetime | None = None
    engines: list[HadBy]
    notes: list[str] | None = None
    """What is odd about its words."""


class ImageResult(Model):
    """One image, and the page that it is on."""

    title: str
    url: str
    image_url: str
    thumbnail_url: str | None = None
    width: int | None = None
    height: int | None = None
    source: str
    rank: int
    engines: list[HadBy]
    notes: list[str] | None = None


class Asked(Model):
    """One engine that was asked, or could not be; `reason` says why it brought nothing.

    `retryAfterMs` is when it may be asked again.
    """

    engine: str
    status: Status
    results: int = 0
    took_ms: int = 0
    reason: str | None = None
    retry_after_ms: int | None = None


class Answer(Model):
    """Results in order, and what became of every engine that was asked.

    `engine` is as asked for: `auto` or a name.
    """

    query: str
    engine: str
    results: list[Result]
    engines: list[Asked]
    notes: list[str]


class ImageAnswer(Model):
    """Images in order, and what became of every engine that was asked."""

    query: str
    engine: str
    results: list[ImageResult]
    engines: list[Asked]
    notes: list[str]


class Suggestions(Model):
    """What else people look for, and what became of every engine that was asked."""

    query: str
    engine: str
    suggestions: list[str]
    engines: list[Asked]
    notes: list[str]


class KindInfo(Model):
    """How an engine stands in one kind of search.

    `circuit` is `open` while it is left alone, for `restingMs` more, because of `reason`.
    """

    kind: Kind
    circuit: CircuitState
    resting_ms: int | None = None
    reason: str | None = None
    last_outcome: Status | None = None


class EngineInfo(Model):
    """One engine: what it can do, and how it stands with this service now.

    `missing` says what to set before it can be asked; `ready` is false too while it is left alone
    in all its kinds.
    """

    name: str
    ready: bool
    missing: str | None = None
    weight: float
    kinds: list[KindInfo]


Item = TypeVar("Item", bound=Model)

RESULTS_BYTES = MAX_TEXT_BYTES - 8 * 1024
"""The rest is for what the engines said and for the notes."""


def within_bounds(items: Sequence[Item], max_bytes: int = RESULTS_BYTES) -> list[Item]:
    """The items from the first on that fit, one at least."""
    size = 0
    for count, item in enumerate(items):
        size += len(orjson.dumps(item.model_dump(mode="json", exclude_none=True))) + 1
        if size > max_bytes and count:
            return list(items[:count])
    return list(items)
