"""Which documents of an index answer a request best. Pure."""

from math import log

from master.search.index import Index
from master.search.vocabulary import Wanted

SATURATION = 2.0
"""BM25's k1: how soon more of the same word stops counting."""


def scores_of(index: Index, wanted: list[Wanted]) -> dict[int, float]:
    """What each document that has any of the wanted words is worth: BM25F, best alternative first.

    Of the words that would do for one word of the request only the best counts, so that a word with
    many synonyms is worth no more than another.
    """
    scores: dict[int, float] = {}
    for alternatives in wanted:
        best: dict[int, float] = {}
        for word, worth in alternatives.items():
            postings = index.postings.get(word)
            if postings is None:
                continue
            rarity = worth * log(1 + (index.size - len(postings) + 0.5) / (len(postings) + 0.5))
            for document, strength in postings.items():
                found = rarity * strength / (SATURATION + strength)
                if found > best.get(document, 0.0):
                    best[document] = found
        for document, found in best.items():
            scores[document] = scores.get(document, 0.0) + found
    return scores


def in_order(scores: dict[int, float]) -> list[tuple[int, float]]:
    """Documents and scores, the best first; equals in the order of the index."""
    return sorted(scores.items(), key=lambda each: (-round(each[1], 9), each[0]))
