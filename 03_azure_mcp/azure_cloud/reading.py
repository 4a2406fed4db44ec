"""Reading JSON that Azure sent, member by member: what is missing or of another type is nothing."""

from collections.abc import Mapping
from typing import Any, cast

from flotilla.meta import members


def each_of(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list, which may be missing."""
    if not isinstance(value, list):
        return []
    return [members(each) for each in cast("list[Any]", value)]


def at(value: Any, *path: str) -> Any:
    """What stands at the end of a path of members; None where it leads nowhere."""
    for name in path:
        value = members(value).get(name)
    return value


def text_at(value: Any, *path: str) -> str | None:
    """The text that stands there."""
    found = at(value, *path)
    return found if isinstance(found, str) else None


def strings_at(value: Any, *path: str) -> list[str]:
    """The values of a list that stands there, as texts."""
    found = at(value, *path)
    return [str(each) for each in cast("list[Any]", found)] if isinstance(found, list) else []


def pairs_at(value: Any, *path: str) -> dict[str, str]:
    """The members of an object that stands there, such as tags, as texts."""
    return {name: str(each) for name, each in members(at(value, *path)).items()}
