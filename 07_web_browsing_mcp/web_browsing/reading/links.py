"""The links of a page, in its order. Pure."""

from collections.abc import Iterator

from flotilla.sizes import strip_invisible
from web_browsing.reading.data_uris import cut_data
from web_browsing.reading.shapes import Link
from web_browsing.reading.targets import Targets
from web_browsing.reading.tree import Node

MAX_LINKS = 2000
MAX_TEXT_LENGTH = 200


def links(root: Node, targets: Targets) -> tuple[Link, ...]:
    """Each URL once, with the first words that it stands behind; at most MAX_LINKS."""
    found: dict[str, Link] = {}
    for node in root.walk():
        if node.tag not in ("a", "area") or not node.get("href"):
            continue
        if (url := targets.elsewhere(node.get("href"))) is None:
            continue
        known = found.get(url)
        if known is None and len(found) == MAX_LINKS:
            break
        if known is None or not known.text:
            found[url] = Link(url, _words(node), " ".join(node.get("rel").lower().split()) or None)
    return tuple(found.values())


def _words(node: Node) -> str:
    told = " ".join(" ".join(_pieces(node)).split()) or node.get("aria-label") or node.get("title")
    text = cut_data(strip_invisible(" ".join(told.split())))
    return f"{text[: MAX_TEXT_LENGTH - 1]}…" if len(text) > MAX_TEXT_LENGTH else text


def _pieces(node: Node) -> Iterator[str]:
    length = 0
    for each in node.walk():
        told = [child for child in each.children if isinstance(child, str)]
        yield from told
        if each.tag == "img":
            yield each.get("alt")
        # A link around a whole page says its first words.
        length += sum(len(text) for text in told)
        if length > 2 * MAX_TEXT_LENGTH:
            return
