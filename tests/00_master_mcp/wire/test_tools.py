"""A tool reaches the client as its server defines it, and its results as the server gives them."""

from typing import Any

import pytest

from .house import House
from .ways import Way

pytestmark = pytest.mark.anyio


async def tools_of(client: Any) -> dict[str, Any]:
    """Every tool by its name, from all pages."""
    found: dict[str, Any] = {}
    cursor = None
    while True:
        page = await client.list_tools(cursor=cursor)
        found |= {tool.name: tool for tool in page.tools}
        if (cursor := page.next_cursor) is None:
            return found


async def test_a_definition_keeps_all_that_it_has(house: House, way: Way) -> None:
    async with house.client(way) as client:
        tool = (await tools_of(client))["add_numbers"]
    assert tool.title == "Add two numbers"
    assert tool.annotations.model_dump(exclude_none=True) == {
        "title": "Add",
        "read_only_hint": True,
        "destructive_hint": False,
        "idempotent_hint": True,
        "open_world_hint": False,
    }
    assert tool.output_schema["required"] == ["sum"]
    assert tool.icons[0].src == "https://example.com/add.png"
    assert tool.meta["test.example/tool"] == {"kept": True}


async def test_structured_content_and_meta_come_with_a_result(house: House, way: Way) -> None:
    async with house.client(way) as client:
        result = await client.call_tool("add_numbers", {"a": 1, "b": 2})
    assert result.structured_content == {"sum": 3}
    assert result.meta["test.example/result"] == {"kept": True}
