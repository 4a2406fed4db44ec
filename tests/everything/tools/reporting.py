"""Tools that report while they run: log messages, progress, a stream that is closed midway."""

import anyio
import mcp_types as types

from ..calls import LEVELS, Call, offer, text

PAUSE_S = 0.05


async def logging(call: Call) -> types.CallToolResult:
    await call.log("info", "begun")
    await anyio.sleep(PAUSE_S)
    await call.log("info", "half done")
    await anyio.sleep(PAUSE_S)
    await call.log("info", "done")
    return text("logged three times")


async def every_level(call: Call) -> types.CallToolResult:
    for level in LEVELS:
        await call.log(level, {"said": level})
    return text("logged once at every level")


async def progress(call: Call) -> types.CallToolResult:
    for done in (0, 50, 100):
        await call.progress(done, 100, f"{done} of 100")
        await anyio.sleep(PAUSE_S)
    return text("reported three times")


async def slow_progress(call: Call) -> types.CallToolResult:
    steps, interval_s = int(call.arguments["steps"]), float(call.arguments["intervalMs"]) / 1000
    for step in range(1, steps + 1):
        await anyio.sleep(interval_s)
        await call.progress(step, steps, f"step {step}")
    return text(f"{steps} steps")


async def reconnection(call: Call) -> types.CallToolResult:
    """Close the stream of this call, go on, and answer to who comes back for it."""
    if call.ctx.close_sse_stream is not None:
        await call.ctx.close_sse_stream()
    await anyio.sleep(2 * PAUSE_S)
    return text("answered after the stream was closed")


SUITE = (
    offer("test_tool_with_logging", "Logs three times while it runs.", logging),
    offer("test_logging_tool", "Logs once at every level.", every_level),
    offer("test_tool_with_progress", "Reports progress three times.", progress),
    offer("test_reconnection", "Closes its stream midway, where it can be resumed.", reconnection),
)
OURS = (
    offer(
        "slow_progress",
        "Reports progress in so many steps, so many milliseconds apart.",
        slow_progress,
        properties={
            "steps": {"type": "integer", "minimum": 0, "maximum": 1_000_000},
            "intervalMs": {"type": "number", "minimum": 0, "maximum": 10_000},
        },
        required=("steps", "intervalMs"),
    ),
)
