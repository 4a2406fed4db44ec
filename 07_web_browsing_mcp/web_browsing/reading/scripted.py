"""Whether a page says next to nothing without its JavaScript. Pure."""

import re

from web_browsing.reading.hidden import NEVER_TEXT
from web_browsing.reading.tree import Node, Parsed, names

FEW = 200
"""Characters of text; pages that say something in plain HTML have more."""
_SOME = 800
_ROOTS = names("root app __next __nuxt ___gatsby svelte app-root react-root main-app mount q-app")
_ROOT_TAGS = frozenset({"app-root", "my-app", "app-main"})
_ASKS = re.compile(
    r"(?:enable|activate|turn on|requires?|needs?|without|allow|supports?)\W{1,3}"
    r"(?:\w+\W{1,3}){0,3}"
    r"java\s?script|java\s?script (?:is|must be|to be|seems to be) "
    r"(?:required|disabled|enabled|needed|turned off|not available)",
    re.IGNORECASE,
)


def needs_script(page: Parsed) -> bool:
    """Whether it has scripts, little text, and the mark of an application or a plea for scripts."""
    if not page.scripts:
        return False
    shown = visible_text(page.root)
    if len(shown) > _SOME:
        return False
    if _ASKS.search(shown) or (len(shown) <= FEW and _ASKS.search(noscript_text(page.root))):
        return True
    if len(shown) > FEW:
        return False
    return len(shown) < FEW // 4 or any(_is_empty_root(node) for node in page.root.walk())


def keeps_noscript(page: Parsed) -> bool:
    """Whether what stands in `noscript` is all that can be read of a page."""
    return len(visible_text(page.root)) < FEW < len(noscript_text(page.root))


def visible_text(root: Node) -> str:
    """The first of the page's text outside of `noscript`."""
    told: list[str] = []
    length = 0
    pending: list[Node | str] = [root]
    while pending and length <= 2 * _SOME:
        each = pending.pop()
        if isinstance(each, str):
            told.append(each)
            length += len(each.strip())
        elif each.tag != "noscript" and each.tag not in NEVER_TEXT:
            told.append(" ")
            pending += reversed(each.children)
    return " ".join("".join(told).split())


def noscript_text(root: Node) -> str:
    """What is shown in the body where there are no scripts."""
    told = (each.text() for each in root.walk() if each.tag == "noscript")
    return " ".join(each for each in told if each and "<" not in each)[:4000]


def _is_empty_root(node: Node) -> bool:
    if node.get("id").lower() not in _ROOTS and node.tag not in _ROOT_TAGS:
        return False
    return len(visible_text(node)) < FEW
