"""What is told of a page that was read: its text, what is said about it, where it leads."""

from dataclasses import dataclass
from typing import Literal

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
