"""Rules as text: where each one begins, and which of its words an error means. Pure.

The engine tells of a mistake in words alone; a person needs the line and the column.
Source: the grammar of Cedar, https://docs.cedarpolicy.com/policies/syntax-grammar.html.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cedarpy

from master.policy.mistakes import Mistake

_TOKEN = re.compile(
    r"""//[^\n]*          # a comment, which is passed over
      | "(?:[^"\\]|\\.)*"?  # a string; an open one reaches to the end
      | [A-Za-z_]\w* | \d+
      | ::|==|!=|<=|>=|&&|\|\| | \S""",
    re.VERBOSE | re.DOTALL,
)
_NAMED = re.compile(r"`([^`]+)`")
_ENDED = "unexpected end of input"


@dataclass(frozen=True)
class Statement:
    """One rule as written, `;` at its end. `start` counts the characters of the file before it."""

    file: str
    whole: str
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.whole[self.start : self.end]

    @property
    def line(self) -> int:
        return self.whole.count("\n", 0, self.start) + 1

    def mistake(self, message: str, at: int | None = None) -> Mistake:
        """`at` counts characters from the rule's beginning."""
        offset = self.start + (at or 0)
        line = self.whole.count("\n", 0, offset) + 1
        column = offset - (self.whole.rfind("\n", 0, offset) + 1) + 1
        return Mistake(self.file, line, column, message)

    def about(self, message: str, *words: str) -> Mistake:
        """A mistake at the first of these words that the rule has, else at its beginning."""
        for word in words:
            for start, end in self._tokens:
                if self.text[start:end].strip('"') == word.strip('"'):
                    return self.mistake(message, start)
        return self.mistake(message)

    def unparsed(self, message: str) -> Mistake:
        """Where the parser gave up with this message: it reads from left to right, and so the first
        words that cannot begin any rule end with the one that is wrong."""
        ends = [end for _, end in self._tokens]
        first = bisect_left(ends, 1, key=lambda end: int(not self._may_begin(end)))
        if first == len(ends):
            return self.mistake(message, ends[-1] - 1)
        if first == len(ends) - 1 and self.text.endswith(";"):
            # It reads well, and says what makes no sense.
            named = _NAMED.findall(message) + re.findall(r"@(\w+)", message)
            return self.about(message, *named)
        return self.mistake(message, self._tokens[first][0])

    def refused(self, message: str) -> Mistake:
        """What validation says, at the last part of what it names that the rule has; where it names
        nothing, at the first condition."""
        named = [
            part for word in _NAMED.findall(message) for part in reversed(re.split(r"\.|::", word))
        ]
        return self.about(message, *(part.removesuffix("?") for part in named), "when", "unless")

    def _may_begin(self, end: int) -> bool:
        try:
            cedarpy.PolicySet.from_str(self.text[:end])
        except ValueError as error:
            return str(error) == _ENDED
        return True

    @cached_property
    def _tokens(self) -> list[tuple[int, int]]:
        return list(_tokens(self.text))


def statements(file: str, whole: str) -> list[Statement]:
    """The rules of a file; what stands behind the last `;` is one too, that lacks it."""
    found: list[Statement] = []
    start: int | None = None
    end = 0
    for begins, end in _tokens(whole):
        start = begins if start is None else start
        if whole[begins:end] == ";":
            found.append(Statement(file, whole, start, end))
            start = None
    if start is not None:
        found.append(Statement(file, whole, start, end))
    return found


def _tokens(text: str) -> Iterator[tuple[int, int]]:
    for match in _TOKEN.finditer(text):
        if not match[0].startswith("//"):
            yield match.span()
