"""Trees of HTML and XML as lxml makes them, with the few members that are used here typed.

lxml has no types of its own.
"""

# pyright: reportAttributeAccessIssue=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from collections.abc import Iterator
from typing import Protocol, cast

from lxml import etree
from lxml import html as lxml_html


class Element(Protocol):
    tag: object
    """A string, or a function for comments and the like."""
    text: str | None

    def get(self, key: str) -> str | None: ...
    def iter(self, tag: str) -> "Iterator[Element]": ...
    def itertext(self) -> Iterator[str]: ...
    def __iter__(self) -> "Iterator[Element]": ...


def html_tree(html: str) -> Element | None:
    """None where there is nothing that could be one."""
    parser = lxml_html.HTMLParser(encoding="utf-8")
    try:
        tree = lxml_html.document_fromstring(html.encode(errors="replace"), parser=parser)
    except (etree.ParserError, ValueError):
        return None
    return cast("Element", tree)


def xml_tree(body: bytes) -> Element | None:
    """Broken XML is mended; no entity is resolved and nothing loaded, as strangers may ask."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=True
    )
    try:
        tree = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
    return cast("Element | None", tree)


def text_of(element: Element) -> str:
    """All of it in one line."""
    return " ".join("".join(element.itertext()).split())
