"""Lists in pages, with cursors that say nothing to who reads them."""

import base64
from collections.abc import Sequence
from typing import TypeVar

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

Item = TypeVar("Item")


def page(items: Sequence[Item], cursor: str | None, size: int) -> tuple[list[Item], str | None]:
    """The items from the cursor on, `size` at most, and the cursor of the next page if any.

    Raises an invalid-params error for a cursor that this server did not give.
    """
    start = 0 if cursor is None else _start(cursor)
    if start > len(items):
        raise MCPError(INVALID_PARAMS, "unknown cursor", {"cursor": cursor})
    end = start + size
    following = base64.urlsafe_b64encode(f"from:{end}".encode()).decode()
    return list(items[start:end]), following if end < len(items) else None


def _start(cursor: str) -> int:
    try:
        word, _, number = base64.urlsafe_b64decode(cursor).decode().partition(":")
        if word == "from":
            return int(number)
    except ValueError:
        pass
    raise MCPError(INVALID_PARAMS, "unknown cursor", {"cursor": cursor})
