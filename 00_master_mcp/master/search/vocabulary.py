"""What the words of a request stand for: no fillers, but phrases and words of like meaning."""

from collections.abc import Mapping, Sequence, Set

from master.search.synonyms import PHRASES, SAME, STOP
from master.search.words import is_near, words_of

LIKE = 0.7
"""What a word of like meaning counts, where the word itself counts 1."""
NEAR = 0.8
"""What the word counts that was probably meant by one that nobody has."""
START = 0.7
"""What a word counts of which only the start was written."""
_SHORTEST_START = 3
_SHORTEST_SLIP = 4
MAX_WORDS = 32
"""Words of a request that are looked at; a person says what they want in ten."""
MAX_GUESSED = 4
"""Words that are compared with every known one, which takes time."""

Wanted = Mapping[str, float]
"""The words that would do for one word of a request, and what each counts."""


def _phrases() -> dict[tuple[str, ...], tuple[str, ...]]:
    return {tuple(words_of(said)): tuple(words_of(meant)) for said, meant in PHRASES.items()}


def _likes() -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for line in SAME:
        group = words_of(line)
        for word in group:
            found.setdefault(word, {}).update(dict.fromkeys(group))
    return {word: tuple(each for each in group if each != word) for word, group in found.items()}


_STOP = frozenset(words_of(STOP))
_MEANT = _phrases()
_LIKES = _likes()
_LONGEST = max(map(len, _MEANT))


def with_phrases(words: Sequence[str]) -> list[str]:
    """The words, and behind them what some of them mean together."""
    return [*words, *(word for _, _, meant in _found(words) for word in meant)]


def wanted_by(request: str, known: Set[str]) -> list[Wanted]:
    """What a request asks for; `known` are the words that any tool has.

    Each word once: who repeats one does not mean it more.
    """
    words = words_of(request)
    covered: set[int] = set()
    meant: list[str] = []
    for start, end, others in _found(words):
        if covered.isdisjoint(range(start, end)):
            covered.update(range(start, end))
            meant += others
    kept = [
        word for at, word in enumerate(words) if at not in covered and word not in _STOP
    ] or words
    wanted: list[Wanted] = []
    guessed = 0
    for word in list(dict.fromkeys(kept + meant))[:MAX_WORDS]:
        found: Wanted = {word: 1.0, **dict.fromkeys(_LIKES.get(word, ()), LIKE)}
        if known.isdisjoint(found):
            guessed += 1
            found = _guessed(word, known) if guessed <= MAX_GUESSED else {}
        wanted.append(found)
    return wanted


def _found(words: Sequence[str]) -> list[tuple[int, int, tuple[str, ...]]]:
    """The phrases among the words, the longest first: where each begins and ends, what it means."""
    return [
        (start, start + length, _MEANT[said])
        for length in range(_LONGEST, 1, -1)
        for start in range(len(words) - length + 1)
        if (said := tuple(words[start : start + length])) in _MEANT
    ]


def _guessed(word: str, known: Set[str]) -> Wanted:
    """What a word may have been meant for that no tool has: it was cut short or mistyped."""
    starts = {
        each: START for each in known if len(word) >= _SHORTEST_START and each.startswith(word)
    }
    if starts or len(word) < _SHORTEST_SLIP:
        return starts
    # Nearly nobody mistypes the first letter.
    alike = (each for each in {**_LIKES, **dict.fromkeys(known)} if each[0] == word[0])
    near = [each for each in alike if is_near(word, each)]
    found: dict[str, float] = {}
    for each in near:
        found |= {like: LIKE * NEAR for like in _LIKES.get(each, ()) if like not in found}
    return found | dict.fromkeys(near, NEAR)
