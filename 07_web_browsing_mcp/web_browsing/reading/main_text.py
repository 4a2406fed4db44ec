"""Which runs of a page are its main text. Pure but for trafilatura's caches.

trafilatura finds the article of most pages, and loses tables, code and headings on the way: so its
text only says which of our runs are meant, and what stands between those is taken by rules of ours.
Where it finds nothing, the part of the page with the most prose is the main text.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise
from typing import Any

import trafilatura

from web_browsing.reading.blocks import HEADINGS, Run, words_of
from web_browsing.reading.markup import as_html
from web_browsing.reading.tree import Node, names

MAX_ELEMENTS = 12_000
MAX_CHARACTERS = 1_000_000
"""What trafilatura is given: some of its steps take time with the square of a page's elements. An
article has 500 to 5,000 of them; of longer pages our own rules find the text."""
_SHINGLE = 4
_SHARE = 0.6
"""Of a run's shingles that must be in the main text."""
_STRICT_SHARE = 0.6
"""Where its strict way keeps less than this of what its lenient way keeps, it lost something."""
_LEAST_FOUND = 200
"""Characters; where less was found, ours must not be much more."""


def main_runs(all_runs: Sequence[Run], strict: str, lenient: str, title: str) -> list[Run]:
    """The runs that are the main text, in their order; none where the page has no text.

    `strict` and `lenient` are what trafilatura found on the same page, in two of its ways.
    """
    kept = _matched(all_runs, strict)
    wider = _matched(all_runs, lenient)
    if _length(all_runs, kept) < _STRICT_SHARE * _length(all_runs, wider):
        kept = wider
    if _length(all_runs, kept) < _LEAST_FOUND:
        by_ours = densest(all_runs)
        if _length(all_runs, by_ours) > 2 * _length(all_runs, kept):
            kept = by_ours
    kept = _filled(all_runs, _outside(all_runs, kept))
    kept = _without_promotion(all_runs, kept, title)
    # A page of links alone is read as one.
    return [all_runs[at] for at in sorted(kept)] or _outside_frames(all_runs) or list(all_runs)


def _outside(all_runs: Sequence[Run], kept: set[int]) -> set[int]:
    """Without what is in a site's frame, unless that is most of it."""
    outside = {at for at in kept if not in_frame(all_runs[at])}
    return outside if 2 * _length(all_runs, outside) > _length(all_runs, kept) else kept


def _outside_frames(all_runs: Sequence[Run]) -> list[Run]:
    return [run for run in all_runs if not in_frame(run)]


def _length(all_runs: Sequence[Run], kept: Iterable[int]) -> int:
    return sum(all_runs[at].length for at in kept)


def trafilatura_text(page: Node, url: str, *, strict: bool) -> str:
    """The main text as trafilatura finds it; empty where it finds none."""
    if sum(1 for _ in islice(page.walk(), MAX_ELEMENTS + 1)) > MAX_ELEMENTS:
        return ""
    html = as_html(page)
    if len(html) > MAX_CHARACTERS:
        return ""
    extract: Any = trafilatura.extract
    try:
        found = extract(
            html,
            url=url,
            output_format="txt",
            include_comments=False,
            include_tables=True,
            include_formatting=False,
            favor_precision=strict,
            fast=True,
        )
    except (RecursionError, ArithmeticError, LookupError, AttributeError, TypeError, ValueError):
        # It works on strangers' pages with much code; ours goes on without it.
        return ""
    return found or ""


def _matched(all_runs: Sequence[Run], found: str) -> set[int]:
    """The runs whose words are in the text that was found."""
    words = words_of(found)
    shingles = set(_shingles(words))
    lines = Counter(" ".join(words_of(line)) for line in found.splitlines())
    kept: set[int] = set()
    for at, run in enumerate(all_runs):
        if len(run.words) >= _SHINGLE:
            of_run = list(_shingles(run.words))
            if sum(each in shingles for each in of_run) >= _SHARE * len(of_run):
                kept.add(at)
        elif run.words and lines[line := " ".join(run.words)] > 0:
            lines[line] -= 1
            kept.add(at)
    return kept


def _shingles(words: Sequence[str]) -> Iterable[tuple[str, ...]]:
    return (tuple(words[at : at + _SHINGLE]) for at in range(len(words) - _SHINGLE + 1))


def _filled(all_runs: Sequence[Run], kept: set[int]) -> set[int]:
    """With what belongs to the runs that are kept: tables, code, headings, the rest of a list."""
    if not kept:
        return kept
    filled = set(kept)
    order = sorted(kept)
    for before, after in pairwise(order):
        if after - before > 1:
            filled |= {
                at
                for at in range(before + 1, after)
                if _belongs(all_runs[at], all_runs[before], all_runs[after])
            }
    filled |= _ending(all_runs, order[-1])
    return filled | _whole_tables(all_runs, filled)


def _ending(all_runs: Sequence[Run], last: int) -> set[int]:
    """The tables and code with which the text ends: those that follow it in its own element."""
    home = next((e for e in reversed(all_runs[last].path) if e.tag in _HOMES), None)
    ending = set[int]()
    for at in range(last + 1, len(all_runs)):
        run = all_runs[at]
        around = [*run.path, run.node]
        block = next((i for i, each in enumerate(around) if each.tag in _BLOCKS), None)
        if block is None or home not in around[max(0, block - 2) : block] or in_frame(run):
            break
        if 2 * run.linked <= run.length:
            ending.add(at)
    return ending


def _whole_tables(all_runs: Sequence[Run], kept: set[int]) -> set[int]:
    """All runs of the tables of which most is kept."""
    of_table: dict[int, list[int]] = {}
    for at, run in enumerate(all_runs):
        table = next((each for each in reversed(run.path) if each.tag == "table"), None)
        if table is not None:
            of_table.setdefault(id(table), []).append(at)
    return {
        at
        for inside in of_table.values()
        if 2 * sum(each in kept for each in inside) > len(inside)
        for at in inside
    }


def _belongs(run: Run, before: Run, after: Run) -> bool:
    if in_frame(run) or 2 * run.linked > run.length:
        return False
    container = _common(before.path, after.path)
    if run.inside("pre", "table", "math") or run.node.tag == "pre" or run.is_heading:
        return container in run.path
    if not run.words:
        # A picture among the text.
        return container in run.path and any(each.get("alt").strip() for each in run.node.walk())
    group = next((each for each in reversed(run.path) if each.tag in _GROUPS), run.parent)
    return group in before.path or group in after.path


_BLOCKS = frozenset({"table", "pre", "math"})
_HOMES = frozenset({"div", "section", "article", "main", "body"})
_GROUPS = frozenset({"ul", "ol", "dl", "details", "blockquote", "figure"})
"""What is read as one: of such a list all short items are kept where one is."""


def _common(one: Sequence[Node], other: Sequence[Node]) -> Node:
    shared = one[0]
    for left, right in zip(one, other, strict=False):
        if left is not right:
            break
        shared = left
    return shared


def _without_promotion(all_runs: Sequence[Run], kept: set[int], title: str) -> set[int]:
    """Without links to other pages that stand alone, headings of nothing and the page's title."""
    prose = sum(run.length for at in kept if (run := all_runs[at]).linked * 2 < run.length)
    linked = _length(all_runs, kept) - prose
    whole = prose + linked
    by_node = Counter[int]()
    for at in kept:
        for each in all_runs[at].path:
            by_node[id(each)] += all_runs[at].length
    left: set[int] = set()
    in_title = words_of(title)
    had_text = False
    below: Run | None = None
    for at in sorted(kept, reverse=True):
        run = all_runs[at]
        if (
            prose > 4 * linked
            and run.linked > 0.8 * run.length
            and not run.inside("table", "ul", "ol", "dl")
        ):
            continue
        if run.is_heading and (
            below is None or (below.is_heading and _level(below) <= _level(run))
        ):
            continue
        if any(2 * by_node[id(each)] < whole and is_named_as_frame(each) for each in run.path):
            continue
        left.add(at)
        below = run
    for at in sorted(left):
        run = all_runs[at]
        if had_text or not run.words:
            break
        if run.is_heading and in_title and _is_part(run.words, in_title):
            left.discard(at)
        had_text = not run.is_heading
    return left


def _level(run: Run) -> int:
    return next(int(each.tag[1]) for each in reversed(run.path) if each.tag in HEADINGS)


def _is_part(one: Sequence[str], other: Sequence[str]) -> bool:
    return f" {' '.join(one)} " in f" {' '.join(other)} "


_FRAME_NAMES = names(
    "newsletter promo related share sharing social signup breadcrumb breadcrumbs sidebar"
    " recommended recommendations advertisement subscribe subscription cookie cookies"
)
_PARTS = re.compile(r"[a-z]+")


def is_named_as_frame(node: Node) -> bool:
    """Whether an element is named for what sites put around and between their articles."""
    if "class" not in node.attributes and "id" not in node.attributes:
        return False
    names = f"{node.get('class')} {node.get('id')}".lower()
    return any(part in _FRAME_NAMES for part in _PARTS.findall(names))


_FRAME = frozenset({"nav", "aside", "footer", "menu", "dialog"})
_FRAME_ROLES = frozenset(
    {"navigation", "complementary", "contentinfo", "banner", "search", "dialog", "alert"}
)


def in_frame(run: Run) -> bool:
    """Whether it is in what a site has around each of its pages."""
    inside_article = False
    for each in run.path:
        if each.tag in ("article", "main") or each.get("role") == "main":
            inside_article = True
        if each.tag in _FRAME or each.get("role").lower() in _FRAME_ROLES:
            return True
        if each.tag == "header" and not inside_article:
            return True
    return False


def densest(all_runs: Sequence[Run]) -> set[int]:
    """The runs of the element with the most prose."""
    scores: dict[int, float] = {}
    nodes: dict[int, Node] = {}
    usable = [(at, run) for at, run in enumerate(all_runs) if not in_frame(run)]
    for _, run in usable:
        prose = max(0, run.length - 2 * run.linked)
        worth = prose if run.length > 80 or run.node.tag == "pre" else prose / 4
        # What is nearer gets more, so that the body wins only where the text is all over it.
        for distance, node in enumerate(reversed(run.path)):
            nodes[id(node)] = node
            scores[id(node)] = scores.get(id(node), 0.0) + worth * 0.9**distance
    if not scores:
        return set()
    best = nodes[max(scores, key=scores.__getitem__)]
    return {at for at, run in usable if best in run.path and 2 * run.linked <= run.length}
