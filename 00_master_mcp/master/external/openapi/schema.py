"""Schema objects of OpenAPI 3.0 and 3.1 as JSON Schema 2020-12. Pure.

What comes out is always a valid schema: a member that is no JSON Schema, or malformed, is left out
rather than handed to clients, which refuse a whole tool over it. Left out on purpose:

- `pattern`, `multipleOf` and `uniqueItems` in what is read back, where clients would check them: a
  document's regular expression may take for ever, and so may comparing a million items with each
  other (in what is sent they stand for the reader's sake, and the API checks them);
- `patternProperties`, for the same reason;
- `unevaluated*`, `$dynamicRef`, `$id`, `$anchor`: they reach beyond the schema in which they stand;
- `readOnly` members of what is sent and `writeOnly` members of what is read back.

Each of these accepts more than the document says, never less.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Literal, cast

from flotilla.json_text import to_json
from master.external.openapi.document import (
    BadReference,
    Document,
    elements,
    members,
    pointer_parts,
    shown,
)

Direction = Literal["sent", "read"]
"""Whether the schema describes what goes to the API or what it answers."""

JsonSchema = dict[str, Any] | bool

MAX_DEFINITIONS = 500
"""Definitions that one tool may need."""
MAX_IN_PLACE = 40
"""References within one another that all describe the same value."""

_TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
_SUBSCHEMA = ("additionalProperties", "contains", "else", "if", "not", "propertyNames", "then")
_SUBSCHEMAS = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED_SUBSCHEMAS = ("dependentSchemas", "properties")
_IN_PLACE = ("$ref", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
_NOTES = ("description", "title", "examples", "default", "$comment")
_UNCHECKED = ("pattern", "multipleOf", "uniqueItems")
_SAFE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,80}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


def _is_number(value: Any) -> bool:
    # 1e999 is infinite once read, and no JSON any more.
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


_PLAIN: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("title", "description", "$comment", "format", "pattern"), _is_text),
    **dict.fromkeys(("contentEncoding", "contentMediaType"), _is_text),
    **dict.fromkeys(("maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum"), _is_number),
    "multipleOf": lambda value: _is_number(value) and value > 0,
    **dict.fromkeys(("maxLength", "minLength", "maxItems", "minItems"), _is_count),
    **dict.fromkeys(("maxProperties", "minProperties"), _is_count),
    **dict.fromkeys(("maxContains", "minContains"), _is_count),
    **dict.fromkeys(("readOnly", "writeOnly", "deprecated", "uniqueItems"), _is_flag),
    **dict.fromkeys(("default", "const"), lambda _: True),
}
"""Keywords that are taken over as they are where their value has the right form."""


@dataclass(frozen=True, slots=True)
class _Definition:
    schema: JsonSchema
    needs: frozenset[str]
    """References anywhere inside."""
    in_place: frozenset[str]
    """References that describe the very value that the definition describes."""
    size: int
    """Bytes as JSON."""


@dataclass
class Translator:
    """Turns the document's schemas into JSON Schema, each definition once.

    `terse` leaves out descriptions, examples and defaults.
    """

    document: Document
    direction: Direction
    terse: bool = False
    _definitions: dict[str, _Definition] = field(default_factory=dict[str, _Definition])

    def schema(self, value: Any) -> JsonSchema:
        """The schema with its references as `#/$defs/...`; `with_definitions` adds those.

        Raises BadReference for a reference out of the document.
        """
        if isinstance(value, bool):
            return value
        node = members(value)
        if "$ref" in node and (self.document.old or not isinstance(node["$ref"], str)):
            # In 3.0 nothing beside a `$ref` counts.
            node = {"$ref": node["$ref"]} if isinstance(node["$ref"], str) else {}
        out = self._keywords(node)
        # 3.1 knows no `nullable`, but documents that were only renumbered still mean it.
        return self._nullable(out) if node.get("nullable") is True else out

    def with_definitions(self, schema: dict[str, Any], *, max_bytes: int) -> dict[str, Any] | None:
        """`schema` with the `$defs` that it needs, or None if that is over `max_bytes` of JSON.

        Raises BadReference where definitions refer to themselves in place, so that no check of a
        value would end.
        """
        found: dict[str, _Definition] = {}
        waiting = sorted(_references(schema))
        size = len(to_json(schema))
        self.document.work.spend(size // 10)
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            definition = self._definition(name)
            found[name] = definition
            size += definition.size + len(name)
            self.document.work.spend(1)
            if len(found) > MAX_DEFINITIONS or size > max_bytes:
                return None
            waiting += sorted(definition.needs - found.keys())
        if size > max_bytes:
            return None
        _refuse_endless(found)
        if not found:
            return schema
        return {
            **schema,
            "$defs": {name_of(each): found[each].schema for each in sorted(found)},
        }

    def _definition(self, reference: str) -> _Definition:
        known = self._definitions.get(reference)
        if known is None:
            schema = self.schema(self.document.at(reference))
            known = _Definition(
                schema=schema,
                needs=frozenset(_references(schema)),
                in_place=frozenset(_references(schema, in_place=True)),
                size=len(to_json(schema)),
            )
            self._definitions[reference] = known
        return known

    def _keywords(self, node: dict[str, Any]) -> dict[str, Any]:
        self.document.work.spend(1 + len(node))
        out: dict[str, Any] = {}
        reference = node.get("$ref")
        if isinstance(reference, str):
            pointer_parts(reference)
            out["$ref"] = reference
        types = self._types(node.get("type"))
        if types:
            out["type"] = types[0] if len(types) == 1 else types
        for key, value in node.items():
            if self.terse and key in _NOTES:
                continue
            if key in _PLAIN:
                if _PLAIN[key](value) and not (key in _UNCHECKED and self.direction == "read"):
                    out[key] = value
            elif key in _SUBSCHEMA and isinstance(value, (dict, bool)):
                out[key] = self.schema(value)
            elif key in _SUBSCHEMAS and elements(value):
                out[key] = [self.schema(part) for part in elements(value)]
            elif key in _NAMED_SUBSCHEMAS and isinstance(value, dict):
                out[key] = {name: self.schema(part) for name, part in members(value).items()}
        self._lists(node, out)
        self._numbers(node, out)
        self._properties(node, out)
        return out

    def _types(self, said: Any) -> list[str]:
        listed = elements(said) if isinstance(said, list) else [said]
        return [kind for kind in _TYPES if kind in listed]

    def _lists(self, node: dict[str, Any], out: dict[str, Any]) -> None:
        """Members whose value is a list, or was one in older drafts."""
        items = node.get("items")
        if isinstance(items, (dict, bool)):
            out["items"] = self.schema(items)
        if choices := elements(node.get("enum")):
            out["enum"] = choices
        required = _distinct_texts(node.get("required"))
        if required:
            out["required"] = required
        needs = members(node.get("dependentRequired"))
        if needs:
            out["dependentRequired"] = {key: _distinct_texts(names) for key, names in needs.items()}
        if not self.terse:
            examples = elements(node.get("examples"))
            if not examples and "example" in node:
                examples = [node["example"]]
            if examples:
                out["examples"] = examples

    def _numbers(self, node: dict[str, Any], out: dict[str, Any]) -> None:
        """In 3.0 `exclusiveMinimum: true` turns `minimum` into an exclusive one."""
        for exclusive, limit in (
            ("exclusiveMinimum", "minimum"),
            ("exclusiveMaximum", "maximum"),
        ):
            if node.get(exclusive) is True and limit in out:
                out[exclusive] = out.pop(limit)

    def _properties(self, node: dict[str, Any], out: dict[str, Any]) -> None:
        if "patternProperties" in node:
            # Without them nobody can tell which members are additional.
            out.pop("additionalProperties", None)
        hidden = "readOnly" if self.direction == "sent" else "writeOnly"
        named = members(node.get("properties"))
        gone = {name for name, part in named.items() if self._has_flag(part, hidden)}
        if gone:
            kept = members(out.get("properties")).items()
            out["properties"] = {name: part for name, part in kept if name not in gone}
            required = [name for name in elements(out.get("required")) if name not in gone]
            out.pop("required", None)
            if required:
                out["required"] = required
            if self.direction == "read" and out.get("additionalProperties") is False:
                # An API that sends one back all the same breaks nothing.
                del out["additionalProperties"]

    def _has_flag(self, schema: Any, flag: str) -> bool:
        if members(schema).get(flag) is True:
            return True
        try:
            return self.document.resolved(schema).get(flag) is True
        except BadReference:
            return False

    def _nullable(self, schema: dict[str, Any]) -> dict[str, Any]:
        if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
            schema = {**schema, "enum": [*schema["enum"], None]}
        if any(key in schema for key in (*_IN_PLACE, "const")):
            notes = {key: schema[key] for key in _NOTES if key in schema}
            rest = {key: value for key, value in schema.items() if key not in notes}
            return {**notes, "anyOf": [rest, {"type": "null"}]}
        kinds = schema.get("type")
        if isinstance(kinds, str) and kinds != "null":
            schema = {**schema, "type": [kinds, "null"]}
        return schema


def name_of(reference: str) -> str:
    """The name under which a local reference stands in `$defs`; the same for every tool."""
    parts = pointer_parts(reference)
    last = parts[-1] if parts else "document"
    if parts[:-1] == ["components", "schemas"] and _SAFE_NAME.fullmatch(last):
        return last
    digest = hashlib.sha256(reference.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{_UNSAFE.sub('_', last)[:60]}_{digest}"


def placed(schema: Any) -> Any:
    """The schema with each reference as `#/$defs/<name>`, the last step before it is listed."""
    if isinstance(schema, list):
        return [placed(part) for part in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for key, value in cast("dict[str, Any]", schema).items():
        if key == "$ref":
            out[key] = f"#/$defs/{name_of(value)}"
        elif key in (*_NAMED_SUBSCHEMAS, "$defs"):
            out[key] = {name: placed(part) for name, part in value.items()}
        elif key in (*_SUBSCHEMA, *_SUBSCHEMAS, "items"):
            out[key] = placed(value)
        else:
            out[key] = value
    return out


def _references(schema: Any, *, in_place: bool = False) -> Iterator[str]:
    """The references in a translated schema; `in_place`: those for the same value alone."""
    if isinstance(schema, list):
        for part in cast("list[Any]", schema):
            yield from _references(part, in_place=in_place)
        return
    for key, value in members(schema).items():
        if key == "$ref":
            yield value
        elif in_place and key not in _IN_PLACE:
            continue
        elif key in _NAMED_SUBSCHEMAS:
            for part in value.values():
                yield from _references(part, in_place=in_place)
        elif key in (*_SUBSCHEMA, *_SUBSCHEMAS, "items"):
            yield from _references(value, in_place=in_place)


def _refuse_endless(found: dict[str, _Definition]) -> None:
    """BadReference when definitions nest in place without end, or for over 40 levels."""
    waiting = dict(found)
    for _ in range(MAX_IN_PLACE):
        ready = [name for name, each in waiting.items() if not each.in_place & waiting.keys()]
        if not ready:
            break
        for name in ready:
            del waiting[name]
        if not waiting:
            return
    if waiting:
        name = min(waiting)
        raise BadReference(f"the schema {shown(name)} stands for itself, or nests too deeply")


def _distinct_texts(value: Any) -> list[str]:
    return list(dict.fromkeys(name for name in elements(value) if isinstance(name, str)))
