"""A page as blocks: elements that begin lines of their own, and in them runs of text. Pure.

A run (`Node("run")`) holds text and inline elements only; `pre` is a block that is kept as it is.
Every other text of the tree is in a run.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from web_browsing.reading.tree import BLOCKS, Node

RUN = "run"
# In Chinese and Japanese nothing stands between words: each character counts as one.
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\W{_IDEOGRAPHS}]+")
_KEPT_WHOLE = frozenset({"pre", "listing", "xmp", "plaintext"})
_HOLDS_NO_TEXT = frozenset({"img", "input", "math"})


def blocked(root: Node) -> Node:
    """The tree as blocks and runs; the nodes of the old one are used, and no longer a tree."""
    return _Blocks(root).block(root, ())


class _Blocks:
    def __init__(self, root: Node) -> None:
        self._holders = _inline_with_blocks(root)

    def block(self, node: Node, link: Sequence[Node]) -> Node:
        """`link` is the `a` around the block, if one is."""
        if node.tag in _KEPT_WHOLE:
            return Node("pre", node.attributes, node.children)
        children: list[Node | str] = []
        inline: list[Node | str] = []
        for child in node.children:
            if isinstance(child, str) or not self._is_block(child):
                inline.append(child)
                continue
            self._end_run(inline, children, link)
            inline = []
            around = (child,) if child.tag == "a" and child.get("href") else link
            children.append(self.block(child, around))
        self._end_run(inline, children, link)
        tag = node.tag if node.tag in BLOCKS else "div"
        return Node(tag, node.attributes, children)

    def _is_block(self, node: Node) -> bool:
        return node.tag in BLOCKS or id(node) in self._holders

    def _end_run(
        self, inline: list[Node | str], children: list[Node | str], link: Sequence[Node]
    ) -> None:
        if not any(_shows(each) for each in inline):
            return
        if link and not any(isinstance(each, Node) and each.tag == "a" for each in inline):
            inline = [Node("a", link[0].attributes, inline)]
        children.append(Node(RUN, {}, inline))


def _shows(child: Node | str) -> bool:
    if isinstance(child, str):
        return not child.isspace() and bool(child)
    return child.tag in _HOLDS_NO_TEXT or any(_shows(each) for each in child.children)


def _inline_with_blocks(root: Node) -> set[int]:
    """The inline elements that hold blocks, by identity."""
    found: set[int] = set()
    order = list(root.walk())
    for node in reversed(order):
        if node.tag not in BLOCKS and any(
            each.tag in BLOCKS or id(each) in found for each in node.elements()
        ):
            found.add(id(node))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One run of text with what is around it."""

    node: Node
    path: tuple[Node, ...]
    """The elements around it, from the root on."""
    words: tuple[str, ...]
    length: int
    """Characters of its text."""
    linked: int
    """Characters of its text that are in links to elsewhere."""

    @property
    def parent(self) -> Node:
        return self.path[-1]

    @property
    def is_heading(self) -> bool:
        return any(each.tag in HEADINGS for each in self.path[-2:])

    def inside(self, *tags: str) -> bool:
        return any(each.tag in tags for each in self.path)


HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})


def runs(root: Node) -> Iterator[Run]:
    """All runs of a tree of blocks, in the order of the page."""
    pending: list[tuple[Node, tuple[Node, ...]]] = [(root, ())]
    while pending:
        node, path = pending.pop()
        if node.tag in (RUN, "pre"):
            text = node.text()
            linked = sum(len(each.text()) for each in node.walk() if leads_away(each))
            yield Run(node, path, words_of(text), len(text), min(linked, len(text)))
            continue
        inner = (*path, node)
        pending += [(each, inner) for each in reversed(list(node.elements()))]


def leads_away(node: Node) -> bool:
    """Whether it is a link, and not one to a place of the same page: headings are such links."""
    return node.tag == "a" and not node.get("href").lstrip().startswith("#")


def words_of(text: str) -> tuple[str, ...]:
    """The words in lower case, without punctuation."""
    return tuple(_WORD.findall(text.lower()))


def only(root: Node, kept: set[int]) -> Node | None:
    """The tree with those runs alone, by identity, and the blocks around them."""
    if root.tag in (RUN, "pre"):
        return root if id(root) in kept else None
    children: list[Node | str] = []
    for each in root.elements():
        if each.tag == "hr":
            if children:
                children.append(each)
        elif (inner := only(each, kept)) is not None:
            children.append(inner)
    if not any(_has_content(each) for each in children):
        # A row keeps its empty cells, or its columns would move.
        return Node(root.tag, root.attributes) if root.tag in ("td", "th") else None
    return Node(root.tag, root.attributes, children)


def _has_content(child: Node | str) -> bool:
    return isinstance(child, Node) and (child.tag in (RUN, "pre") or bool(child.children))
