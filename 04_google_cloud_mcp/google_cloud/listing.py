"""Pages of what Google lists, no more of them than asked for, and what is missing in them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Generic, TypeVar, cast

from pydantic import Field

from flotilla import InvalidArgument, Model, Page, decode_cursor, encode_cursor
from flotilla.json_text import to_json

MAX_PAGE_BYTES = 40 * 1024
"""Of the items alone; an answer stays below 48 KB."""
MAX_EMPTY_PAGES = 10
"""Google may answer a page with nothing in it and a token for the next; so many are followed."""
AT_ONCE = 150
"""More of them seldom fit into an answer, and what does not would be asked for again."""

Item = TypeVar("Item", bound=Model)


class Listing(Page[Item], Generic[Item]):
    """A page; `unreachable` are zones that did not answer Google, whose items are missing here."""

    unreachable: list[str] = Field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class Batch(Generic[Item]):
    """One page of Google's."""

    items: Sequence[Item]
    next_token: str = ""
    unreachable: Sequence[str] = ()


Fetch = Callable[[str, int], Awaitable[Batch[Item]]]
"""Asks Google for one page: `(page token or "", at most so many items)`."""


async def listed(kind: str, fetch: Fetch[Item], *, limit: int, cursor: str | None) -> Listing[Item]:
    """One page of ours. Where not all of Google's page fits, the cursor says how far we are in it.

    `kind` names the list and what was asked of it, so that a cursor serves no other one.
    """
    kind = sha256(kind.encode()).hexdigest()[:16]
    token, offset, before = _position(kind, cursor)
    unreachable: dict[str, None] = {}
    size = min(limit, AT_ONCE)
    # A page that was shown in part is asked for as it was: with another length it has other items,
    # since Google goes through zones in an order of its own.
    asked = before or size
    batch = await fetch(token, asked)
    unreachable.update(dict.fromkeys(batch.unreachable))
    for _ in range(MAX_EMPTY_PAGES):
        if len(batch.items) > offset or not batch.next_token:
            break
        token, offset, asked = batch.next_token, 0, size
        batch = await fetch(token, asked)
        unreachable.update(dict.fromkeys(batch.unreachable))
    rest = batch.items[offset:]
    shown = fitting(rest[:size])
    following: list[Any] | None = None
    if shown < len(rest):
        following = [token, offset + shown, asked]
    elif batch.next_token:
        following = [batch.next_token, 0, 0]
    return Listing[Item](
        items=list(rest[:shown]),
        returned=shown,
        next_cursor=None if following is None else encode_cursor(kind, following),
        truncated=following is not None,
        unreachable=list(unreachable)[:100],
    )


def fitting(items: Sequence[Model], max_bytes: int = MAX_PAGE_BYTES) -> int:
    """How many of the items fit into an answer; one at least, where there is one."""
    size = 0
    for count, item in enumerate(items):
        size += len(to_json(item.model_dump(mode="json", exclude_none=True))) + 1
        if size > max_bytes and count > 0:
            return count
    return len(items)


def scoped(page: Any, member: str) -> tuple[list[Any], list[str]]:
    """The items of all scopes of an aggregated page, and the scopes that did not answer.

    In the order of the scopes' names: a map has none of its own, and a cursor counts.
    """
    items: list[Any] = []
    missing = [_scope(each) for each in page.unreachables]
    for scope in sorted(page.items):
        inside = page.items[scope]
        if inside.warning.code == "UNREACHABLE":
            missing.append(_scope(scope))
        items.extend(getattr(inside, member))
    return items, missing


def _scope(address: str) -> str:
    return address.rsplit("/", 1)[-1]


def _position(kind: str, cursor: str | None) -> tuple[str, int, int]:
    """Google's token, how many items of its page were shown, and how many it was asked for."""
    if cursor is None:
        return "", 0, 0
    position = decode_cursor(kind, cursor)
    if isinstance(position, list) and len(cast("list[Any]", position)) == 3:
        token, offset, asked = cast("list[Any]", position)
        numbers = isinstance(offset, int) and isinstance(asked, int)
        if isinstance(token, str) and numbers and offset >= 0 and 0 <= asked <= AT_ONCE:
            return token, offset, asked
    raise InvalidArgument("cursor is not one that this tool gave out")
