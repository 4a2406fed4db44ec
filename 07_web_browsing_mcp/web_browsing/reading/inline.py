"""A run of text: links, emphasis, code, pictures and formulas, as Markdown or plain. Pure.

It is read by a model and not set by a program: so only what would change the meaning of the line is
escaped, and an asterisk stays an asterisk.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from web_browsing.reading.targets import Targets
from web_browsing.reading.tree import Node

_SPACES = re.compile(r"\s+")
_STARTS_BLOCK = re.compile(r"(?:#{1,6}(?=\s)|>|[-+*](?=\s)|```|~~~|\d{1,9}[.)](?=\s))")
_FENCE_RUN = re.compile("`+")
_BREAK = "\x00"
"""Stands for a line break until spaces are joined; a page has none."""
_MARKS = {
    "strong": "**",
    "b": "**",
    "em": "*",
    "i": "*",
    "del": "~~",
    "s": "~~",
    "strike": "~~",
}
_CODE = frozenset({"code", "kbd", "samp", "tt"})
_TEX = ("application/x-tex", "application/tex", "text/tex")


@dataclass(frozen=True, slots=True)
class Inline:
    """How runs are written; `footnotes` gives the label of the notes by their id."""

    targets: Targets
    is_plain: bool = False
    footnotes: Mapping[str, str] = field(default_factory=dict[str, str])

    def line(self, children: Sequence[Node | str], *, in_cell: bool = False) -> str:
        """One paragraph; with line breaks only where the page has a `br`."""
        joined = _SPACES.sub(" ", "".join(self._pieces(children)))
        lines = [each.strip() for each in joined.split(_BREAK)]
        if in_cell:
            text = " ".join(each for each in lines if each)
            return text if self.is_plain else text.replace("|", "\\|")
        text = "\n".join(each for each in lines if each)
        return text if self.is_plain else _not_a_block(text)

    def _pieces(self, children: Sequence[Node | str]) -> Iterator[str]:
        for child in children:
            yield child.replace("\x00", "") if isinstance(child, str) else self._element(child)

    def _element(self, node: Node) -> str:
        tag = node.tag
        if tag == "br":
            return _BREAK
        if tag == "img":
            return self._picture(node)
        if tag == "input":
            return self._box(node)
        if tag == "math":
            return self._formula(node)
        if tag in _CODE:
            return self._code(node)
        if tag == "sup" and (label := self._note(node)):
            return f"[^{label}]" if not self.is_plain else f"[{label}]"
        inner = "".join(self._pieces(node.children))
        if tag == "a":
            return self._link(node, inner)
        if tag == "q":
            return f"“{inner.strip()}”"
        if tag == "rt":
            return f" ({inner.strip()}) "
        if tag == "sup" and inner.strip().replace("-", "").isalnum() and len(inner) < 8:
            return f"^{inner.strip()}"
        mark = "" if self.is_plain else _MARKS.get(tag, "")
        return _wrapped(inner, mark)

    def _link(self, node: Node, inner: str) -> str:
        if self.is_plain or not (url := self.targets.elsewhere(node.get("href"))):
            return inner
        text = " ".join(inner.replace(_BREAK, " ").split())
        if not text:
            return ""
        if text == url:
            return f"<{url}>"
        # Brackets in its text would end it early; those of a picture in it belong to it.
        if not text.startswith("!["):
            text = text.replace("[", "\\[").replace("]", "\\]")
        before = " " if inner[:1].isspace() else ""
        after = " " if inner[-1:].isspace() else ""
        return f"{before}[{text}]({_in_brackets(url)}){after}"

    def _picture(self, node: Node) -> str:
        alt = " ".join(node.get("alt").split())[:300]
        if not alt or node.get("width") in ("0", "1") or node.get("height") in ("0", "1"):
            return ""
        if self.is_plain:
            return f"[{alt}]"
        url = self.targets.picture(node)
        text = alt.replace("[", "(").replace("]", ")")
        return f"![{text}]({_in_brackets(url)})" if url else f"![{text}]()"

    def _box(self, node: Node) -> str:
        if node.get("type").lower() not in ("checkbox", "radio"):
            return ""
        return "[x] " if "checked" in node.attributes else "[ ] "

    def _formula(self, node: Node) -> str:
        tex = next(
            (
                each.text()
                for each in node.walk()
                if each.tag == "annotation" and each.get("encoding").lower() in _TEX
            ),
            node.get("alttext"),
        )
        tex = " ".join(tex.split())[:4000] or _without_annotations(node)
        if self.is_plain or not tex:
            return tex
        return f"$${tex}$$" if node.get("display") == "block" else f"${tex}$"

    def _code(self, node: Node) -> str:
        text = node.text()
        if self.is_plain or not text:
            return text
        fence = "`" * (1 + max((len(each) for each in _FENCE_RUN.findall(text)), default=0))
        edge = " " if text.startswith("`") or text.endswith("`") else ""
        return f"{fence}{edge}{text}{edge}{fence}"

    def _note(self, node: Node) -> str | None:
        """The label of the footnote that a raised link leads to."""
        for each in node.walk():
            if each.tag == "a" and each.get("href").startswith("#"):
                return self.footnotes.get(each.get("href")[1:])
        return None


def _wrapped(inner: str, mark: str) -> str:
    text = inner.strip()
    if not mark or not text or _BREAK in text or text.startswith(mark):
        return inner
    before = " " if inner[:1].isspace() else ""
    after = " " if inner[-1:].isspace() else ""
    return f"{before}{mark}{text}{mark}{after}"


def _not_a_block(text: str) -> str:
    """Words that happen to begin as a heading, a quotation or a list do are not one."""
    return "\n".join(
        f"\\{line}" if _STARTS_BLOCK.match(line) and not line[0].isdigit() else _numbered(line)
        for line in text.split("\n")
    )


def _numbered(line: str) -> str:
    if line[:1].isdigit() and (found := _STARTS_BLOCK.match(line)):
        return f"{found[0][:-1]}\\{found[0][-1]}{line[found.end() :]}"
    return line


def _in_brackets(url: str) -> str:
    is_plain = url.startswith("data:") or not ("(" in url or ")" in url)
    return url if is_plain else f"<{url}>"


def _without_annotations(node: Node) -> str:
    return " ".join(
        " ".join(each.split())
        for child in node.walk()
        if child.tag not in ("annotation", "annotation-xml")
        for each in child.children
        if isinstance(each, str) and each.strip()
    )
