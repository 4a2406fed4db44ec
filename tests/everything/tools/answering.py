"""Tools that answer otherwise than by a result."""

import mcp_types as types
from mcp.shared.exceptions import MCPError

from .. import unknown
from ..calls import Call, offer, text


async def protocol_error(call: Call) -> types.CallToolResult:
    raise MCPError(int(call.arguments.get("code", -32603)), "an error of the protocol", {"kept": 1})


async def crash(call: Call) -> types.CallToolResult:
    raise RuntimeError("a mistake in the tool")


async def unknown_fields(call: Call) -> types.CallToolResult:
    return text("with fields that nobody knows")


async def nothing(call: Call) -> types.CallToolResult:
    return text()


OURS = (
    offer(
        "protocol_error",
        "Answers with an error of JSON-RPC.",
        protocol_error,
        properties={"code": {"type": "integer"}},
    ),
    offer("crash", "Has a mistake.", crash),
    offer(unknown.TOOL, "Has fields that nobody knows.", unknown_fields),
    offer("answer_nothing", "Answers with a result without content.", nothing),
)
