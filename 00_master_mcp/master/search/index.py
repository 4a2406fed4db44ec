"""What is known of each tool, word by word, ready to be searched. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flotilla import meta
from flotilla.names import EXTERNAL
from master.search.vocabulary import with_phrases
from master.search.words import words_of

MAX_TEXT = 4000
"""Characters of a field that are looked at: strangers may write as much as they like."""

_SENTENCE = re.compile(r"(?<=[.!?])\s|\n\s*\n")


@dataclass(frozen=True, slots=True)
class Field:
    """How much a word counts in one part of a tool, and how much less in a long such part."""

    weight: float
    shortness: float
    """BM25's b: 0 ignores the length, 1 divides by it."""


FIELDS: Mapping[str, Field] = {
    "action": Field(3.0, 0.3),
    "space": Field(2.5, 0.0),
    "title": Field(2.5, 0.3),
    "summary": Field(1.6, 0.5),
    "details": Field(0.8, 0.7),
    "parameters": Field(0.8, 0.6),
    "hints": Field(0.4, 0.7),
}
"""`space` holds the words of the namespace, `hints` what is said of the parameters."""

Document = Mapping[str, Sequence[str]]
"""The stems of each field."""


def document_of(name: str, listed: Mapping[str, Any]) -> Document:
    """The words of a tool by its canonical name and its form in a list."""
    *space, action = name.split(".", 2)
    told = _SENTENCE.split(str(listed.get("description") or "").strip(), maxsplit=1)
    taken = meta.members(meta.members(listed.get("inputSchema")).get("properties"))
    texts = {
        "action": action,
        "space": " ".join(part for part in space if part != EXTERNAL),
        "title": str(listed.get("title") or ""),
        "summary": told[0],
        "details": " ".join(told[1:]),
        "parameters": " ".join(taken),
        "hints": " ".join(
            str(meta.members(each).get("description", "")) for each in taken.values()
        ),
    }
    return {field: with_phrases(words_of(text[:MAX_TEXT])) for field, text in texts.items()}


@dataclass(frozen=True, slots=True)
class Index:
    """`postings`: by word, how strongly each document that has it speaks of it."""

    size: int
    postings: Mapping[str, Mapping[int, float]]


def index_of(documents: Iterable[Document]) -> Index:
    """The weighted term frequencies of BM25F: each field by its length, all fields in one sum.

    Source: Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009.
    """
    known = list(documents)
    average = {
        field: sum(len(each[field]) for each in known) / max(1, len(known)) or 1.0
        for field in FIELDS
    }
    postings: dict[str, dict[int, float]] = {}
    for number, document in enumerate(known):
        for field, how in FIELDS.items():
            words = document[field]
            length = 1 - how.shortness + how.shortness * len(words) / average[field]
            for word, times in Counter(words).items():
                found = postings.setdefault(word, {})
                found[number] = found.get(number, 0.0) + how.weight * times / length
    return Index(len(known), postings)
