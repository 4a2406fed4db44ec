"""Parts of an object by their paths: `spec.template.spec.containers[0].image`. Pure."""

import re
from typing import Any, cast

from flotilla.errors import InvalidArgument
from flotilla.json_text import to_json
from k8s.objects import Object

MAX_STEPS = 40
_STEP = re.compile(
    r"\.?(?P<name>(?:[^.\[\]\"'\\]|\\.)+)|\[(?P<index>\d{1,6})\]"
    r"|\[(?:\"(?P<double>[^\"]+)\"|'(?P<single>[^']+)')\]"
)


def steps_of(path: str) -> list[str | int]:
    """The keys and indexes of a path. A key with dots stands in brackets and quotes, or its dots
    behind a backslash. Raises InvalidArgument."""
    found: list[str | int] = []
    at = 0
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None or len(found) >= MAX_STEPS:
            raise InvalidArgument(
                f"{path[:80]!r} is no path of a field",
                hint='Like `spec.template.spec.containers[0].image` or `metadata.labels["a.b/c"]`.',
            )
        at = step.end()
        if step["index"]:
            found.append(int(step["index"]))
        else:
            name = step["name"] or step["double"] or step["single"]
            found.append(re.sub(r"\\(.)", r"\1", name) if step["name"] else name)
    return found


def picked(thing: Object, path: str) -> Any:
    """The value at a path. Raises InvalidArgument with what there is instead."""
    here: Any = thing
    for step in steps_of(path):
        if isinstance(step, int):
            items = cast("list[Any]", here) if isinstance(here, list) else []
            if step >= len(items):
                raise InvalidArgument(f"{path!r}: there are {len(items)} items at [{step}]")
            here = items[step]
            continue
        known = cast("Object", here) if isinstance(here, dict) else {}
        if step not in known:
            there = ", ".join(list(known)[:30])
            raise InvalidArgument(
                f"{path!r}: there is no {step!r}", hint=f"There are: {there}." if there else None
            )
        here = known[step]
    return here


def outline(thing: Object) -> dict[str, int]:
    """The size in bytes of each part, two levels deep: where to look with a path."""
    found: dict[str, int] = {}
    for key, value in thing.items():
        if isinstance(value, dict):
            for inner, part in cast("Object", value).items():
                found[f"{key}.{inner}"] = len(to_json(part))
        else:
            found[key] = len(to_json(value))
    return dict(sorted(found.items(), key=lambda each: -each[1])[:30])
