"""A page as it is read: its text, what is said about it, where it leads."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urljoin

import trafilatura
from lxml import html as lxml_html

from flotilla.sizes import strip_invisible

Form = Literal["markdown", "text", "html"]


@dataclass(frozen=True, slots=True)
class Link:
    """Where a page leads: an absolute http or https URL, and the words that it stands behind."""

    url: str
    text: str
    rel: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a page says of itself."""

    title: str | None = None
    author: str | None = None
    published_at: str | None = None
    """As ISO 8601, a date or a moment."""
    modified_at: str | None = None
    language: str | None = None
    site_name: str | None = None
    description: str | None = None
    canonical_url: str | None = None
    image_url: str | None = None
    kind: str | None = None
    """og:type or schema.org's @type: `article`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A page that was read. All text is without invisible characters and hidden elements."""

    about: About
    text: str
    """In the form that was asked for; data URIs are cut out."""
    links: tuple[Link, ...] = ()
    notes: tuple[str, ...] = ()
    """What a careful reader should know: that elements were hidden, that something in the text
    speaks to a model."""
    needs_script: bool = False
    """It says next to nothing without its JavaScript."""


def read_html(html: str, url: str, form: Form = "markdown", *, whole: bool = False) -> Read:
    """Read a page; `url` is where it was found, for its relative links.

    The main text alone, unless `whole`: then everything that a person would see. Never raises for
    a page, however broken; takes time in proportion to its size.
    """
    text = html.replace("\0", "").strip()
    if not text:
        return Read(about=About(), text="")
    try:
        tree = lxml_html.document_fromstring(
            text.encode(), parser=lxml_html.HTMLParser(encoding="utf-8")
        )
    except (ValueError, lxml_html.etree.ParserError):
        return Read(about=About(), text="")
    format_ = {"markdown": "markdown", "text": "txt", "html": "html"}[form]
    main = (
        None
        if whole
        else trafilatura.extract(
            tree,
            url=url,
            output_format=format_,
            include_links=form != "text",
            include_tables=True,
            include_comments=False,
        )
    )
    about = trafilatura.extract_metadata(tree, url)
    links: dict[str, Link] = {}
    for each in tree.iter("a"):
        target = urljoin(url, each.get("href") or "")
        if target.startswith(("http://", "https://")):
            links.setdefault(target, Link(target, " ".join(each.text_content().split())))
    for each in tree.xpath("//script|//style|//template"):
        each.drop_tree()
    return Read(
        about=About(
            title=about.title,
            author=about.author,
            published_at=about.date,
            language=tree.get("lang"),
            site_name=about.sitename,
            description=about.description,
        ),
        text=strip_invisible(
            main
            or "\n".join(
                " ".join(line.split()) for line in tree.text_content().splitlines() if line.strip()
            )
        ),
        links=tuple(links.values())[:2000],
        needs_script=not main and "<script" in html,
    )
