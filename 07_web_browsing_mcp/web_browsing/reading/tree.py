"""A page as a small tree of its own, whatever was sent as HTML."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from web_browsing.reading.data_uris import cut_data

MAX_NODES = 100_000
"""Elements of one page; a long encyclopaedia article has 30,000."""
MAX_DEPTH = 120
"""What is nested deeper becomes plain text at this depth, so that a walk may call itself."""
MAX_ATTRIBUTES = 40
MAX_VALUE_LENGTH = 8192
"""Characters of one attribute."""
MAX_STYLE_LENGTH = 1_000_000
_CHUNK = 64 * 1024


def names(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


VOID = names("area base br col embed hr img input link meta param source track wbr")
BLOCKS = names(
    # HTML, "Rendering", "Flow content": what begins a line of its own.
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset"
    " figcaption figure footer form frameset h1 h2 h3 h4 h5 h6 header hgroup hr html iframe legend"
    " li listing main menu nav noscript ol optgroup option p plaintext pre search section select"
    " summary table tbody td tfoot th thead tr ul xmp"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff]")


@dataclass(slots=True, eq=False)
class Node:
    """An element: `tag` in lower case, and texts and elements in their order."""

    tag: str
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    children: "list[Node | str]" = field(default_factory=list["Node | str"])

    def get(self, name: str) -> str:
        return self.attributes.get(name, "")

    @property
    def classes(self) -> list[str]:
        return self.get("class").lower().split()

    def elements(self) -> "Iterator[Node]":
        return (each for each in self.children if isinstance(each, Node))

    def walk(self) -> "Iterator[Node]":
        """This element and all inside, in the order of the page."""
        pending = [self]
        while pending:
            node = pending.pop()
            yield node
            pending += [each for each in reversed(node.children) if isinstance(each, Node)]

    def texts(self) -> Iterator[str]:
        """All text inside, in pieces as they stand."""
        pending: list[Node | str] = [self]
        while pending:
            node = pending.pop()
            if isinstance(node, str):
                yield node
            elif node.tag == "br":
                yield "\n"
            else:
                pending += reversed(node.children)

    def text(self) -> str:
        """All text inside with single spaces."""
        return " ".join("".join(self.texts()).split())


@dataclass(frozen=True, slots=True)
class Parsed:
    """A page's tree, and what is not part of what is read."""

    root: Node
    styles: str = ""
    """The page's own style sheets, together."""
    json_ld: tuple[str, ...] = ()
    scripts: int = 0
    linked_styles: bool = False
    is_cut: bool = False
    """It was longer than MAX_NODES elements."""


def parse(html: str) -> Parsed:
    """Read HTML as browsers do, nearly: what is broken is mended; never raises.

    libxml2 reports it piece by piece, so that no tree of its own grows beyond our bounds.
    """
    etree: Any = import_module("lxml.etree")
    builder = _Builder()
    raw = _CONTROL.sub("\ufffd", html).encode("utf-8", "replace")
    parser = etree.HTMLParser(target=builder, encoding="utf-8", huge_tree=True)
    try:
        for at in range(0, len(raw), _CHUNK):
            parser.feed(raw[at : at + _CHUNK])
            if builder.is_full:
                break
        parser.close()
    except etree.LxmlError:
        # An empty document, or nothing that could be mended: what was told until then stands.
        pass
    return builder.parsed()


class _Builder:
    """What libxml2's parser tells goes here; an element beyond MAX_NODES is left out."""

    def __init__(self) -> None:
        self._root = Node("html")
        self._open = [self._root]
        self._left_out = 0
        self._nodes = 0
        self._styles: list[str] = []
        self._style_length = 0
        self._json_ld: list[str] = []
        self._scripts = 0
        self._linked_styles = False

    @property
    def is_full(self) -> bool:
        return self._nodes >= MAX_NODES

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._nodes += 1
        if self.is_full:
            self._left_out += 1
            return
        node = Node(tag.lower().rpartition(":")[2], _bounded(attributes))
        if tag == "html" and len(self._open) == 1 and not self._root.attributes:
            self._root.attributes = node.attributes
        if node.tag == "link" and "stylesheet" in node.get("rel").lower():
            self._linked_styles = True
        self._open[-1].children.append(node)
        self._open.append(node)

    def end(self, tag: str) -> None:
        del tag
        if self._left_out:
            self._left_out -= 1
        elif len(self._open) > 1:
            node = self._open.pop()
            if node.tag in ("script", "style"):
                self._set_aside(node)

    def data(self, text: str) -> None:
        if not self.is_full:
            self._open[-1].children.append(text)

    def comment(self, text: str) -> None:
        del text

    def close(self) -> None:
        return None

    def parsed(self) -> Parsed:
        return Parsed(
            root=self._root,
            styles="\n".join(self._styles),
            json_ld=tuple(self._json_ld),
            scripts=self._scripts,
            linked_styles=self._linked_styles,
            is_cut=self.is_full,
        )

    def _set_aside(self, node: Node) -> None:
        self._open[-1].children.pop()
        text = "".join(node.texts())
        if node.tag == "style":
            if self._style_length < MAX_STYLE_LENGTH and node.get("media").strip() != "print":
                self._styles.append(text[: MAX_STYLE_LENGTH - self._style_length])
                self._style_length += len(text)
        elif node.get("type").lower().strip() == "application/ld+json":
            self._json_ld.append(text)
        else:
            self._scripts += 1


def _bounded(attributes: Mapping[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    for name, value in attributes.items():
        if len(kept) == MAX_ATTRIBUTES:
            break
        told = cut_data(value) if len(value) > MAX_VALUE_LENGTH else value
        kept[name.lower()] = told[:MAX_VALUE_LENGTH]
    return kept


def limit_depth(root: Node, most: int = MAX_DEPTH) -> None:
    """Make plain text, with its line breaks, of what is nested deeper. Only once nothing hidden is
    in the tree: whether an element is hidden is said by those around it."""
    pending = [(root, 1)]
    while pending:
        node, depth = pending.pop()
        if depth < most:
            pending += [(each, depth + 1) for each in node.children if isinstance(each, Node)]
        else:
            node.children = list(_flat(node))


def _flat(root: Node) -> Iterator[Node | str]:
    pending: list[Node | str] = list(reversed(root.children))
    is_new_line = True
    while pending:
        each = pending.pop()
        if isinstance(each, str):
            is_new_line = is_new_line and each.isspace()
            yield each
            continue
        # Of many that begin a line, one does: what is nested deep is mostly empty.
        if (each.tag in BLOCKS or each.tag == "br") and not is_new_line:
            is_new_line = True
            yield Node("br")
        pending += reversed(each.children)
