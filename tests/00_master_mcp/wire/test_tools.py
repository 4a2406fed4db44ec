"""A tool reaches the client as its server defines it, and its results as the server gives them."""

import time
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from .house import House
from .raw import call
from .ways import THROUGH, WAYS, Way

pytestmark = pytest.mark.anyio

SOON_S = 0.1
"""Within this a cancelled call is cancelled at its server."""


async def tools_of(client: Any) -> dict[str, Any]:
    """Every tool by its name, from all pages."""
    found: dict[str, Any] = {}
    cursor = None
    while True:
        page = await client.list_tools(cursor=cursor, cache_mode="refresh")
        found |= {tool.name: tool for tool in page.tools}
        if (cursor := page.next_cursor) is None:
            return found


def plain(model: Any) -> dict[str, Any]:
    """A definition or result as JSON, without what one hop says in `_meta`."""
    found = model.model_dump(by_alias=True, mode="json", exclude_none=True)
    own = ("io.flotilla/", "io.modelcontextprotocol/")
    marks = {key: value for key, value in found.pop("_meta", {}).items() if not key.startswith(own)}
    return {**found, "_meta": marks}


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


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_every_tool_is_listed_as_its_server_lists_it(house: House, way: Way) -> None:
    async with house.client(Way(None, way.south)) as direct, house.client(way) as client:
        known, listed = await tools_of(direct), await tools_of(client)
    assert list(listed) == list(known)
    assert [plain(each) for each in listed.values()] == [plain(each) for each in known.values()]


async def test_structured_content_and_meta_come_with_a_result(house: House, way: Way) -> None:
    async with house.client(way) as client:
        result = await client.call_tool("add_numbers", {"a": 1, "b": 2})
    assert result.structured_content == {"sum": 3}
    assert result.meta["test.example/result"] == {"kept": True}


RESULTS: list[tuple[str, dict[str, Any]]] = [
    ("every_kind_of_content", {}),
    ("answer_nothing", {}),
    ("echo", {"text": "zwölf 𝄞 \u2028 \x00 </script> \ud7ff"}),
    ("echo", {"text": ""}),
    ("test_error_handling", {}),
    ("test_multiple_content_types", {}),
    ("add_numbers", {"a": 1}),
    ("add_numbers", {"a": 0.1, "b": 1e308}),
    ("large_result", {"bytes": 300_000, "form": "both"}),
]


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_a_result_is_the_one_that_the_server_gave(house: House, way: Way) -> None:
    async with house.client(Way(None, way.south)) as direct, house.client(way) as client:
        for tool, arguments in RESULTS:
            given = await direct.call_tool(tool, arguments)
            assert plain(await client.call_tool(tool, arguments)) == plain(given)


async def test_a_servers_own_protocol_error_keeps_code_message_and_data(
    house: House, way: Way
) -> None:
    async with house.client(way) as client:
        for code in (-32603, -32000, -32099, -32602, -1, 7):
            with pytest.raises(MCPError) as raised:
                await client.call_tool("protocol_error", {"code": code})
            assert raised.value.code == code
            assert raised.value.message == "an error of the protocol"
            assert raised.value.data == {"kept": 1}


async def test_a_tool_that_breaks_down_is_an_error_and_the_next_call_works(
    house: House, way: Way
) -> None:
    async with house.client(way) as client:
        with pytest.raises(MCPError):
            await client.call_tool("crash", {})
        assert not (await client.call_tool("echo", {"text": "on"})).is_error


async def test_a_lie_about_an_output_schema_is_seen_by_its_own_caller_alone(
    house: House, way: Way
) -> None:
    async with house.client(way) as client, house.client(way) as other:
        await tools_of(client)  # a client checks what it has seen listed
        with pytest.raises(RuntimeError, match="structured content"):
            await client.call_tool("lie_about_schema", {"a": 1, "b": 2})
        for each in (client, other):
            assert (await each.call_tool("add_numbers", {"a": 1, "b": 2})).structured_content


async def test_progress_comes_while_the_tool_runs(house: House, way: Way) -> None:
    seen: list[tuple[float, float | None, str | None]] = []
    came_at: list[float] = []

    async def note(done: float, total: float | None, message: str | None) -> None:
        seen.append((done, total, message))
        came_at.append(time.monotonic())

    async with house.client(way) as client:
        arguments = {"steps": 5, "intervalMs": 40}
        with anyio.fail_after(5):
            await client.call_tool("slow_progress", arguments, progress_callback=note)
    assert seen == [(step, 5, f"step {step}") for step in range(1, 6)]
    assert came_at[-1] - came_at[0] > 0.05, "it came all at once"


async def test_progress_of_calls_at_once_reaches_each_its_own_caller(
    house: House, way: Way
) -> None:
    async with house.client(way) as client, house.client(way) as other:
        heard: dict[int, list[float | None]] = {}

        async def run(caller: Any, steps: int) -> None:
            async def note(done: float, total: float | None, message: str | None) -> None:
                heard.setdefault(steps, []).append(total)

            arguments = {"steps": steps, "intervalMs": 2}
            await caller.call_tool("slow_progress", arguments, progress_callback=note)

        async with anyio.create_task_group() as tasks:
            for steps in range(2, 10):
                tasks.start_soon(run, client if steps % 2 else other, steps)
    assert heard == {steps: [steps] * steps for steps in range(2, 10)}


async def test_who_asks_for_no_progress_is_told_none(house: House, way: Way) -> None:
    async with house.raw(way) as raw:
        arguments = '{"steps": 3, "intervalMs": 1}'
        heard = [each async for each in raw.send("tools/call", **call("slow_progress", arguments))]
    assert len(heard) == 1


async def test_a_cancel_reaches_the_server_within_a_tenth_of_a_second(
    house: House, way: Way
) -> None:
    key, ended_at = f"cancel {way}", 0.0
    async with house.client(way) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool, "wait_until_cancelled", {"key": key})
            begun = await client.call_tool("has_started", {"key": key, "withinMs": 5000})
            assert begun.content[0].text == "yes"
            ended_at = time.time()
            tasks.cancel_scope.cancel()
        ended = await client.call_tool("was_cancelled", {"key": key, "withinMs": 3000})
    shown = ended.structured_content
    assert shown["state"] == "cancelled"
    assert shown["endedAt"] - ended_at < SOON_S


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_a_destructive_tool_waits_for_a_person(house: House, way: Way) -> None:
    async with house.client(way) as client:
        result = await client.call_tool("delete_everything", {})
    assert result.is_error
    assert result.meta["io.flotilla/error"]["code"] == "approval_required"


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_the_view_of_the_fleet_has_each_tool_under_a_safe_name(
    house: House, way: Way
) -> None:
    server = way.south.name
    async with house.client(way, view="") as client:
        listed = await tools_of(client)
        for other in ("modern", "handshake", "sse"):
            assert listed[f"ext_{other}_add_numbers"].meta["io.flotilla/name"] == (
                f"ext.{other}.add_numbers"
            )
        for name in (f"ext_{server}_echo", f"ext.{server}.echo"):
            result = await client.call_tool(name, {"text": name})
            assert result.structured_content == {"text": name}
            assert result.meta["io.flotilla/correlationId"]
    async with house.client(way, view="/dotted") as client:
        dotted = await tools_of(client)
    assert f"ext.{server}.echo" in dotted and f"ext_{server}_echo" not in dotted


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_a_name_that_no_tool_has_is_not_found_and_the_nearest_is_named(
    house: House, way: Way
) -> None:
    async with house.client(way) as client:
        result = await client.call_tool("add_numberz", {})
    error = result.meta["io.flotilla/error"]
    assert error["code"] == "not_found" and "add_numbers" in error["hint"]


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_arguments_may_be_missing(house: House, way: Way) -> None:
    async with house.client(way) as client:
        call = types.CallToolRequest(params=types.CallToolRequestParams(name="test_simple_text"))
        found = await client.session.send_request(call, types.CallToolResult)
    assert found.content[0].text == "Plain words, nothing else."
