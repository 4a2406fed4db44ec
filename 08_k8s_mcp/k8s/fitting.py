"""How much of a list an answer holds. Pure."""

from collections.abc import Sequence
from typing import TypeVar

from flotilla.model import Model
from flotilla.paging import Page, page_of

Entry = TypeVar("Entry", bound=Model)

MAX_ANSWER_BYTES = 46 * 1024
"""Of 48 KB, less what stands around the entries."""


def how_many_fit(entries: Sequence[Model]) -> int:
    """How many of them, from the first on, an answer can hold."""
    left = MAX_ANSWER_BYTES
    for count, entry in enumerate(entries):
        left -= len(entry.model_dump_json(by_alias=True, exclude_none=True).encode()) + 1
        if left < 0:
            return count
    return len(entries)


def fitting_page(
    kind: str, entries: Sequence[Entry], *, limit: int, cursor: str | None
) -> Page[Entry]:
    """As `flotilla.paging.page_of`, with no more entries than an answer can hold."""
    page = page_of(kind, entries, limit=limit, cursor=cursor)
    fit = how_many_fit(page.items)
    if fit >= len(page.items):
        return page
    return page_of(kind, entries, limit=max(1, fit), cursor=cursor)
