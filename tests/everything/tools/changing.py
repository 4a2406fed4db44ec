"""Tools that change what the server lists, and tell its clients."""

import mcp_types as types
from mcp.server.subscriptions import (
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
)

from ..calls import Call, Offer, offer, text
from ..prompts import one_message
from ..resources import WATCHED, plain_text

LIMIT = 10_000
"""How many of a kind may be added, so that a test that runs wild ends."""


def _added_tool(name: str) -> Offer:
    async def run(call: Call) -> types.CallToolResult:
        return text(f"{name} was added while the server ran")

    return offer(name, "Added while the server ran.", run)


async def add_tool(call: Call) -> types.CallToolResult:
    name = call.arguments["name"]
    if len(call.world.tools) < LIMIT:
        call.world.tools[name] = _added_tool(name)
    await call.world.listeners.tell(ToolsListChanged())
    return text(f"added {name}")


async def remove_tool(call: Call) -> types.CallToolResult:
    found = call.world.tools.pop(call.arguments["name"], None)
    await call.world.listeners.tell(ToolsListChanged())
    return text("removed" if found else "there was none")


async def toggle_tool(call: Call) -> types.CallToolResult:
    if call.world.tools.pop("toggled_tool", None) is None:
        call.world.tools["toggled_tool"] = _added_tool("toggled_tool")
    await call.world.listeners.tell(ToolsListChanged())
    return text("the list of tools has changed")


async def toggle_prompt(call: Call) -> types.CallToolResult:
    if call.world.prompts.pop("toggled_prompt", None) is None:
        call.world.prompts["toggled_prompt"] = one_message("toggled_prompt", "Added.")
    await call.world.listeners.tell(PromptsListChanged())
    return text("the list of prompts has changed")


async def toggle_resource(call: Call) -> types.CallToolResult:
    if call.world.resources.pop("test://toggled", None) is None:
        call.world.resources["test://toggled"] = plain_text("test://toggled", "Added.")
    await call.world.listeners.tell(ResourcesListChanged())
    return text("the list of resources has changed")


async def touch(call: Call) -> types.CallToolResult:
    call.world.version += 1
    uri = call.arguments.get("uri", WATCHED)
    await call.world.listeners.tell(ResourceUpdated(uri))
    return text(f"{uri} is at version {call.world.version}")


NAMED = {"name": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,128}$"}}
SUITE = (
    offer("test_trigger_tool_change", "Adds a tool, or takes it away again.", toggle_tool),
    offer("test_trigger_prompt_change", "Adds a prompt, or takes it away again.", toggle_prompt),
)
OURS = (
    offer("toggle_resource", "Adds a resource, or takes it away again.", toggle_resource),
    offer("add_tool", "Adds a tool.", add_tool, properties=NAMED, required=("name",)),
    offer("remove_tool", "Takes a tool away.", remove_tool, properties=NAMED, required=("name",)),
    offer(
        "touch_resource",
        "Makes a new version of the watched resource, or says so of another.",
        touch,
        properties={"uri": {"type": "string"}},
    ),
)
