"""What an operation promises to answer, as MCP's outputSchema. Pure.

Clients hold every answer to the schema, so it is declared only where each 2xx answer of the
operation is JSON with a schema: where one of them has no content, none could be kept.
"""

import re
from typing import Any

from flotilla.json_text import to_json
from master.external.openapi.body import kind_of
from master.external.openapi.document import BadReference, Document, elements, members
from master.external.openapi.operation import Output
from master.external.openapi.schema import JsonSchema, Translator, placed

MAX_BYTES = 16 * 1024
"""An output schema over this is told without its descriptions..."""
MAX_TERSE_BYTES = 64 * 1024
"""...and one that is over this even so, not at all."""

_SUCCESS = re.compile(r"2([0-9][0-9]|[xX][xX])")
_MAX_BRANCHES = 20
_MAX_RESPONSES = 100


def read_output(
    document: Document, full: Translator, terse: Translator, responses: Any
) -> Output | None:
    """The promise of an operation, None where it makes none that fits."""
    schemas = _promised(document, responses)
    if not schemas:
        return None
    for translator, max_bytes in ((full, MAX_BYTES), (terse, MAX_TERSE_BYTES)):
        try:
            schema, wrapped = _as_object(document, translator, schemas)
            closed = translator.with_definitions(schema, max_bytes=max_bytes)
        except BadReference:
            return None
        if closed is not None:
            return Output(schema=placed(closed), wrapped=wrapped)
    return None


def _promised(document: Document, responses: Any) -> list[Any]:
    """The distinct schemas of the 2xx answers; none where one of them is anything but JSON."""
    found: dict[bytes, Any] = {}
    if len(members(responses)) > _MAX_RESPONSES:
        return []
    for status, value in members(responses).items():
        if not _SUCCESS.fullmatch(status):
            continue
        try:
            content = members(document.resolved(value).get("content"))
        except BadReference:
            return []
        if len(content) > _MAX_BRANCHES:
            return []
        media = next((content[each] for each in content if kind_of(each) == "json"), None)
        schema = members(media).get("schema")
        if not isinstance(schema, dict) or not schema:
            return []
        text = to_json(schema)
        document.work.spend(len(text) // 10)
        found[text] = schema
    return list(found.values())


def _as_object(
    document: Document, translator: Translator, schemas: list[Any]
) -> tuple[dict[str, Any], bool]:
    """A schema whose answers are objects, and whether they had to be wrapped for that."""
    if len(schemas) == 1 and _is_object(document, schemas[0], depth=0):
        schema = translator.schema(document.resolved(schemas[0]))
        return {**members(schema), "type": "object"}, False
    parts = [translator.schema(schema) for schema in schemas]
    if all(_is_object(document, schema, depth=0) for schema in schemas):
        return {"type": "object", "anyOf": parts}, False
    result: JsonSchema = parts[0] if len(parts) == 1 else {"anyOf": parts}
    return {"type": "object", "properties": {"result": result}, "required": ["result"]}, True


def _is_object(document: Document, schema: Any, *, depth: int) -> bool:
    """Whether every value of the schema is an object; False where that is not plain to see."""
    node = document.resolved(schema)
    if depth > 4 or node.get("nullable") is True:
        return False
    if "type" in node:
        return node["type"] in ("object", ["object"])
    if "properties" in node:
        return True
    if parts := elements(node.get("allOf"))[:_MAX_BRANCHES]:
        return any(_is_object(document, part, depth=depth + 1) for part in parts)
    branches = elements(node.get("oneOf")) or elements(node.get("anyOf"))
    return 0 < len(branches) <= _MAX_BRANCHES and all(
        _is_object(document, branch, depth=depth + 1) for branch in branches
    )
