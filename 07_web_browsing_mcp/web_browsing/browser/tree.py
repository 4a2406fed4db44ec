"""What a page shows, as a tree, and the text in which a model reads it. Pure.

One line an element, two spaces a level:

    h1 "Orders"
    form "Search" [e4]
      textbox "Words" [e5 focused placeholder="any"]: blue
      button "Go" [e6]
    paragraph: See {link "the terms" [e9] -> /terms} first.

In brackets are the reference that tools take and the states; `->` is where a link leads; after a
colon stands the text inside, with elements in braces (a brace of the text itself is doubled).
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Union

Child = Union["Node", str]

ACTIONABLE = frozenset(
    {"button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "switch", "slider"}
    | {"spinbutton", "menuitem", "menuitemcheckbox", "menuitemradio", "tab", "option", "treeitem"}
    | {"listbox", "scrollbar"}
)
"""Roles with which a person does something (WAI-ARIA 1.2, 5.3.2, the widgets)."""
LANDMARKS = frozenset(
    {"main", "navigation", "banner", "contentinfo", "complementary", "search", "form", "region"}
    | {"dialog", "alertdialog"}
)
"""Roles by which a part of a page is found (WAI-ARIA 1.2, 5.3.4), and dialogs."""
CLICKABLE = "clickable"
"""The state of what has no such role and yet shows a hand to the mouse."""


@dataclass(frozen=True, slots=True)
class Node:
    """An element. Text among `children` is stripped, in one line, never empty, never two in a row;
    `url` has no white space and no braces."""

    role: str
    name: str = ""
    ref: str | None = None
    states: tuple[str, ...] = ()
    level: int = 0
    url: str | None = None
    placeholder: str = ""
    children: tuple[Child, ...] = ()

    @property
    def is_actionable(self) -> bool:
        return self.role in ACTIONABLE or CLICKABLE in self.states

    def head(self) -> "Node":
        """The same without what is inside."""
        return replace(self, children=())


def walk(node: Node) -> Iterator[Node]:
    """The element and all inside it, in the order of the page."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        yield each
        waiting.extend(child for child in reversed(each.children) if isinstance(child, Node))


def text_of(node: Node) -> str:
    """All words inside an element: its text, and the names of what has no text."""
    words: list[str] = []
    for child in node.children:
        if isinstance(child, str):
            words.append(child)
        else:
            words.append(text_of(child) or child.name)
    return " ".join(word for word in words if word)


def render(root: Node) -> str:
    """The text of what is inside `root`; `parse` reads it back."""
    lines: list[str] = []
    for child in root.children:
        _write(child, "", lines)
    return "\n".join(lines)


def line_of(node: Node) -> str:
    """An element's own line, without what is inside."""
    heading = node.role == "heading" and 0 < node.level < 10
    parts = [f"h{node.level}" if heading else node.role]
    if node.name:
        parts.append(json.dumps(node.name, ensure_ascii=False))
    marks = [node.ref] if node.ref else []
    if node.level and not heading:
        marks.append(f"level={node.level}")
    marks.extend(node.states)
    if node.placeholder:
        marks.append(f"placeholder={json.dumps(node.placeholder, ensure_ascii=False)}")
    if marks:
        parts.append(f"[{' '.join(marks)}]")
    if node.url:
        parts.append(f"-> {node.url}")
    return " ".join(parts)


def _write(child: Child, indent: str, lines: list[str]) -> None:
    if isinstance(child, str):
        lines.append(f"{indent}text: {_escaped(child)}")
        return
    head = line_of(child)
    if _fits_one_line(child):
        inside = " ".join(_inline(each) for each in child.children)
        lines.append(f"{indent}{head}: {inside}")
        return
    lines.append(indent + head)
    for each in child.children:
        _write(each, indent + "  ", lines)


def _fits_one_line(node: Node) -> bool:
    """Text with small elements in it, or one small element in what is nothing by itself."""
    # After an address a colon would be taken for a part of it.
    if not node.children or node.url:
        return False
    if any(is_large(each) for each in node.children):
        return False
    has_text = any(isinstance(each, str) for each in node.children)
    if node.role in LANDMARKS:
        return len(node.children) == 1 and has_text
    return has_text or (len(node.children) == 1 and not node.name)


def is_large(child: Child) -> bool:
    """Whether it needs lines of its own: it has more inside than one text."""
    if isinstance(child, str) or not child.children:
        return False
    return bool(child.url) or not all(isinstance(each, str) for each in child.children)


def _inline(child: Child) -> str:
    if isinstance(child, str):
        return _escaped(child)
    inside = f": {_escaped(text).replace('}', '}}')}" if (text := _only_text(child)) else ""
    return f"{{{line_of(child)}{inside}}}"


def _only_text(node: Node) -> str:
    return next((child for child in node.children if isinstance(child, str)), "")


def _escaped(text: str) -> str:
    return text.replace("{", "{{")


_STRING = r'"(?:[^"\\]|\\.)*"'
_HEAD = re.compile(
    rf"(?P<role>[A-Za-z][\w-]*)(?: (?P<name>{_STRING}))?"
    rf'(?: \[(?P<marks>(?:[^\]"]|{_STRING})*)\])?(?: -> (?P<url>[^\s{{}}]+))?'
)
_MARK = re.compile(rf"placeholder=(?P<placeholder>{_STRING})|(?P<word>\S+)")
_REF = re.compile(r"(?:f\d+)*e\d+")
_HEADING = re.compile(r"h([1-9])")
_PIECE = re.compile(r"(?:[^{]|\{\{)+")
_INNER = re.compile(r"(?:[^{}]|\{\{|\}\})*")


class _Open(NamedTuple):
    depth: int
    head: Node
    children: list[Child]


def parse(text: str) -> Node:
    """What `render` wrote, as a `page` again. Raises ValueError for any other text."""
    root = _Open(-1, Node("page"), [])
    opened = [root]
    for line in text.split("\n") if text else ():
        bare = line.lstrip(" ")
        depth = (len(line) - len(bare)) // 2
        while opened[-1].depth >= depth:
            _close(opened)
        if bare.startswith("text: "):
            opened[-1].children.append(bare[6:].replace("{{", "{"))
            continue
        head, end = _head(bare, 0)
        inside = list(_pieces(bare[end + 2 :])) if bare[end : end + 2] == ": " else []
        if not inside and end != len(bare):
            raise ValueError(f"not a line of a snapshot: {bare[:80]!r}")
        opened.append(_Open(depth, head, inside))
    while len(opened) > 1:
        _close(opened)
    return replace(root.head, children=tuple(root.children))


def _close(opened: list[_Open]) -> None:
    done = opened.pop()
    opened[-1].children.append(replace(done.head, children=tuple(done.children)))


def _head(line: str, start: int) -> tuple[Node, int]:
    found = _HEAD.match(line, start)
    if found is None:
        raise ValueError(f"not a line of a snapshot: {line[start:][:80]!r}")
    role, name, marks, url = found.group("role", "name", "marks", "url")
    ref, states, level, placeholder = None, list[str](), 0, ""
    if heading := _HEADING.fullmatch(role):
        role, level = "heading", int(heading[1])
    for mark in _MARK.finditer(marks or ""):
        word = mark["word"]
        if word is None:
            placeholder = json.loads(mark["placeholder"])
        elif _REF.fullmatch(word):
            ref = word
        elif word.startswith("level="):
            level = int(word[6:])
        else:
            states.append(word)
    node = Node(role, json.loads(name) if name else "", ref, tuple(states), level, url, placeholder)
    return node, found.end()


def _pieces(text: str) -> Iterator[Child]:
    at = 0
    while at < len(text):
        if text[at] == " ":
            at += 1
        elif text[at] == "{" and text[at : at + 2] != "{{":
            head, at = _head(text, at + 1)
            if text[at : at + 2] == ": ":
                inner = _INNER.match(text, at + 2)
                inside = inner[0] if inner else ""
                at += 2 + len(inside)
                # Of an odd run of braces the last one closes.
                words = inside.replace("{{", "{").replace("}}", "}")
                head = replace(head, children=(words,))
            if text[at : at + 1] != "}":
                raise ValueError(f"no end of an element: {text[at:][:80]!r}")
            at += 1
            yield head
        else:
            piece = _PIECE.match(text, at)
            words = piece[0] if piece else text[at:]
            at += len(words)
            yield words.rstrip(" ").replace("{{", "{")
