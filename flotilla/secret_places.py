"""Where the arguments of a tool are secrets, by its input schema. Pure.

Schema and value are walked side by side, so that a schema that refers to itself costs no more than
the value that is there.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from flotilla import meta
from flotilla.json_text import MAX_DEPTH
from flotilla.secret_text import MARK

Path = tuple[str | int, ...]
"""Members and indexes from the arguments down to a value: `("env", 2, "value")`."""
_MAX_CHOICES = 10_000
"""Of one value: unions within unions multiply."""


class SecretWalk:
    """Looks at one value; `gave_up` says that it holds too much, and all the rest counts."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._left = _MAX_CHOICES

    @property
    def gave_up(self) -> bool:
        return self._left < 0

    def places(self, arguments: Mapping[str, Any]) -> Iterator[Path]:
        yield from self._of(arguments, self._root, (), 0)

    def _of(self, value: Any, schema: Any, at: Path, hops: int) -> Iterator[Path]:
        node = meta.members(schema)
        self._left -= 1
        if not node or len(at) + hops > MAX_DEPTH:
            return
        if node.get(MARK) is True or self._left < 0:
            # Where it costs too much to look, nothing is shown.
            yield at
            return
        for each in self._same(node, value):
            yield from self._of(value, each, at, hops + 1)
        if isinstance(value, Mapping):
            named = meta.members(node.get("properties"))
            others = node.get("additionalProperties")
            for name, inner in cast("Mapping[str, Any]", value).items():
                yield from self._of(inner, named.get(name, others), (*at, name), hops)
        elif isinstance(value, list):
            first = _listed(node.get("prefixItems"))
            for index, inner in enumerate(cast("list[Any]", value)):
                schema = first[index] if index < len(first) else node.get("items")
                yield from self._of(inner, schema, (*at, index), hops)

    def _same(self, node: Mapping[str, Any], value: Any) -> Iterator[Any]:
        """The schemas that speak of the same value."""
        for key in ("anyOf", "oneOf", "allOf"):
            for each in _listed(node.get(key)):
                if not self._is_other(each, value):
                    yield each
        if "$ref" in node:
            yield self._named(node)

    def _named(self, node: Mapping[str, Any]) -> Any:
        """What a reference within the schema names."""
        reference = node.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return None
        found = self._root
        for part in reference[2:].split("/"):
            found = meta.members(found).get(part.replace("~1", "/").replace("~0", "~"))
        return found

    def _is_other(self, choice: Any, value: Any) -> bool:
        """Whether a choice is one of objects that say of themselves that they are others."""
        if not isinstance(value, Mapping):
            return False
        node = meta.members(choice)
        node = meta.members(self._named(node)) or node
        given = cast("Mapping[str, Any]", value)
        return any(
            name in given and "const" in meta.members(said) and said["const"] != given[name]
            for name, said in meta.members(node.get("properties")).items()
        )


def _listed(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def texts_at(arguments: Mapping[str, Any], places: Iterator[Path]) -> Iterator[str]:
    """The texts that stand at these places."""
    for place in places:
        value: Any = arguments
        for step in place:
            value = value[step]
        if isinstance(value, str):
            yield value
