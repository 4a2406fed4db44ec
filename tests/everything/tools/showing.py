"""Tools that show what arrived: arguments, headers, `_meta`, who calls and in which era."""

import json
from typing import Any

import mcp_types as types
from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY
from starlette.requests import Request

from ..calls import Call, offer, text

SHOWN: dict[str, Any] = {
    "type": "object",
    "properties": {
        "protocolVersion": {"type": "string"},
        "era": {"type": "string", "enum": ["handshake", "modern"]},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "meta": {"type": "object"},
        "requestId": {"type": ["string", "integer"]},
        "clientInfo": {"type": "object"},
        "clientCapabilities": {"type": "object"},
    },
    "required": ["protocolVersion", "era", "headers", "meta"],
}


async def echo(call: Call) -> types.CallToolResult:
    said = call.arguments["text"]
    return text(said, structured_content={"text": said})


async def show_request(call: Call) -> types.CallToolResult:
    """Everything but the body: without headers on stdio, whose messages have none."""
    request, raw = call.ctx.request, call.ctx.params or {}
    meta: dict[str, Any] = dict(raw.get("_meta") or {})
    session = call.ctx.session
    shown: dict[str, Any] = {
        "protocolVersion": call.ctx.protocol_version,
        "era": "modern" if call.modern else "handshake",
        "headers": dict(request.headers) if isinstance(request, Request) else {},
        "meta": meta,
        "requestId": call.ctx.request_id,
        "clientInfo": meta.get(CLIENT_INFO_META_KEY) or _plain(session.client_params, "clientInfo"),
        "clientCapabilities": meta.get(CLIENT_CAPABILITIES_META_KEY)
        or _plain(session.client_params, "capabilities"),
    }
    return text(json.dumps(shown), structured_content=shown)


def _plain(opening: types.InitializeRequestParams | None, field: str) -> dict[str, Any]:
    if opening is None:
        return {}
    return opening.model_dump(by_alias=True, mode="json", exclude_none=True)[field]


async def region(call: Call) -> types.CallToolResult:
    return text(f"region: {call.arguments.get('region')}")


SAID: dict[str, Any] = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
}
SUITE = (
    offer(
        "region_in_header",
        "Takes an argument that modern clients repeat in a header.",
        region,
        properties={"region": {"type": "string", "x-mcp-header": "Region"}},
    ),
)
OURS = (
    offer(
        "echo",
        "Answers with the text that it was given.",
        echo,
        properties={"text": {"type": "string"}},
        required=("text",),
        output_schema=SAID,
        annotations=types.ToolAnnotations(read_only_hint=True, idempotent_hint=True),
    ),
    offer(
        "show_request",
        "Shows the headers, the metadata and the client of this very call.",
        show_request,
        output_schema=SHOWN,
        annotations=types.ToolAnnotations(read_only_hint=True),
    ),
)
