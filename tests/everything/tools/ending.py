"""Tools that wait, and tell how another call ended."""

import anyio
import mcp_types as types

from ..calls import Call, offer, text
from ..endings import Ending

LONGEST_S = 120.0


async def wait_until_cancelled(call: Call) -> types.CallToolResult:
    """Wait until the caller gives up, or `forMs` at most; `was_cancelled` tells which."""
    key, endings = call.arguments["key"], call.world.endings
    if key not in endings or endings[key].started.is_set():
        endings[key] = Ending()
    ending = endings[key]
    wait_s = min(LONGEST_S, float(call.arguments.get("forMs", 30_000)) / 1000)
    ending.begin()
    await call.progress(0, None, "waiting")
    try:
        await anyio.sleep(wait_s)
    except anyio.get_cancelled_exc_class():
        ending.end("cancelled")
        raise
    ending.end("finished")
    return text(f"nobody cancelled within {wait_s} s")


async def was_cancelled(call: Call) -> types.CallToolResult:
    """How the call with that key ended; waits for its end `withinMs` at most."""
    ending = call.world.endings.setdefault(call.arguments["key"], Ending())
    with anyio.move_on_after(min(LONGEST_S, float(call.arguments.get("withinMs", 1000)) / 1000)):
        await ending.ended.wait()
    shown = ending.shown()
    return text(shown["state"], structured_content=shown)


async def has_started(call: Call) -> types.CallToolResult:
    """Whether the call with that key has begun; waits for it `withinMs` at most."""
    ending = call.world.endings.setdefault(call.arguments["key"], Ending())
    with anyio.move_on_after(min(LONGEST_S, float(call.arguments.get("withinMs", 1000)) / 1000)):
        await ending.started.wait()
    return text("yes" if ending.started.is_set() else "no")


KEY = {"key": {"type": "string"}}
WITHIN = {**KEY, "withinMs": {"type": "number", "minimum": 0, "maximum": LONGEST_S * 1000}}
ENDED = {
    "type": "object",
    "properties": {
        "state": {"type": "string", "enum": ["unknown", "waiting", "cancelled", "finished"]},
        "afterMs": {"type": "number"},
        "endedAt": {"type": "number"},
    },
    "required": ["state"],
}
OURS = (
    offer(
        "wait_until_cancelled",
        "Waits until its caller cancels it.",
        wait_until_cancelled,
        properties={**KEY, "forMs": {"type": "number", "minimum": 0, "maximum": LONGEST_S * 1000}},
        required=("key",),
    ),
    offer(
        "has_started",
        "Tells whether a wait began.",
        has_started,
        properties=WITHIN,
        required=("key",),
    ),
    offer(
        "was_cancelled",
        "Tells how a wait ended.",
        was_cancelled,
        properties=WITHIN,
        required=("key",),
        output_schema=ENDED,
    ),
)
