"""Positions inside cursors, read back as nobody's: a caller may have made one up. Pure."""

from typing import Any, cast

from cmdb.values import MAX_INTEGER
from flotilla import InvalidArgument, decode_cursor


def read_position(kind: str, cursor: str, *types: type[str] | type[int]) -> list[Any]:
    """The members of a cursor's position, each of the type expected; else InvalidArgument."""
    position = decode_cursor(kind, cursor)
    if isinstance(position, list):
        members = cast("list[Any]", position)
        if len(members) == len(types) and all(map(_is, members, types)):
            return members
    raise InvalidArgument(
        "cursor is not one that this tool gave out",
        hint="Pass nextCursor of the page before unchanged, or leave cursor out.",
    )


def _is(value: Any, kind: type[str] | type[int]) -> bool:
    if type(value) is not kind:
        return False
    # PostgreSQL takes no NUL, and neither database an integer beyond 64 bits.
    return "\0" not in value if isinstance(value, str) else abs(value) <= MAX_INTEGER
