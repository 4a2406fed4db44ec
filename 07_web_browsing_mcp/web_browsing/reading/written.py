"""Blocks as Markdown or as plain text: headings, lists, tables, code, quotations. Pure.

Tables are GitHub's, code is fenced with its language, and a list stays within its list.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from web_browsing.reading.blocks import HEADINGS, RUN
from web_browsing.reading.inline import Inline
from web_browsing.reading.tables import Cell, as_grid, is_layout, markdown_table, plain_table
from web_browsing.reading.tree import BLOCKS, Node, names

_LANGUAGE = re.compile(r"(?:^|\s)(?:language-|lang-|highlight-source-|brush:\s?)([\w+#.-]{1,20})")
_MAYBE_LANGUAGE = names(
    "bash c cpp csharp css diff go html java javascript js json kotlin php python ruby rust shell"
    " sh sql swift toml ts typescript xml yaml"
)
_GUTTER = frozenset({"linenos", "gutter", "lineno", "line-numbers", "line-numbers-rows", "linenum"})
_FENCE_RUN = re.compile("`{3,}")


def written(root: Node, inline: Inline) -> str:
    """The whole tree of blocks."""
    writer = _Writer(replace(inline, footnotes=footnotes(root)))
    return "\n\n".join(each for each in writer.blocks(root) if each.strip())


def footnotes(root: Node) -> Mapping[str, str]:
    """The labels of notes by the id of the note: where a raised link leads to a list's item."""
    items = {each.get("id") for each in root.walk() if each.tag == "li" and each.get("id")}
    if not items:
        return {}
    found: dict[str, str] = {}
    for raised in root.walk():
        if raised.tag != "sup":
            continue
        for each in raised.walk():
            target = each.get("href")[1:] if each.tag == "a" else ""
            label = each.text().strip("[]()^ ") if target in items else ""
            if label and len(label) <= 8 and label.isalnum():
                found.setdefault(target, label)
    return found


class _Writer:
    def __init__(self, inline: Inline) -> None:
        self._inline = inline
        self._is_plain = inline.is_plain

    def blocks(self, node: Node) -> Iterator[str]:
        for child in node.elements():
            yield from self._block(child)

    def _block(self, node: Node) -> Iterator[str]:
        tag = node.tag
        if tag == RUN:
            yield self._inline.line(node.children)
        elif tag == "pre":
            yield self._code(node)
        elif tag in HEADINGS:
            yield self._heading(node)
        elif tag in ("ul", "ol", "menu", "dir"):
            yield self._list(node)
        elif tag == "li":
            yield self._item(node, "- ")
        elif tag == "table":
            yield from self._table(node)
        elif tag == "blockquote":
            yield self._marked(node, "> ")
        elif tag == "hr":
            yield "" if self._is_plain else "---"
        elif tag == "dt":
            yield self._strong(node)
        elif tag == "dd":
            yield self._indented(": ", "\n\n".join(self.blocks(node)))
        elif tag == "dl":
            yield self._definitions(node)
        elif tag == "summary":
            yield self._strong(node)
        elif tag == "figcaption":
            yield "\n".join(self.blocks(node))
        else:
            yield from self.blocks(node)

    def _strong(self, node: Node) -> str:
        text = " ".join(" ".join(self.blocks(node)).split())
        return text if self._is_plain or not text or "**" in text else f"**{text}**"

    def _heading(self, node: Node) -> str:
        text = " ".join(" ".join(self.blocks(node)).split())
        if not text or self._is_plain:
            return text
        # A heading is strong already.
        if text.startswith("**") and text.endswith("**") and text.count("**") == 2:
            text = text[2:-2]
        return f"{'#' * int(node.tag[1])} {text}"

    def _definitions(self, node: Node) -> str:
        return "\n".join(each for each in self.blocks(node) if each.strip())

    def _marked(self, node: Node, mark: str) -> str:
        inner = "\n\n".join(each for each in self.blocks(node) if each.strip())
        if self._is_plain:
            return inner
        return "\n".join(f"{mark}{line}".rstrip() for line in inner.split("\n"))

    def _list(self, node: Node) -> str:
        number = _start(node) if node.tag == "ol" else None
        items: list[str] = []
        for child in node.elements():
            label = self._inline.footnotes.get(child.get("id")) if child.get("id") else None
            if label and not self._is_plain:
                mark = f"[^{label}]: "
            else:
                mark = "- " if number is None else f"{number}. "
            # Some pages put a list right into a list: it belongs to the item before.
            if child.tag in ("ul", "ol"):
                items.append(_shifted(self._list(child), "  "))
                continue
            items.append(self._item(child, mark))
            number = number + 1 if number is not None else None
        return "\n".join(each for each in items if each.strip())

    def _item(self, node: Node, mark: str) -> str:
        blocks = [node] if node.tag in (RUN, "pre") else list(node.elements())
        parts: list[str] = []
        text = ""
        for child in blocks:
            inner = "\n\n".join(each for each in self._block(child) if each.strip())
            if not inner:
                continue
            tight = child.tag in ("ul", "ol") or not text
            text = f"{text}{'' if not text else chr(10) if tight else chr(10) * 2}{inner}"
        parts.append(text)
        return self._indented(mark, "".join(parts)) if text.strip() else ""

    def _indented(self, mark: str, text: str) -> str:
        return f"{mark}{_shifted(text, ' ' * len(mark)).lstrip()}" if text.strip() else ""

    def _table(self, node: Node) -> Iterator[str]:
        if is_code_listing(node):
            yield self._code(node)
            return
        if is_layout(node):
            yield from self.blocks(node)
            return
        for each in node.elements():
            if each.tag == "caption":
                yield self._strong(each)
        grid = as_grid(node, self._cell)
        yield plain_table(grid) if self._is_plain else markdown_table(grid)

    def _cell(self, node: Node) -> Cell:
        lines = [
            self._inline.line(each.children, in_cell=True)
            if each.tag == RUN
            else self._inline.line([Node("code", {}, [each])], in_cell=True)
            for each in node.walk()
            if each.tag in (RUN, "pre")
        ]
        return Cell(" ".join(line for line in lines if line), is_head=node.tag == "th")

    def _code(self, node: Node) -> str:
        text = "".join(_code_text(node)).replace("\r\n", "\n").strip("\n").rstrip()
        if self._is_plain or not text.strip():
            return text
        longest = max((len(each) for each in _FENCE_RUN.findall(text)), default=2)
        fence = "`" * (longest + 1)
        return f"{fence}{language(node)}\n{text}\n{fence}"


def language(node: Node) -> str:
    """The language of a listing as its page names it; empty where it names none."""
    around = [node, *(each for each in node.walk() if each.tag == "code")]
    for each in around:
        if found := _LANGUAGE.search(f" {each.get('class')}".lower()):
            return found[1]
    for each in around:
        for name in (each.get("data-lang"), each.get("data-language"), *each.classes):
            if name.lower() in _MAYBE_LANGUAGE:
                return name.lower()
    return ""


def _code_text(node: Node) -> Iterator[str]:
    """Its text as it stands, with a line for each element that begins one, without line numbers."""
    pending: list[Node | str] = [node]
    is_start = True
    while pending:
        each = pending.pop()
        if isinstance(each, str):
            is_start = each.endswith("\n") if each else is_start
            yield each
        elif each.tag == "br":
            is_start = True
            yield "\n"
        elif _GUTTER.isdisjoint(each.classes):
            if each.tag in BLOCKS and each is not node and each.tag not in ("td", "tbody"):
                if not is_start:
                    yield "\n"
                is_start = True
            pending += reversed(each.children)


def is_code_listing(table: Node) -> bool:
    """Whether a table is there for the line numbers of a listing alone."""
    cells = [each for each in table.walk() if each.tag == "td"]
    return bool(cells) and any(not _GUTTER.isdisjoint(each.classes) for each in cells)


def _start(node: Node) -> int:
    raw = node.get("start").strip()
    return int(raw) if raw.isascii() and raw.isdigit() and len(raw) < 7 else 1


def _shifted(text: str, by: str) -> str:
    return "\n".join(f"{by}{line}" if line else "" for line in text.split("\n"))
