"""Fields that no revision of the protocol knows: a gateway has to carry them all the same."""

from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

TOOL = "unknown_fields"
FIELD = "x-unknown"
VALUE: dict[str, Any] = {"big": 2**70, "list": [1, None, "drei"], "kept": True}


async def add_unknown_fields(
    ctx: ServerRequestContext[Any, Any], call_next: CallNext
) -> HandlerResult:
    """Add them to the result and definition of one tool, after the SDK has dropped what it can."""
    result = await call_next(ctx)
    if not isinstance(result, dict):
        return result
    if ctx.method == "tools/list":
        tools = [
            {**tool, FIELD: VALUE} if tool["name"] == TOOL else tool for tool in result["tools"]
        ]
        return {**result, "tools": tools}
    if ctx.method == "tools/call" and (ctx.params or {}).get("name") == TOOL:
        blocks = [{**block, FIELD: VALUE} for block in result["content"]]
        return {**result, "content": blocks, FIELD: VALUE}
    return result
