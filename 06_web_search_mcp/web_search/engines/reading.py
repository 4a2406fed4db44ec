"""The results of a page: read by the classes of ddgs, but into items that keep what the page says.

ddgs's own results decode addresses once too often (`%2520` ends as a space, `%3F` as `?`), and some
of its engines take "5 hours ago" for five days.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import import_module
from typing import Any
from urllib.parse import quote, urlsplit

from flotilla.json_text import from_json
from web_search.engine import Found, Kind
from web_search.engines.texts import moment, moment_ago, number, web_url

MAX_TEXT_CHARS = 2000
"""Of a title or snippet: some engines answer with whole articles."""


class Item:
    """A result as the page has it; what the page does not have is empty."""

    def __init__(self, **said: Any) -> None:
        self.said_at: Any = ""
        self.__dict__.update(said)

    def __getattr__(self, name: str) -> Any:
        # Only asked for what was never set.
        if name.startswith("_"):
            raise AttributeError(name)
        return ""


Read = Callable[[Any, str], list[Any]]
"""The items of a page by an engine of ddgs."""


def by_ddgs(engine: Any, page: str) -> list[Any]:
    """As the engine does it, whose results are `Item`s where `reads_items` made it."""
    return list(engine.extract_results(page))


def by_names(engine: Any, page: str) -> list[Any]:
    """JSON with `results`, whose members the engine has names for."""
    names: Mapping[str, str] = engine.elements_replace
    items = list[Any]()
    for row in from_json(page.encode())["results"]:
        items.append(Item(**{ours: row.get(theirs) for theirs, ours in names.items()}))
    return items


def bing_images(engine: Any, page: str) -> list[Any]:
    """Bing's pictures, each described in JSON beside it."""
    items = list[Any]()
    for node in engine.extract_tree(page).xpath(engine.items_xpath):
        said = node.xpath(".//a[@m]/@m")
        if not said:
            continue
        told = from_json(said[0].encode())
        sizes = node.xpath(".//div[contains(@class, 'img_info')]/span[@class='nowrap']/text()")
        # A multiplication sign between the numbers, or the letter.
        size = "".join(sizes[:1]).replace("\N{MULTIPLICATION SIGN}", "x")
        width, _, rest = size.partition("x")
        items.append(
            Item(
                title=told.get("t"),
                url=told.get("purl"),
                image=told.get("murl"),
                thumbnail=told.get("turl"),
                width=width.strip(),
                height=(rest.split() or [""])[0],
                source="".join(node.xpath(".//div[@class='lnkw']//a/text()")[:1]),
            )
        )
    return items


def reads_items(engine: Any) -> Any:
    """The engine's class, made to read into `Item`."""

    class Reading(engine):
        result_type = Item

    return Reading


def as_it_is(url: str) -> str:
    return url


def quoted_again(url: str) -> str:
    """The path of an address that was decoded, encoded again, `?` and `#` included."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    start = f"{parts.scheme}://{parts.netloc}"
    return start + quote(url.removeprefix(start), safe="/:@!$&'()*+,;=~_-.")


def found_of(
    kind: Kind,
    item: Any,
    now: datetime,
    *,
    address: Callable[[str], str],
    text: Callable[[Any], str],
) -> Found | None:
    """The result; None for one without a title or an address, as advertisements are.

    `address` mends its address; `text` makes plain what it says.
    """
    url = web_url(item.href if kind == "web" else item.url)
    title = text(item.title)[:MAX_TEXT_CHARS]
    # ddgs's own results of the web have no such member.
    source = text(getattr(item, "source", ""))[:MAX_TEXT_CHARS] or None
    if kind == "images":
        return _image(item, title, url, source)
    if not url or not title:
        return None
    snippet = text(item.body)[:MAX_TEXT_CHARS]
    if kind == "web":
        return Found(title=title, url=address(url), snippet=snippet)
    return Found(
        title=title,
        url=address(url),
        snippet=snippet,
        source=source,
        published_at=moment(item.said_at) or moment_ago(item.said_at, now),
        image_url=web_url(item.image) or None,
    )


def _image(item: Any, title: str, url: str, source: str | None) -> Found | None:
    image = web_url(item.image)
    if not image:
        return None
    return Found(
        title=title,
        url=url or image,
        source=source,
        image_url=image,
        thumbnail_url=web_url(item.thumbnail) or None,
        width=number(item.width),
        height=number(item.height),
    )


def tree_of(page: str) -> Any:
    """The parsed page; None where there is nothing to parse."""
    html: Any = import_module("lxml.html")
    try:
        return html.document_fromstring(page.encode(), parser=html.HTMLParser(encoding="utf-8"))
    except unreadable():
        return None


def unreadable() -> tuple[type[Exception], ...]:
    """What ddgs and its parsers raise over a page that is not the one they expect."""
    etree: Any = import_module("lxml.etree")
    lxml_error: type[Exception] = etree.LxmlError
    from ddgs.exceptions import DDGSException

    return (
        DDGSException,
        lxml_error,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        StopIteration,
        RecursionError,
    )
