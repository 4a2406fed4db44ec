"""One list out of what several engines found, by reciprocal rank fusion. Pure.

A page scores `weight / (60 + rank)` with each engine that has it. Source: Cormack, Clarke and
Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning Methods",
SIGIR 2009.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum

from web_search.addresses import identity, plainness, shown
from web_search.engine import Found, Kind
from web_search.wording import MAX_SNIPPET_CHARS, MAX_TITLE_CHARS, plain

K = 60
MAX_RAW_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Voice:
    """One engine's word for a page: `rank` is its place in that engine's list, from 1."""

    engine: str
    rank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """One page, image or suggestion with the best of what the engines said of it."""

    best: Found
    voices: tuple[Voice, ...]
    score: float
    raw: str
    """All words that the engines have for it, as they came: what is hidden in them shows here."""


@dataclass(frozen=True, slots=True)
class _Word:
    voice: Voice
    found: Found
    raw: str


def merged(
    lists: Mapping[str, Sequence[Found]], kind: Kind, weights: Mapping[str, float]
) -> tuple[list[Merged], int]:
    """What the engines found, the best first, and how many were left out as being no page.

    The order depends on the lists alone: not on who answered first.
    """
    groups: dict[str, list[_Word]] = {}
    left_out = 0
    for engine in sorted(lists):
        for rank, found in enumerate(lists[engine], start=1):
            fit = fitting(found, kind)
            if fit is None:
                left_out += 1
                continue
            raw = f"{found.title[:MAX_RAW_CHARS]}\n{found.snippet[:MAX_RAW_CHARS]}"
            word = _Word(Voice(engine, rank), fit, raw)
            groups.setdefault(_key(fit, kind), []).append(word)
    all_merged = [(_merged(words, weights), key) for key, words in groups.items()]
    all_merged.sort(key=lambda each: (-each[0].score, each[0].voices[0].rank, each[1]))
    return [each for each, _ in all_merged], left_out


def fitting(found: Found, kind: Kind) -> Found | None:
    """The result with its texts plain and its addresses clean; None where it is none."""
    title = plain(found.title, MAX_TITLE_CHARS)
    if kind == "suggest":
        return replace(found, title=title) if title else None
    url = shown(found.url)
    if url is None:
        return None
    image = shown(found.image_url) if found.image_url else None
    if kind == "images" and image is None:
        return None
    return replace(
        found,
        title=title or url,
        url=url,
        snippet=plain(found.snippet, MAX_SNIPPET_CHARS),
        source=plain(found.source, 100) or None if found.source else None,
        image_url=image,
        thumbnail_url=shown(found.thumbnail_url) if found.thumbnail_url else None,
    )


def _key(found: Found, kind: Kind) -> str:
    if kind == "suggest":
        return found.title.casefold()
    # A page may hold many images, and each is a find of its own.
    return identity(found.image_url or found.url if kind == "images" else found.url)


def _merged(words: list[_Word], weights: Mapping[str, float]) -> Merged:
    best_of: dict[str, int] = {}
    for word in words:
        rank = best_of.get(word.voice.engine, word.voice.rank)
        best_of[word.voice.engine] = min(rank, word.voice.rank)
    voices = sorted(
        (Voice(engine, rank) for engine, rank in best_of.items()),
        key=lambda each: (each.rank, each.engine),
    )
    score = fsum(weights.get(each.engine, 1.0) / (K + each.rank) for each in voices)
    words = sorted(words, key=lambda each: (each.voice.rank, each.voice.engine))
    return Merged(
        best=_best_of([each.found for each in words]),
        voices=tuple(voices),
        score=score,
        raw="\n".join(each.raw for each in words),
    )


def _best_of(found: list[Found]) -> Found:
    """Of the same page as several have it, the highest ranked first, what says the most."""
    first = found[0]
    whole = [each for each in found if not each.title.endswith(("...", "…"))]
    by_address = sorted(found, key=lambda each: plainness(each.url))
    return replace(
        first,
        title=(whole or found)[0].title,
        url=by_address[0].url,
        snippet=max((each.snippet for each in found), key=len),
        source=next((each.source for each in found if each.source), None),
        published_at=next((each.published_at for each in found if each.published_at), None),
        thumbnail_url=next((each.thumbnail_url for each in found if each.thumbnail_url), None),
    )
