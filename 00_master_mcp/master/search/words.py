"""From text to the words that are compared: split, lower case, without endings. Pure."""

import re
from collections.abc import Iterator
from functools import lru_cache

_CHUNK = re.compile(r"[^\W_]+")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_VOWEL = re.compile(r"[aeiouy]")
_KEEPS_ITS_S = ("ss", "us", "is", "news")
_HISSES = ("sses", "shes", "ches", "xes", "zes")
_LEAST = 3
"""Letters that a word keeps when an ending is cut off."""


def words_of(text: str) -> list[str]:
    """The stems of a text in order; `listVirtualMachines` gives its parts, then itself."""
    return [stem(word) for word in _split(text)]


def _split(text: str) -> Iterator[str]:
    for chunk in _CHUNK.findall(text):
        if chunk.isascii() and not (chunk.islower() or chunk.isupper() or chunk.isdigit()):
            parts = _PART.findall(chunk)
            if len(parts) > 1:
                yield from map(str.lower, parts)
        yield chunk.casefold()


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """A lower-case English word without its plural and verb endings; others as they are.

    Light on purpose: `running`, `runs` -> `run`, `deleted`, `delete` -> `delet`, but `deployment`
    stays, which a heavier stemmer would take for `deploy`.
    """
    if len(word) <= _LEAST or not word.isascii() or not word.isalpha():
        return word
    return _without_e(_without_verb_ending(_singular(word)))


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > _LEAST + 1:
        return f"{word[:-3]}y"
    if word.endswith(_HISSES):
        return word[:-2]
    if word.endswith("s") and not word.endswith(_KEEPS_ITS_S):
        return word[:-1]
    return word


def _without_verb_ending(word: str) -> str:
    for ending in ("ing", "ed"):
        base = word.removesuffix(ending)
        if base != word and len(base) >= _LEAST and _VOWEL.search(base):
            doubled = base[-1] == base[-2] and base[-1] not in "lsz"
            return base[:-1] if doubled else base
    return word


def _without_e(word: str) -> str:
    return word[:-1] if len(word) > _LEAST + 1 and word.endswith("e") else word


def is_near(word: str, other: str) -> bool:
    """Whether one is the other mistyped: one slip of the finger, two in a word of eight letters.

    A slip is a letter left out, put in, exchanged, or swapped with its neighbour.
    """
    slips = 2 if min(len(word), len(other)) >= 8 else 1
    return abs(len(word) - len(other)) <= slips and _distance(word, other) <= slips


def _distance(word: str, other: str) -> int:
    """The optimal string alignment distance."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(word, start=1):
        last, before = before, row
        row = [i]
        for j, wanted in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and word[i - 2] == wanted:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]
