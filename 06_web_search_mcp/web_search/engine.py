"""What every search engine is here, whoever answers: the same question, the same kinds of answer.

An engine answers a list, empty where it found nothing. What it cannot answer it raises:

Blocked        a challenge, a consent wall or a page that is no result page
RateLimited    it wants to be asked more slowly, with a time
TimedOut       it did not answer by the deadline
UpstreamError  it failed, or answered what nobody can read
NotConfigured  its key or address is missing
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from flotilla import Deadline, UpstreamError

Kind = Literal["web", "news", "images", "suggest"]
Freshness = Literal["day", "week", "month", "year"]
SafeSearch = Literal["off", "moderate", "strict"]
Wish = Literal["region", "within", "safe"]
"""A part of a question that not every engine can heed."""


class Blocked(UpstreamError):
    """The engine takes us for a robot: `details.reason` is `blocked`; to ask again is no help."""

    def __init__(self, engine: str, why: str) -> None:
        super().__init__(
            f"{engine} does not answer robots just now: {why}",
            hint="Name another engine, or set up SearXNG or one with a key.",
            details={"reason": "blocked", "engine": engine},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked, the same for every engine; each says it in its own words."""

    words: str
    most: int
    """Results, at most."""
    region: str | None = None
    """Language and country, `de-AT` (BCP 47); None: the engine's own choice."""
    within: Freshness | None = None
    safe: SafeSearch = "moderate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One result as the engine has it, in the engine's order; texts without markup and entities."""

    title: str
    url: str
    snippet: str = ""
    source: str | None = None
    """The publisher, where the engine says it."""
    published_at: datetime | None = None
    image_url: str | None = None
    thumbnail_url: str | None = None
    width: int | None = None
    height: int | None = None


class Engine(Protocol):
    """One engine. `search` raises as the module says; for `suggest` only titles are filled."""

    @property
    def name(self) -> str: ...

    @property
    def kinds(self) -> frozenset[Kind]: ...

    @property
    def weight(self) -> float:
        """How much its word counts beside the others'; 1 where the file says nothing."""
        ...

    def leaves_out(self, kind: Kind, question: Question) -> tuple[Wish, ...]:
        """What of the question it cannot heed and answers without."""
        ...

    @property
    def missing(self) -> str | None:
        """What to set before it can be asked; None: it can."""
        ...

    async def search(self, kind: Kind, question: Question, due: Deadline) -> Sequence[Found]: ...

    async def close(self) -> None: ...


def region_parts(region: str | None) -> tuple[str | None, str | None]:
    """Language and country of a region, in lower case: `de-AT` -> `("de", "at")`."""
    if not region:
        return None, None
    language, _, country = region.partition("-")
    return language.lower() or None, country.lower() or None
