"""The tools of one view, to be found by words. Pure."""

from collections.abc import Sequence

from flotilla.names import safe_name
from master.entry import Entry
from master.search.index import document_of, index_of
from master.search.rank import in_order, scores_of
from master.search.synonyms import QUESTION
from master.search.vocabulary import wanted_by

EXACT = 1000.0
"""What the whole name of a tool is worth, more than any words."""
PREFIX = 500.0
"""What the beginning of a name is worth, where it is plainly one: `data.cmdb.get`."""
ASKED = 1.15
"""How much more a tool that only reads is worth to who asks a question."""


_QUESTION = frozenset(QUESTION.split())


class Finder:
    """Made once for a list of tools, which must not change."""

    def __init__(self, tools: Sequence[Entry]) -> None:
        self._tools = tools
        self._index = index_of(document_of(tool.name, tool.listed) for tool in tools)

    def find(self, request: str) -> list[tuple[Entry, float]]:
        """The tools that have any of the words, the best first, and what each is worth."""
        scores = scores_of(self._index, wanted_by(request, self._index.postings.keys()))
        first = request.split(maxsplit=1)[:1]
        if first and first[0].casefold() in _QUESTION:
            scores = {
                at: score * ASKED if self._tools[at].only_reads else score
                for at, score in scores.items()
            }
        for at, worth in self._named(request.strip()).items():
            scores[at] = scores.get(at, 0.0) + worth
        return [(self._tools[at], score) for at, score in in_order(scores)]

    def _named(self, request: str) -> dict[int, float]:
        """What a request is worth that is a name, or begins one, in either naming."""
        said = safe_name(request).casefold()
        if not said or " " in said:
            return {}
        found: dict[int, float] = {}
        for at, tool in enumerate(self._tools):
            names = {safe_name(tool.name).casefold(), tool.safe.casefold(), tool.given.casefold()}
            if said in names:
                found[at] = EXACT
            elif "_" in said and any(name.startswith(said) for name in names):
                found[at] = PREFIX
        return found
