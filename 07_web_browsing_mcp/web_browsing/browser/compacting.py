"""Makes a page's tree small for a model: what only wraps is gone, what is said twice is said once.

Pure, and blind to single sites. Everything that a person can act on keeps its reference.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from web_browsing.browser.short_urls import shortened
from web_browsing.browser.tree import (
    ACTIONABLE,
    CLICKABLE,
    LANDMARKS,
    Child,
    Node,
    is_large,
    text_of,
)

MAX_NAME = 200
MAX_VALUE = 500
"""Of what stands in a field."""
LONG_TEXT = 80
"""Texts of neighbours that are longer do not become one line."""
ITEMS = 3
"""So many neighbours of the same make are items of a list, however they are built."""

_WRAPPERS = frozenset(
    {"generic", "none", "presentation", "strong", "emphasis", "subscript", "superscript", "mark"}
    | {"time", "rowgroup", "legend", "group", "region", "article", "figure", "caption"}
    | {"paragraph"}
)
"""Say nothing by themselves; of the later ones only where they have no name."""
_BLOCKS = frozenset(["region", "article", "figure", "group"])
_CELLS = frozenset(["cell", "gridcell", "columnheader", "rowheader"])
_IN_TEXT = frozenset({"img", "code", "deletion", "insertion"})
_KEEP_REF = frozenset(["table", "grid", "treegrid", "list", "tree", "feed", "iframe"]) | LANDMARKS
"""What a model may want to see alone, or a picture of."""
_POINTS_ANYWAY = frozenset(["button", "link", "tab", "menuitem", "option"])
_NO_SPACE_BEFORE = re.compile(r"[,.;:!?)\]}%…»”’]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """What of a page's words is not for a model: `hidden` texts that no person sees, and `secrets`,
    the values of its password fields."""

    hidden: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()


def compacted(root: Node, base_url: str, unseen: Unseen | None = None) -> Node:
    """The page small; `base_url` is what its relative addresses stand under."""
    return _Compacting(base_url, unseen or Unseen()).page(root)


class _Compacting:
    def __init__(self, base_url: str, unseen: Unseen) -> None:
        self._base_url = base_url
        self._hidden = unseen.hidden
        self._secrets = frozenset(unseen.secrets)
        # A short one would be found in words that have nothing to do with it.
        self._long_secrets = tuple(each for each in unseen.secrets if len(each) >= 6)

    def page(self, root: Node) -> Node:
        inside = root.children
        if len(inside) == 1 and isinstance(inside[0], Node):
            # The whole document has the focus where nothing in it has.
            states = tuple(each for each in inside[0].states if each != "focused")
            inside = (replace(inside[0], states=states),)
        found = joined(self._inside(replace(root, children=inside), self._base_url))
        return replace(root, children=found)

    def _inside(self, node: Node, base_url: str) -> list[Child]:
        found: list[Child] = []
        # What a frame's relative addresses stand under is not known here.
        base_url = "" if node.role == "iframe" else base_url
        for child in _itemised(node.children):
            if isinstance(child, str):
                found.extend(self._text(child, node))
            else:
                found.extend(self._element(child, base_url))
        return found

    def _text(self, text: str, around: Node) -> list[Child]:
        if around.role in ("textbox", "searchbox", "spinbutton", "combobox"):
            if text in self._secrets:
                return [f"({len(text)} characters)"]
            return [_cut(one_line(text), MAX_VALUE)]
        shown = one_line(self._shown(text))
        return [shown] if shown else []

    def _masked(self, text: str) -> str:
        for secret in self._long_secrets:
            text = text.replace(secret, f"({len(secret)} characters)")
        return text

    def _shown(self, text: str) -> str:
        text = self._masked(text)
        for hidden in self._hidden:
            text = text.replace(hidden, " ")
        return text

    def _name(self, node: Node) -> str:
        # The words that screen readers alone are given are short, and often all that a button has.
        name = self._shown(node.name) if len(node.name) > LONG_TEXT else node.name
        return _cut(one_line(self._masked(name)), MAX_NAME)

    def _element(self, node: Node, base_url: str) -> list[Child]:
        inside = joined(self._inside(node, base_url))
        name = self._name(node)
        states = _states(node)
        # `generic` has a name only as the summary of details, which opens them.
        if node.role == "generic" and name and node.ref:
            states = (*states, CLICKABLE) if CLICKABLE not in states else states
        seen = Node(
            node.role,
            name,
            node.ref,
            states,
            node.level,
            shortened(node.url, base_url) if node.url else None,
            _cut(one_line(node.placeholder), MAX_NAME),
            inside,
        )
        if seen.is_actionable:
            return _acted_on(seen)
        return _told(replace(seen, ref=seen.ref if seen.role in _KEEP_REF else None))


def _itemised(children: Sequence[Child]) -> Sequence[Child]:
    """Neighbours that only wrap, three and more with several things in each: items of a list."""
    marked: list[Child] = list(children)
    for first, end in _runs(children):
        if end - first >= ITEMS:
            for at in range(first, end):
                each = marked[at]
                assert isinstance(each, Node)
                marked[at] = replace(each, role="item")
    return marked


def _runs(children: Sequence[Child]) -> Iterable[tuple[int, int]]:
    first = 0
    for at in range(len(children) + 1):
        if at < len(children) and _is_item(children[at]):
            continue
        if at > first:
            yield first, at
        first = at + 1


def _is_item(child: Child) -> bool:
    return (
        isinstance(child, Node)
        and child.role in ("generic", "article")
        and not child.name
        and CLICKABLE not in child.states
        and sum(isinstance(each, Node) for each in child.children) > 1
    )


def _states(node: Node) -> tuple[str, ...]:
    if node.role in _POINTS_ANYWAY:
        return tuple(state for state in node.states if state != CLICKABLE)
    return node.states


def _acted_on(node: Node) -> list[Child]:
    """Something to act on: what its name says already is not said again inside it."""
    inner = text_of(node)
    has_parts = any(isinstance(each, Node) for each in node.children)
    holds_actions = any(_holds_action(each) for each in node.children)
    if node.role in ("textbox", "searchbox", "combobox", "listbox", "spinbutton") or holds_actions:
        return [node]
    if not node.name and node.role in ACTIONABLE:
        node = replace(node, name=_cut(inner, MAX_NAME))
    if not node.name:
        # Something that is only clickable: its words are enough.
        return [replace(node, children=(inner,) if inner else ())]
    heading = next((each for each in node.children if _is_heading(each)), None)
    if has_parts or _says(node.name, inner):
        node = replace(node, children=()) if _says(node.name, inner) else node
    if isinstance(heading, Node) and not node.children:
        return [Node("heading", level=heading.level, children=(node,))]
    return [_lone_text_into_name(node)]


def _lone_text_into_name(node: Node) -> Node:
    """A link's text beside its name goes: after its address there is no place for it."""
    words = text_of(node)
    if node.url and node.children and not any(_holds_action(each) for each in node.children):
        more = node.name if _says(node.name, words) else _cut(f"{node.name} {words}", MAX_NAME)
        return replace(node, name=more, children=())
    return node


def _is_heading(child: Child) -> bool:
    return isinstance(child, Node) and child.role == "heading"


def _holds_action(child: Child) -> bool:
    return isinstance(child, Node) and (
        (child.is_actionable and child.ref is not None)
        or any(_holds_action(each) for each in child.children)
    )


def _says(name: str, words: str) -> bool:
    return _letters(words) in _letters(name) or (name.endswith("…") and len(words) > MAX_NAME)


def _letters(text: str) -> str:
    return "".join(text.split()).casefold()


def _told(node: Node) -> list[Child]:
    """What says something and does nothing: gone where it only wraps or is empty."""
    if node.role == "row":
        return _row(node)
    if node.role == "code":
        return _code(node)
    if node.name and node.children and _letters(text_of(node)) == _letters(node.name):
        node = replace(node, name="")
    if node.role in ("heading", "listitem") and node.name and not node.children:
        return [node]
    if not node.children and not node.name:
        return [node] if node.role in ("iframe", "progressbar", "alert", "status") else []
    if node.role == "img" and not any(_holds_action(each) for each in node.children):
        return [replace(node, children=())] if node.name else []
    if node.name or node.states:
        return [node]
    return _unwrapped(node)


def _unwrapped(node: Node) -> list[Child]:
    first = node.children[0]
    if node.role in ("listitem", "item") and len(node.children) == 1 and isinstance(first, Node):
        return [first]
    if node.role == "list" and len(node.children) == 1:
        return [first]
    if node.role not in _WRAPPERS:
        return [node]
    has_parts = any(isinstance(each, Node) for each in node.children)
    if node.role == "paragraph" or (node.role in ("generic", "legend", "caption")):
        texts = [each for each in node.children if isinstance(each, str)]
        if not texts or not all(_stands_in_text(each) for each in node.children):
            return list(node.children)
        if has_parts or node.role == "paragraph" or len(texts[0]) > LONG_TEXT:
            return [Node("paragraph", children=node.children)]
        # A mark for `joined` alone, which makes text of it.
        return [Node("generic", children=node.children)]
    if node.role in _BLOCKS and has_parts and len(node.children) > 1:
        return [replace(node, ref=None)] if node.role == "article" else list(node.children)
    return list(node.children)


def _stands_in_text(child: Child) -> bool:
    if isinstance(child, str):
        return True
    return (child.is_actionable or child.role in _IN_TEXT) and not is_large(child)


def _row(row: Node) -> list[Child]:
    """Cells that only say something become one text, parted by bars."""
    parts: list[Child] = []
    for at, cell in enumerate(row.children):
        if at:
            parts.append("|")
        if isinstance(cell, Node) and cell.role in _CELLS and not cell.is_actionable:
            parts.extend(cell.children or ((cell.name,) if cell.name else ()))
        else:
            parts.append(cell)
    inside = joined(parts, between=" ")
    if not text_of(Node("row", children=inside)).replace("|", "").strip() and not any(
        _holds_action(each) for each in inside
    ):
        return []
    headers = row.children and all(
        isinstance(each, Node) and each.role == "columnheader" for each in row.children
    )
    name = "" if inside else row.name
    return [replace(row, role="headers" if headers else "row", name=name, children=inside)]


def _code(node: Node) -> list[Child]:
    words = text_of(node) or node.name
    if not words or any(_holds_action(each) for each in node.children):
        return list(node.children)
    return [f"`{words}`"] if len(words) <= LONG_TEXT else [Node("code", children=(words,))]


def joined(parts: Iterable[Child], between: str = "") -> tuple[Child, ...]:
    """Neighbouring texts as one; those of blocks beside each other parted by a dot."""
    found: list[Child] = []
    previous_is_block = False
    for part in parts:
        block = isinstance(part, Node) and part.role == "generic" and _is_plain(part)
        text = text_of(part) if block and isinstance(part, Node) else part
        if not isinstance(text, str):
            found.append(text)
            previous_is_block = False
            continue
        if not text:
            continue
        last = found[-1] if found else None
        if isinstance(last, str):
            parted = between or (" · " if block or previous_is_block else " ")
            if parted == " " and _NO_SPACE_BEFORE.match(text):
                parted = ""
            found[-1] = f"{last}{parted}{text}"
        else:
            found.append(text)
        previous_is_block = block
    return tuple(found)


def _is_plain(node: Node) -> bool:
    return not node.ref and not node.states and all(isinstance(each, str) for each in node.children)


def one_line(text: str) -> str:
    """Without control characters and with single spaces."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(text.split())


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
