"""Tools whose schemas, annotations and metadata are the point."""

from typing import Any

import mcp_types as types

from ..calls import Call, Offer, offer, text

SCHEMA_2020_12: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "place",
            "type": "object",
            "properties": {"town": {"type": "string"}, "code": {"type": "string"}},
        }
    },
    "properties": {
        "parcel": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "way": {"type": "string", "enum": ["post", "pickup"]},
        "stamp": {"type": "string"},
        "shelf": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["stamp"]}, {"required": ["shelf"]}]}],
    "if": {"properties": {"way": {"const": "post"}}, "required": ["way"]},
    "then": {"required": ["stamp"]},
    "else": {"required": ["shelf"]},
    "additionalProperties": False,
}
SUM: dict[str, Any] = {
    "type": "object",
    "properties": {"sum": {"type": "number"}},
    "required": ["sum"],
}


async def parcel(call: Call) -> types.CallToolResult:
    return text(f"arguments: {sorted(call.arguments)}")


async def add_numbers(call: Call) -> types.CallToolResult:
    total = call.arguments["a"] + call.arguments["b"]
    return text(
        f'{{"sum": {total}}}',
        structured_content={"sum": total},
        _meta={"test.example/result": {"kept": True}},
    )


async def lie(call: Call) -> types.CallToolResult:
    return text('{"sum": "three"}', structured_content={"sum": "three"})


TWO_NUMBERS = {"a": {"type": "number"}, "b": {"type": "number"}}
SUITE = (
    Offer(
        types.Tool(
            name="json_schema_2020_12_tool",
            description="Takes a parcel, by a schema of many keywords.",
            input_schema=SCHEMA_2020_12,
        ),
        parcel,
    ),
)
OURS = (
    offer(
        "add_numbers",
        "Adds two numbers; has all that a definition can have.",
        add_numbers,
        properties=TWO_NUMBERS,
        required=("a", "b"),
        title="Add two numbers",
        output_schema=SUM,
        annotations=types.ToolAnnotations(
            title="Add",
            read_only_hint=True,
            destructive_hint=False,
            idempotent_hint=True,
            open_world_hint=False,
        ),
        icons=[
            types.Icon(src="https://example.com/add.png", mime_type="image/png", sizes=["48x48"])
        ],
        _meta={"test.example/tool": {"kept": True}},
    ),
    offer(
        "delete_everything",
        "Deletes nothing, but says that it destroys.",
        parcel,
        annotations=types.ToolAnnotations(read_only_hint=False, destructive_hint=True),
    ),
    offer(
        "lie_about_schema",
        "Answers with what its own output schema forbids.",
        lie,
        properties=TWO_NUMBERS,
        output_schema=SUM,
    ),
)
