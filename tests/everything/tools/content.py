"""Tools that answer with each kind of content, and one that fails."""

import json

import mcp_types as types

from ..calls import Call, offer, text
from ..failing import ToolFailed
from ..samples import PNG, WAV

FRAGMENT = 64 * 1024


async def simple_text(call: Call) -> types.CallToolResult:
    return text("Plain words, nothing else.")


async def image(call: Call) -> types.CallToolResult:
    return types.CallToolResult(content=[types.ImageContent(data=PNG, mime_type="image/png")])


async def audio(call: Call) -> types.CallToolResult:
    return types.CallToolResult(content=[types.AudioContent(data=WAV, mime_type="audio/wav")])


async def embedded(call: Call) -> types.CallToolResult:
    inside = types.TextResourceContents(
        uri="test://embedded-resource",
        mime_type="text/plain",
        text="Text that came inside a result.",
    )
    return types.CallToolResult(content=[types.EmbeddedResource(resource=inside)])


async def mixed(call: Call) -> types.CallToolResult:
    inside = types.TextResourceContents(
        uri="test://mixed-content-resource",
        mime_type="application/json",
        text=json.dumps({"kind": "mixed", "parts": 3}),
    )
    return types.CallToolResult(
        content=[
            types.TextContent(text="A text, a picture and a resource:"),
            types.ImageContent(data=PNG, mime_type="image/png"),
            types.EmbeddedResource(resource=inside),
        ]
    )


async def failing(call: Call) -> types.CallToolResult:
    raise ToolFailed("This tool always fails")


async def every_kind(call: Call) -> types.CallToolResult:
    """Text with annotations and `_meta`, picture, sound, embedded text and bytes, and a link."""
    blob = types.BlobResourceContents(uri="test://blob", mime_type="image/png", blob=PNG)
    inside = types.TextResourceContents(uri="test://text", mime_type="text/plain", text="inside")
    return types.CallToolResult(
        content=[
            types.TextContent(
                text="for the user",
                annotations=types.Annotations(audience=["user"], priority=0.5),
                _meta={"test.example/block": 1},
            ),
            types.ImageContent(data=PNG, mime_type="image/png"),
            types.AudioContent(data=WAV, mime_type="audio/wav"),
            types.EmbeddedResource(resource=inside),
            types.EmbeddedResource(resource=blob),
            types.ResourceLink(
                uri="test://static-text", name="static-text", mime_type="text/plain"
            ),
        ],
        _meta={"test.example/result": {"kept": True}},
    )


async def large(call: Call) -> types.CallToolResult:
    """`bytes` of text, or of structured content in fragments of 64 KiB, or both."""
    size, form = int(call.arguments["bytes"]), call.arguments.get("form", "text")
    sizes = [min(FRAGMENT, size - start) for start in range(0, size, FRAGMENT)]
    structured = {"bytes": size, "fragments": ["y" * each for each in sizes]}
    return types.CallToolResult(
        content=[types.TextContent(text="x" * size if form in ("text", "both") else "")],
        structured_content=structured if form in ("structured", "both") else None,
    )


SUITE = (
    offer("test_simple_text", "Answers with one text.", simple_text),
    offer("test_image_content", "Answers with a picture of one pixel.", image),
    offer("test_audio_content", "Answers with a millisecond of silence.", audio),
    offer("test_embedded_resource", "Answers with an embedded resource.", embedded),
    offer("test_multiple_content_types", "Answers with text, picture and resource.", mixed),
    offer("test_error_handling", "Always fails, by a result that is an error.", failing),
)
OURS = (
    offer("every_kind_of_content", "Answers with every kind of content block.", every_kind),
    offer(
        "large_result",
        "Answers with so many bytes of text, of structured content, or of both.",
        large,
        properties={
            "bytes": {"type": "integer", "minimum": 0, "maximum": 256 * 2**20},
            "form": {"type": "string", "enum": ["text", "structured", "both"]},
        },
        required=("bytes",),
    ),
)
