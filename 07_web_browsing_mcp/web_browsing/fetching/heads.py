"""What stands in a page's head beyond what `About` knows: feeds, icons, robots, cards. Pure."""

import json
from collections import deque
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import urljoin

from web_browsing.fetching.orders import Head
from web_browsing.fetching.trees import Element, html_tree

MAX_OF_EACH = 30
MAX_VALUE_CHARS = 500
_FEEDS = {"application/rss+xml", "application/atom+xml", "application/feed+json"}


def head_of(html: str, url: str) -> Head:
    """Never raises for a page, however broken; all values are cut to MAX_VALUE_CHARS."""
    tree = html_tree(html)
    if tree is None:
        return Head()
    feeds: list[str] = []
    icons: list[str] = []
    languages: dict[str, str] = {}
    for link in tree.iter("link"):
        rel = (link.get("rel") or "").lower().split()
        target = _absolute(link.get("href"), url)
        if target is None:
            continue
        if "alternate" in rel and (link.get("type") or "").lower() in _FEEDS:
            feeds.append(target)
        elif "alternate" in rel and link.get("hreflang"):
            languages[str(link.get("hreflang"))[:40]] = target
        elif "icon" in rel or "apple-touch-icon" in rel:
            icons.append(target)
    said = [
        (str(each.get("property") or each.get("name") or "").lower(), str(each.get("content")))
        for each in tree.iter("meta")
        if each.get("content")
    ]
    graph = {name[:60]: value[:MAX_VALUE_CHARS] for name, value in said if name.startswith("og:")}
    robots = [value for name, value in said if name == "robots"]
    return Head(
        feeds=_first(feeds),
        icons=_first(icons),
        robots=", ".join(robots)[:MAX_VALUE_CHARS] or None,
        open_graph=dict(list(graph.items())[:MAX_OF_EACH]),
        schema_types=_first(_types(tree)),
        languages=dict(list(languages.items())[:MAX_OF_EACH]),
    )


def _absolute(target: str | None, url: str) -> str | None:
    try:
        absolute = urljoin(url, (target or "").strip())
    except ValueError:
        return None
    fits = target and absolute.startswith(("http://", "https://")) and len(absolute) <= 2000
    return absolute if fits else None


def _types(tree: Element) -> list[str]:
    """schema.org's types, of JSON-LD."""
    found: list[str] = []
    for script in tree.iter("script"):
        if (script.get("type") or "").lower() != "application/ld+json":
            continue
        try:
            found.extend(_types_in(json.loads(script.text or "")))
        except (ValueError, RecursionError):
            continue
    return found


def _types_in(data: Any) -> Iterator[str]:
    waiting = deque([data])
    for _ in range(10_000):
        if not waiting:
            return
        each = waiting.popleft()
        if isinstance(each, list):
            waiting.extend(cast("list[Any]", each))
        elif isinstance(each, dict):
            members = cast("dict[str, Any]", each)
            said = members.get("@type")
            for one in cast("list[Any]", said) if isinstance(said, list) else [said]:
                if isinstance(one, str):
                    yield one[:100]
            waiting.extend(value for key, value in members.items() if key != "@type")


def _first(values: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value[:2000] for value in values))[:MAX_OF_EACH]
