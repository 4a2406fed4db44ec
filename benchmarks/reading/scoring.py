"""How much of a page's main text was kept, and how much else came with it. Pure.

By runs of four words, as the benchmark does that the page set comes from: what is expected and
found, expected and lost, found and not expected. A page's three counts are divided by their sum, so
that a long page counts no more than a short one; precision and recall are means over pages.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

_WORD = re.compile(r"\w+")
_RUN = 4
_PICTURE = re.compile(r"!\[[^\]\n]*\]\((?:<[^>\n]*>|[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)[^()\n]*\)")
_LINK = re.compile(r"\]\((?:<[^>\n]*>|[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)[^()\n]*\)")
_BARE = re.compile(r"<?https?://[^\s>)]+>?")
_NAMED = re.compile(r'^\s*- (?:/\w+:.*|[\w/-]+(?: "(?P<name>(?:[^"\\]|\\.)*)")?(?P<rest>.*))$')
_MARKS = re.compile(r"\[[^\]]*\]")


@dataclass(frozen=True)
class Shares:
    """Of one page: the shares of what is both, only found and only expected; together 1."""

    both: float
    only_found: float
    only_expected: float


@dataclass(frozen=True)
class Score:
    f1: float
    precision: float
    recall: float


def compared(expected: str, found: str) -> Shares | None:
    """None where there is nothing on either side."""
    wanted, got = _runs(expected), _runs(found)
    both = sum((wanted & got).values())
    only_found = sum((got - wanted).values())
    only_expected = sum((wanted - got).values())
    whole = both + only_found + only_expected
    return Shares(both / whole, only_found / whole, only_expected / whole) if whole else None


def score(pages: Sequence[Shares]) -> Score:
    found = [each.both / share for each in pages if (share := each.both + each.only_found)]
    kept = [each.both / share for each in pages if (share := each.both + each.only_expected)]
    precision, recall = fmean(found or [0.0]), fmean(kept or [0.0])
    together = precision + recall
    return Score(2 * precision * recall / together if together else 0.0, precision, recall)


def _runs(text: str) -> Counter[tuple[str, ...]]:
    words = _WORD.findall(text)
    return Counter(tuple(words[at : at + _RUN]) for at in range(max(1, len(words) - _RUN + 1)))


def words_of_markdown(text: str) -> str:
    """Without the targets of links and without pictures: neither is in the expected text."""
    return _BARE.sub(" ", _LINK.sub(" ", _PICTURE.sub(" ", text))).replace("\\", "")


def words_of_snapshot(text: str) -> str:
    """The names and texts of an accessibility snapshot, without roles, references and URLs.

    The name of an element is left out where elements inside it say it again.
    """
    lines = text.splitlines()
    told: list[str] = []
    for at, line in enumerate(lines):
        found = _NAMED.match(line)
        if found is None or line.lstrip().startswith("- /"):
            continue
        rest = _MARKS.sub("", found["rest"] or "").strip()
        has_inner = rest == ":" and at + 1 < len(lines) and _is_text_inside(lines, at)
        if found["name"] and not has_inner:
            told.append(found["name"])
        if rest.startswith(":") and len(rest) > 1:
            told.append(rest[1:].strip().strip('"'))
    return "\n".join(told)


def _is_text_inside(lines: Sequence[str], at: int) -> bool:
    depth = _indent(lines[at])
    for line in lines[at + 1 :]:
        if _indent(line) <= depth:
            return False
        if not line.lstrip().startswith("- /"):
            return True
    return False


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
