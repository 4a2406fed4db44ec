"""A large piece of JSON made to fit into an answer: its largest parts go, and are named. Pure."""

from collections.abc import Iterator
from typing import Any, cast

from flotilla.json_text import to_json

MAX_BYTES = 40 * 1024
_MOST_CUTS = 50

Path = tuple[str | int, ...]


def fitted(value: Any, max_bytes: int = MAX_BYTES) -> tuple[Any, list[str]]:
    """The same JSON with what is too much of it left out, and the paths of that.

    The smallest part goes that is enough, so that most of the rest stays to be seen.
    """
    left_out: list[str] = []
    size = len(to_json(value))
    while size > max_bytes and len(left_out) < _MOST_CUTS:
        path = _enough(value, size - max_bytes)
        if not path:
            break
        value = _without(value, path)
        left_out.append(".".join(map(str, path)))
        size = len(to_json(value))
    return (value, left_out) if size <= max_bytes else (_said(value), ["the whole"])


def part_of(value: Any, path: str) -> Any:
    """What stands at a path like `properties.networkProfile.0`; KeyError where nothing does."""
    for name in path.split("."):
        found = [each for key, each in _parts(value) if str(key) == name]
        if not found:
            raise KeyError(name)
        value = found[0]
    return value


def _enough(value: Any, bytes_over: int) -> Path:
    path: Path = ()
    while parts := [(len(to_json(each)), key, each) for key, each in _parts(value)]:
        size, key, inner = max(parts, key=lambda part: part[0])
        if path and size < bytes_over:
            break
        path, value = (*path, key), inner
    return path


def _parts(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        yield from cast("dict[str, Any]", value).items()
    elif isinstance(value, list):
        yield from enumerate(cast("list[Any]", value))


def _without(value: Any, path: Path) -> Any:
    if not path:
        return _said(value)
    first, *rest = path
    copy: Any = dict(_parts(value)) if isinstance(value, dict) else list(value)
    copy[first] = _without(copy[first], tuple(rest))
    return copy


def _said(value: Any) -> str:
    return f"[left out: {len(to_json(value))} bytes]"
