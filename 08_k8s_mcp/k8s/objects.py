"""Reads parts of what an API server answers, which may always be something else. Pure."""

from typing import Any, cast

Object = dict[str, Any]


def members(value: Any, *path: str) -> Object:
    """The map at `path` below `value`; empty where there is none."""
    for name in path:
        value = cast("Object", value).get(name) if isinstance(value, dict) else None
    return cast("Object", value) if isinstance(value, dict) else {}


def listed(value: Any) -> list[Any]:
    """The list; empty where it is none."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def objects(value: Any) -> list[Object]:
    """The maps of a list."""
    return [cast("Object", each) for each in listed(value) if isinstance(each, dict)]


def text(value: Any) -> str:
    """The text; empty for none, and numbers as they are written."""
    return value if isinstance(value, str) else "" if value is None else str(value)


def number(value: Any) -> int:
    """The whole number; 0 where there is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
