"""Where secrets stand in a text: what looks like one, and what is in the store. Pure."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from flotilla.known_values import Known
from flotilla.redaction import REDACTED, Redactor

FoundKind = Literal["stored", "private_key", "token", "password", "secret"]
_WINDOW = 500
_TRIES = 3000
"""To find the true ends of what was taken out; beyond them the first that fits is told."""
_WORD_BEFORE = re.compile(r"(?:pass|pwd|secret|key|token|://[^\s@]*:)[^\s]*\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """Characters `start` to `end` of the text, and what is there."""

    kind: FoundKind
    start: int
    end: int


def places_of_shapes(text: str) -> list[Place]:
    """Where something looks like a secret, in order: whatever the fleet would redact."""
    return [Place(_kind(text, start, end), start, end) for start, end in _redacted_spans(text)]


def places_of_values(text: str, known: Known) -> list[Place]:
    """Where one of these values stands, in whichever form."""
    raw = text.encode()
    places: list[Place] = []
    at, chars = 0, 0
    for start, end in known.spans(raw):
        begin = chars + len(raw[at:start].decode())
        at, chars = end, begin + len(raw[start:end].decode(errors="replace"))
        places.append(Place("stored", begin, chars))
    return places


def merged(stored: Iterable[Place], shaped: Iterable[Place]) -> list[Place]:
    """All places in order; of those over one another the stored ones."""
    sure = list(stored)
    free = [one for one in shaped if not any(_overlap(one, other) for other in sure)]
    return sorted([*sure, *free], key=lambda place: place.start)


def _overlap(one: Place, other: Place) -> bool:
    return one.start < other.end and other.start < one.end


def _redacted_spans(text: str) -> Iterator[tuple[int, int]]:
    """What the redactor takes out of the text, told from what it leaves."""
    redactor = Redactor()
    # What is in the text already would be taken for the redactor's.
    plain = text.replace(REDACTED, "\0" * len(REDACTED))
    kept = redactor.text(plain).split(REDACTED)
    at, tries = len(kept[0]), _TRIES
    for index, part in enumerate(kept[1:], start=1):
        if index == len(kept) - 1:
            end = len(plain) - len(part)
        else:
            follows = f"{part[:_WINDOW]}{REDACTED if len(part) < _WINDOW else ''}"
            end = first = plain.find(part, at + 1)
            # A part of a few characters may stand inside what was taken out too; from its true
            # place on, the redactor leaves what it left of the whole.
            while tries > 0 and not _read_on(redactor, plain, end).startswith(follows):
                tries -= 1
                further = plain.find(part, end + 1)
                if further < 0:
                    end = first
                    break
                end = further
        yield at, end
        at = end + len(part)


def _read_on(redactor: Redactor, text: str, at: int) -> str:
    return redactor.text(text[at : at + 2 * _WINDOW])


def _kind(text: str, start: int, end: int) -> FoundKind:
    found = text[start:end]
    if "PRIVATE KEY" in found:
        return "private_key"
    if Redactor().text(found) == REDACTED:
        return "token"
    return "password" if _WORD_BEFORE.search(text[max(0, start - 300) : start]) else "secret"
