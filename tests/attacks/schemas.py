"""Where a tool's schema takes a text, and arguments with something else in that place. Pure."""

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]
Step = str | int

ITEM, KEY, VALUE = "[]", "{key}", "{value}"
"""Steps into what has no names of its own: a list, and a map's names and values."""
_MAX_DEPTH = 8
_EXAMPLES = ("x", "a1", "a.b", "1", "a" * 64, "0644")


@dataclass(frozen=True, slots=True)
class Spot:
    """A place for a text in a tool's arguments: `filters.[].attribute`."""

    steps: tuple[str, ...]
    schema: Schema

    def __str__(self) -> str:
        return ".".join(self.steps)


def spots(schema: Schema) -> list[Spot]:
    """Every place of the schema that takes a text, each once."""
    found: dict[tuple[str, ...], Spot] = {}
    for spot in _spots(schema, schema, (), 0):
        found.setdefault(spot.steps, spot)
    return list(found.values())


def _spots(node: Schema, whole: Schema, at: tuple[str, ...], depth: int) -> Iterator[Spot]:
    node = _meant(node, whole)
    if depth > _MAX_DEPTH:
        return
    for choice in (*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("allOf", ())):
        yield from _spots(choice, whole, at, depth + 1)
    kinds = node.get("type", ())
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    is_any = not kinds and not {"anyOf", "oneOf", "allOf", "enum", "const"}.intersection(node)
    if "string" in kinds or is_any or any(isinstance(one, str) for one in node.get("enum", ())):
        yield Spot(at, node)
    if "array" in kinds and isinstance(node.get("items"), Mapping):
        yield from _spots(node["items"], whole, (*at, ITEM), depth + 1)
    if "object" in kinds:
        for name, part in node.get("properties", {}).items():
            yield from _spots(part, whole, (*at, name), depth + 1)
        if node.get("additionalProperties", not node.get("properties")) is not False:
            yield Spot((*at, KEY), {})
            more = node.get("additionalProperties")
            inside = more if isinstance(more, Mapping) else {}
            yield from _spots(inside, whole, (*at, VALUE), _MAX_DEPTH)


def put(whole: Schema, arguments: Mapping[str, Any], spot: Spot, text: str) -> list[dict[str, Any]]:
    """The arguments with the text in that place; a list is given it at its end, and alone."""
    ways: list[dict[str, Any]] = []
    for alone in (False, True) if ITEM in spot.steps else (False,):
        placed = _placed(whole, whole, copy.deepcopy(dict(arguments)), spot.steps, text, alone)
        if placed not in ways:
            ways.append(placed)
    return ways


def _placed(
    node: Schema, whole: Schema, value: Any, steps: tuple[str, ...], text: str, alone: bool
) -> Any:
    if not steps:
        return text
    step, rest = steps[0], steps[1:]
    node = _choice(_meant(node, whole), whole, step)
    if step == ITEM:
        held = list(value) if isinstance(value, list) else []
        kind = _meant(node["items"], whole)
        begun = copy.deepcopy(held[-1]) if held and isinstance(held[-1], dict) else None
        element = least(kind, whole) if begun is None else begun
        made = _placed(kind, whole, element, rest, text, alone)
        return [made] if alone else [*held, made]
    held = dict(value) if isinstance(value, Mapping) else {}
    if step == KEY:
        return {**held, text: "x"}
    inner = node.get("additionalProperties") if step == VALUE else node["properties"][step]
    inner = inner if isinstance(inner, Mapping) else {}
    name = next(iter(held), "x") if step == VALUE else step
    begun = held.get(name, least(inner, whole))
    return {**held, name: _placed(inner, whole, begun, rest, text, alone)}


def _choice(node: Schema, whole: Schema, step: str) -> Schema:
    """That of the alternatives which has such a step."""
    if step == ITEM and "items" in node:
        return node
    if step in (KEY, VALUE) and node.get("type") == "object":
        return node
    if step in node.get("properties", {}):
        return node
    for inner in (*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("allOf", ())):
        try:
            return _choice(_meant(inner, whole), whole, step)
        except LookupError:
            continue
    raise LookupError(step)


def least(node: Schema, whole: Schema) -> Any:
    """The smallest value that a schema takes, as far as that can be told from it."""
    node = _meant(node, whole)
    if "default" in node:
        return node["default"]
    if "const" in node:
        return node["const"]
    if node.get("enum"):
        return node["enum"][0]
    for choice in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        return least(choice, whole)
    match node.get("type"):
        case "object":
            named = node.get("properties", {})
            return {name: least(named[name], whole) for name in node.get("required", ())}
        case "array":
            return [least(node["items"], whole)] * node.get("minItems", 0)
        case "integer":
            return int(node.get("minimum", node.get("exclusiveMinimum", 0) + 1))
        case "number":
            return float(node.get("minimum", node.get("exclusiveMinimum", 0) + 1))
        case "boolean":
            return False
        case "null":
            return None
        case _:
            pattern = node.get("pattern", "")
            fits = (one for one in _EXAMPLES if re.search(pattern, one))
            return next(fits, "x")


def _meant(node: Schema, whole: Schema) -> Schema:
    for _ in range(_MAX_DEPTH):
        reference = node.get("$ref")
        if reference is None:
            return node
        found: Any = whole
        for part in str(reference).removeprefix("#/").split("/"):
            found = found[part]
        node = {**found, **{key: value for key, value in node.items() if key != "$ref"}}
    return node
