"""What the reader's process is asked for and what it answers, for both sides of it.

Nothing heavy is loaded with it: the libraries that read pages are in that process alone.
"""

from dataclasses import dataclass, field

from web_browsing.fetching.kinds import Kind
from web_browsing.reading.shapes import About, Form, Link


@dataclass(frozen=True, slots=True)
class Head:
    feeds: tuple[str, ...] = ()
    icons: tuple[str, ...] = ()
    robots: str | None = None
    open_graph: dict[str, str] | None = None
    schema_types: tuple[str, ...] = ()
    languages: dict[str, str] | None = None
    """Where the page is in other languages, by the language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How a body is to be read."""

    kind: Kind
    url: str
    content_type: str = ""
    form: Form = "markdown"
    whole: bool = False
    with_head: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a body says; paging is over its `text`."""

    text: str
    about: About = field(default_factory=About)
    links: tuple[Link, ...] = ()
    notes: tuple[str, ...] = ()
    needs_script: bool = False
    head: Head | None = None
