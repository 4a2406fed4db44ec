"""Where a page's links and pictures lead: absolute, http or https, and short enough. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from web_browsing.reading.data_uris import cut_data
from web_browsing.reading.tree import Node

MAX_URL_LENGTH = 2000
_SLASHES = re.compile(r"(https?:)/{2,}", re.IGNORECASE)
_TO_QUOTE = re.compile(r"[^!#$%&'*+,\-./0-9:;=?@A-Z\[\]_a-z~\u00a1-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Targets:
    """Makes URLs of one page absolute; `base` is the page's URL, or what its <base> says."""

    base: str
    page: str

    def absolute(self, raw: str) -> str | None:
        """An http or https URL; None for all other schemes and for what is none."""
        # As browsers do by the URL standard: such characters are dropped wherever they stand, so
        # that `java\tscript:` is `javascript:`, and `\\` is a slash, of which there may be more.
        target = re.sub(r"[\t\n\r]", "", raw).strip()
        path = re.split("[?#]", target, maxsplit=1)[0]
        target = _SLASHES.sub(r"\1//", path.replace("\\", "/"), count=1) + target[len(path) :]
        if not target or len(target) > MAX_URL_LENGTH:
            return None
        try:
            url = urljoin(self.base, target)
            parts = urlsplit(url)
        except ValueError:
            return None
        if parts.scheme not in ("http", "https") or not parts.netloc or len(url) > MAX_URL_LENGTH:
            return None
        return _TO_QUOTE.sub(lambda found: quote(found[0], safe=""), url)

    def elsewhere(self, raw: str) -> str | None:
        """The same, and None for a place on the page itself."""
        url = None if raw.lstrip().startswith("#") else self.absolute(raw)
        if url is None or ("#" in url and url.partition("#")[0] == self.page.partition("#")[0]):
            return None
        return url

    def picture(self, node: Node) -> str | None:
        """An image's URL, also where the page loads it late; a data URI is named, and cut."""
        late = (node.get("data-src"), node.get("data-original"), node.get("data-lazy-src"))
        for raw in (*late, node.get("src"), *_candidates(node.get("srcset"))):
            if raw.lstrip().lower().startswith("data:"):
                continue
            if url := self.absolute(raw):
                return url
        source = node.get("src").strip()
        return cut_data(source) if source.lower().startswith("data:") else None


def targets_of(root: Node, url: str) -> Targets:
    """`url` is the page's own."""
    page = Targets(url, url)
    for node in root.walk():
        if node.tag == "base" and node.get("href"):
            # The HTML standard: the first one counts, and only one with a URL of the web.
            return Targets(page.absolute(node.get("href")) or url, url)
        if node.tag == "body":
            break
    return page


def _candidates(srcset: str) -> Iterator[str]:
    for candidate in srcset.split(",")[:20]:
        if words := candidate.split():
            yield words[0]
