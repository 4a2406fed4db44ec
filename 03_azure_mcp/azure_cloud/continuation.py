"""Lists over `nextLink`: as many of Azure's pages as ours needs, and a cursor that leads on.

A cursor holds what the next link adds to the query of the list, never an address: a forged one can
reach nothing but another place in the same list.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Annotated, Any, TypeVar, cast
from urllib.parse import parse_qsl, unquote

from pydantic import Field

from azure_cloud.arm import NOTHING, Arm, Query
from azure_cloud.links import at_home
from flotilla import (
    Context,
    InvalidArgument,
    Model,
    Page,
    UpstreamError,
    decode_cursor,
    encode_cursor,
)
from flotilla.meta import members

MAX_PAGE_BYTES = 40 * 1024
"""Of one page's items as JSON: below what a result may have, with its frame."""
MOST_PAGES = 10
"""Of Azure's for one of ours, where it sends pages that are nearly empty."""
FITTING = 150
"""Items that are asked for at once where a list takes $top: hardly more fit into one answer."""
MOST_TOP = 1000
MOST_SKIPPED = 100_000
_MOST_ADDED = 6
_MOST_CHARS = 4096

LongCursor = Annotated[
    str | None,
    Field(max_length=8192, description="`nextCursor` of the page before; leave out for the first."),
]

Item = TypeVar("Item", bound=Model)
Position = tuple[dict[str, str] | None, int]
"""What to add to the query for a page of Azure's, and how many of its items to leave out."""


def following(endpoint: str, path: str, query: Query, next_link: Any) -> dict[str, str] | None:
    """What the next page adds to the query; None where there is no next page.

    Raises UpstreamError where the link leads to another host or list: it would be followed with
    our token.
    """
    if not next_link:
        return None
    link = at_home(str(next_link), endpoint)
    if link is None:
        raise _strange("to another host")
    # Services change the case of paths as they like.
    if unquote(link.path).rstrip("/").lower() != unquote(path).rstrip("/").lower():
        raise _strange("out of the list")
    known = {name.lower() for name in query} | {"api-version"}
    added = {name: value for name, value in parse_qsl(link.query) if name.lower() not in known}
    if not added or not _bounded(added):
        raise _strange("nowhere")
    return added


async def listed(
    arm: Arm,
    context: Context,
    *,
    path: str,
    version: str,
    shown: Callable[[dict[str, Any]], Item | None],
    limit: int,
    cursor: str | None,
    query: Query = NOTHING,
    top: bool = False,
) -> Page[Item]:
    """One page of ours; `shown` makes an item of one of Azure's, or None of one to leave out.

    `top`: the list takes $top. Raises InvalidArgument for a cursor of another list.
    """
    kind = kind_of(path, query)
    more, skip = start_of(kind, cursor)
    items: list[Item] = []
    size = 0
    for _ in range(MOST_PAGES):
        if more is None:
            break
        own = {**query, "$top": str(min(min(limit, FITTING) + skip, MOST_TOP))} if top else query
        # What the list itself asks comes last: no cursor has another question put.
        body: Any = await arm.get(path, version, context, {**more, **own})
        values = _values(body)
        for index in range(skip, len(values)):
            item = shown(values[index])
            if item is None:
                continue
            size += size_of(item)
            if len(items) >= limit or (items and size > MAX_PAGE_BYTES):
                return page_until(kind, items, (more, index))
            items.append(item)
        more, skip = following(arm.endpoint, path, own, body.get("nextLink")), 0
        if len(items) >= limit:
            break
    return page_until(kind, items, None if more is None else (more, 0))


def kind_of(path: str, query: Mapping[str, Any]) -> str:
    """What a cursor of that list begins with, so that another list does not take it."""
    told = repr((path.lower(), sorted(query.items()))).encode()
    return f"az:{sha256(told).hexdigest()[:12]}"


def start_of(kind: str, cursor: str | None) -> tuple[dict[str, str] | None, int]:
    """Where a page begins."""
    if cursor is None:
        return {}, 0
    position: Any = decode_cursor(kind, cursor)
    if isinstance(position, list) and len(cast("list[Any]", position)) == 2:
        added, skip = cast("tuple[Any, Any]", position)
        if isinstance(skip, int) and 0 <= skip < MOST_SKIPPED and _bounded(added):
            return added, skip
    raise InvalidArgument("cursor is not one that this tool gave out")


def page_until(kind: str, items: list[Item], position: Position | None) -> Page[Item]:
    """The page, and the cursor of what follows it."""
    return Page[Item](
        items=items,
        returned=len(items),
        next_cursor=None if position is None else encode_cursor(kind, position),
        truncated=position is not None,
    )


def size_of(item: Model) -> int:
    """Bytes of an item as it is sent, with its comma."""
    return len(item.model_dump_json(by_alias=True, exclude_none=True).encode()) + 1


def _values(body: Any) -> list[dict[str, Any]]:
    values: Any = cast("dict[str, Any]", body).get("value") if isinstance(body, dict) else None
    if not isinstance(values, list):
        raise UpstreamError("Azure's answer is no list", details={"reason": "broken_answer"})
    return cast("list[dict[str, Any]]", values)


def _bounded(added: Any) -> bool:
    pairs = members(added)
    return (
        isinstance(added, dict)
        and len(pairs) <= _MOST_ADDED
        and all(isinstance(value, str) for value in pairs.values())
        and "api-version" not in {name.lower() for name in pairs}
        and sum(len(name) + len(str(value)) for name, value in pairs.items()) <= _MOST_CHARS
    )


def _strange(where: str) -> UpstreamError:
    return UpstreamError(
        f"Azure's next page leads {where}, and is not followed", details={"reason": "strange_link"}
    )
