"""Pages of lists: `limit` (50, at most 500), an opaque `cursor`, and `{items, returned, ...}`."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar

import orjson
from pydantic import Field

from flotilla.errors import InvalidArgument
from flotilla.model import Model

DEFAULT_LIMIT = 50
MAX_LIMIT = 500

Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="How many items to return at most.")]
Cursor = Annotated[
    str | None,
    Field(max_length=2048, description="`nextCursor` of the page before; leave out for the first."),
]

Item = TypeVar("Item")


class Page(Model, Generic[Item]):
    """One page of a list; `nextCursor` is there when more follows, `truncated` says the same."""

    items: list[Item]
    returned: int
    next_cursor: str | None = None
    total: int | None = None
    truncated: bool = False


def encode_cursor(kind: str, position: Any) -> str:
    """An opaque cursor for `position` (JSON); `kind` names the list that it belongs to."""
    return base64.urlsafe_b64encode(orjson.dumps([kind, position])).decode().rstrip("=")


def decode_cursor(kind: str, cursor: str) -> Any:
    """The position that `encode_cursor` was given; InvalidArgument for any other string."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        value = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        value = None
    if not isinstance(value, list) or len(value) != 2 or value[0] != kind:  # pyright: ignore[reportUnknownArgumentType]
        raise InvalidArgument(
            "cursor is not one that this tool gave out",
            hint="Pass nextCursor of the page before unchanged, or leave cursor out.",
        )
    return value[1]  # pyright: ignore[reportUnknownVariableType]


def page_of(
    kind: str, items: Sequence[Item], *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
) -> Page[Item]:
    """The page of a list that is wholly in memory; the cursor holds an offset."""
    start = 0 if cursor is None else decode_cursor(kind, cursor)
    if not isinstance(start, int) or isinstance(start, bool) or start < 0:
        raise InvalidArgument("cursor is not one that this tool gave out")
    part = list(items[start : start + limit])
    end = start + len(part)
    more = end < len(items)
    return Page[Item](
        items=part,
        returned=len(part),
        next_cursor=encode_cursor(kind, end) if more else None,
        total=len(items),
        truncated=more,
    )
