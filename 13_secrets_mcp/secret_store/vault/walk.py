"""The secrets of a tree of folders in the byte order of their paths, without listing all of it."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

Keys = Callable[[str], Awaitable[Sequence[str]]]
"""What is directly in a folder: names of secrets, and of folders with a / at their end."""


async def walk(keys: Keys, prefix: str, after: str) -> AsyncGenerator[str]:
    """The paths that begin with `prefix` and sort after `after`.

    A folder is listed when its turn comes. Its name with the / sorts among its neighbours as each
    of the paths below it does: those neighbours have no / before their ends.
    """
    start = prefix[: prefix.rfind("/") + 1]
    waiting = [start]
    while waiting:
        place = waiting.pop()
        if not place.endswith("/") and place != "":
            yield place
            continue
        below = sorted({f"{place}{key}" for key in await keys(place) if _is_name(key)})
        waiting.extend(each for each in reversed(below) if _may_hold(each, prefix, after))


def _is_name(key: str) -> bool:
    """Whether it names something in this very folder, so that no walk goes round in a circle."""
    return key.rstrip("/") != "" and "/" not in key[:-1]


def _may_hold(place: str, prefix: str, after: str) -> bool:
    """Whether a path that is wanted may be that one, or below it."""
    if not place.endswith("/"):
        return place.startswith(prefix) and place > after
    in_prefix = place.startswith(prefix) or prefix.startswith(place)
    return in_prefix and (place > after or after.startswith(place))
