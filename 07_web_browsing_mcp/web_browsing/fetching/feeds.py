"""RSS and Atom as markdown. Pure; never raises.

Source: RFC 4287 (Atom); the RSS 2.0 specification; RSS 1.0.
"""

from dataclasses import dataclass
from urllib.parse import urljoin

from web_browsing.fetching.trees import Element, text_of, xml_tree
from web_browsing.reading.page import read_html

MAX_ITEMS = 500
MAX_SUMMARY_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Item:
    title: str
    url: str | None
    at: str | None
    summary: str


@dataclass(frozen=True, slots=True)
class Feed:
    title: str
    description: str | None
    items: tuple[Item, ...]
    more: int = 0
    """How many items are left out."""

    def markdown(self) -> str:
        blocks = [f"# {self.title}", *([self.description] if self.description else [])]
        for each in self.items:
            title = each.title.replace("[", "(").replace("]", ")") or "(no title)"
            blocks.append(f"## [{title}]({each.url})" if each.url else f"## {title}")
            blocks.extend(part for part in (each.at, each.summary) if part)
        return "\n\n".join(blocks)


def read_feed(body: bytes, url: str) -> Feed | None:
    """The feed that the bytes are; None where they are none."""
    root = xml_tree(body)
    if root is None or _name(root) not in ("rss", "feed", "RDF"):
        return None
    channel = root if _name(root) == "feed" else _child(root, "channel")
    if channel is None:
        return None
    above = root if _name(root) == "RDF" else channel
    found = [each for each in above if _name(each) in ("item", "entry")]
    return Feed(
        title=_text(channel, "title") or "(no title)",
        description=_text(channel, "description", "subtitle") or None,
        items=tuple(_item(each, url) for each in found[:MAX_ITEMS]),
        more=max(0, len(found) - MAX_ITEMS),
    )


def _item(item: Element, url: str) -> Item:
    target = _text(item, "link")
    for each in item:
        href = each.get("href")
        if _name(each) == "link" and href and each.get("rel") in (None, "alternate"):
            target = href
            break
    absolute = urljoin(url, target) if target else ""
    summary = _plain(_text(item, "description", "summary", "content", "encoded"), url)
    return Item(
        title=_plain(_text(item, "title"), url),
        url=absolute if absolute.startswith(("http://", "https://")) else None,
        at=_text(item, "pubDate", "published", "updated", "date") or None,
        summary=summary[:MAX_SUMMARY_CHARS] + ("…" if len(summary) > MAX_SUMMARY_CHARS else ""),
    )


def _name(element: Element) -> str:
    """Without its namespace; comments have none."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def _child(
    element: Element,
    name: str,
) -> Element | None:
    return next((each for each in element if _name(each) == name), None)


def _text(element: Element, *names: str) -> str:
    for name in names:
        found = _child(element, name)
        if found is not None:
            text = text_of(found)
            if text:
                return text
    return ""


def _plain(text: str, url: str) -> str:
    """Without the HTML that feeds put into their texts, and without what that hides."""
    if "<" not in text:
        return text
    return " ".join(read_html(text[:50_000], url, "text", whole=True).text.split())
