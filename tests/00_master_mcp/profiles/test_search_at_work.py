"""Finding, describing and calling tools through a real hub, by clients of both eras."""

import json
from typing import Any

import anyio
import httpx2
import mcp_types as types
import pytest

from flotilla import meta
from tests.conftest import until

from .conftest import Hub

pytestmark = pytest.mark.anyio

MODES = ("2026-07-28", "legacy")
SEARCH, DESCRIBE, CALL = "master_tools_search", "master_tools_describe", "master_tools_call"


async def found(client: Any, query: str, **more: Any) -> list[dict[str, Any]]:
    result = await client.call_tool(SEARCH, {"query": query, **more})
    assert not result.is_error, result
    return result.structured_content["items"]


async def call(client: Any, name: str, arguments: Any = None, **more: Any) -> Any:
    given = {"name": name, **({} if arguments is None else {"arguments": arguments}), **more}
    return await client.call_tool(CALL, given)


def error_of(result: Any) -> dict[str, Any]:
    assert result.is_error, result
    return result.meta[meta.ERROR]


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_finds_looks_at_and_calls_what_no_list_shows(hub: Hub, mode: str) -> None:
    async with hub.client("/mcp/p/search", mode) as client:
        listed = [tool.name for tool in (await client.list_tools()).tools]
        assert listed == [SEARCH, DESCRIBE, CALL, "test_store_listBoxes"]
        best, *_ = await found(client, "put something into the store")
        assert best["name"] == "test_store_putBox"
        assert best["summary"] == "Put a box into the store."
        assert (best["readOnly"], best["destructive"]) == (False, False)
        described = (await client.call_tool(DESCRIBE, {"name": best["name"]})).structured_content
        assert described["canonicalName"] == "test.store.putBox"
        assert described["inputSchema"]["required"] == ["name"]
        assert described["outputSchema"]["required"] == ["names"]
        assert described["annotations"]["readOnlyHint"] is False
        for result in (
            await call(client, best["name"], {"name": "hats"}),
            await client.call_tool(best["name"], {"name": "hats"}),
        ):
            assert result.structured_content == {"names": ["hats"]}
            assert meta.CORRELATION_ID in result.meta


@pytest.mark.parametrize("mode", MODES)
async def test_a_stranger_is_found_and_called_by_each_of_its_names(hub: Hub, mode: str) -> None:
    async with hub.client("/mcp/p/strangers", mode) as client:
        items = await found(client, "argument repeated in a header", limit=10)
        assert {"ext_modern_region_in_header", "ext_handshake_region_in_header"} <= {
            each["name"] for each in items
        }
        assert all(each["name"].startswith("ext_") for each in items)
        for tool, given in ((SEARCH, {"query": "echo"}), (DESCRIBE, {"name": "ext_modern_echo"})):
            told = await client.call_tool(tool, given)
            assert told.meta[meta.UNTRUSTED] is True, "strangers wrote what it says"
        for name in ("ext_modern_region_in_header", "ext.modern.region_in_header"):
            result = await call(client, name, {"region": "eu"})
            assert result.content[0].text == "region: eu"
        assert error_of(await call(client, "test_store_listBoxes"))["code"] == "not_found"
        said = await call(client, "ext_handshake_echo", {"text": "ahoy"})
        assert said.structured_content == {"text": "ahoy"}


async def test_names_are_those_of_the_view_that_asks(hub: Hub) -> None:
    async with hub.client("/mcp/p/dots") as client:
        items = await found(client, "boxes on a shelf")
        assert items[0]["name"] == "test.store.listBoxes"
        described = await client.call_tool("master.tools.describe", {"name": "test_store_count"})
        assert described.structured_content["name"] == "test.store.count"
    async with hub.client("/servers/master/mcp") as client:
        assert [each["name"] for each in await found(client, "health")] == [
            "master.getServiceHealth"
        ]


@pytest.mark.parametrize("mode", MODES)
async def test_what_a_tool_asks_reaches_the_person_behind_the_call(hub: Hub, mode: str) -> None:
    async def fill(context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"answer": f"to {params.message}"})

    async with hub.client("/mcp/p/search", mode, elicitation_callback=fill) as client:
        for server in ("modern", "handshake"):
            asked = await call(client, f"ext_{server}_ask_in_turn", {"count": 3})
            assert json.loads(asked.content[0].text) == [f"to Question {n}" for n in (1, 2, 3)]


async def test_approval_and_arguments_are_judged_as_the_tools_own(hub: Hub) -> None:
    async with hub.client("/mcp/p/search") as client:
        error = error_of(await call(client, "test_store_wipe"))
        assert error["code"] == "approval_required"
        assert "test.store.wipe" in error["message"]
        error = error_of(await call(client, "test_store_putBox", {"nam": "x"}))
        assert error["code"] == "invalid_argument"
        described = await client.call_tool(DESCRIBE, {"name": "test.store.wipe"})
        assert described.structured_content["needsApproval"] is True


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "needs name"),
        ({"name": ""}, "needs name"),
        ({"name": 7}, "needs name"),
        ({"name": "test_store_count", "arguments": '{"number": 1}'}, "must be an object, not str"),
        ({"name": "test_store_count", "arguments": [1]}, "must be an object, not list"),
        ({"name": "test_store_count", "number": 1}, "takes name and arguments, not 'number'"),
        ({"name": "master_tools_call", "arguments": {"name": "test_store_count"}}, "itself"),
        ({"name": "master.tools.call", "arguments": {}}, "itself"),
        ({"tool": "test_store_count"}, "takes name and arguments, not 'tool'"),
    ],
)
async def test_a_call_that_describes_none_is_told_why(
    hub: Hub, given: dict[str, Any], told: str
) -> None:
    async with hub.client("/mcp/p/search", "legacy") as client:
        # Past the SDK's own check of the arguments, which a model's client need not have.
        error = error_of(await client.call_tool(CALL, given))
    assert error["code"] == "invalid_argument"
    assert told in error["message"]
    assert error["hint"]


async def test_a_tool_that_is_nowhere_is_told_with_the_nearest(hub: Hub) -> None:
    async with hub.client("/mcp/p/search") as client:
        for name in (CALL, DESCRIBE):
            error = error_of(await client.call_tool(name, {"name": "test_store_cuont"}))
            assert error["code"] == "not_found"
            assert error["hint"].startswith("Did you mean test_store_count")


async def test_metrics_know_the_inner_tool_alone(hub: Hub) -> None:
    async def counted(http: httpx2.AsyncClient, tool: str) -> float:
        text = (await http.get(f"{hub.fleet.url}/metrics")).text
        wanted = f'tool="{tool}"}}'
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.startswith("mcp_requests_total{") and wanted in line
        )

    async with httpx2.AsyncClient() as http, hub.client("/mcp/p/search") as client:
        before = await counted(http, "test.store.count"), await counted(http, "master.tools.call")
        await call(client, "test_store_count", {"number": 1})
        after = await counted(http, "test.store.count"), await counted(http, "master.tools.call")
    assert (after[0] - before[0], after[1] - before[1]) == (1, 0)


async def test_what_is_asked_for_badly_or_in_vain_is_answered_in_words(hub: Hub) -> None:
    async with hub.client("/mcp/p/search", "legacy") as client:
        for query in ("", "x" * 301):
            error = error_of(await client.call_tool(SEARCH, {"query": query}))
            assert error["code"] == "invalid_argument"
        for limit in (0, 51):
            error = error_of(await client.call_tool(SEARCH, {"query": "box", "limit": limit}))
            assert error["code"] == "invalid_argument"
        result = await client.call_tool(SEARCH, {"query": "quux zyzzyva"})
        assert result.structured_content["items"] == []
        assert "Say what to do" in result.structured_content["hint"]
        result = await client.call_tool(SEARCH, {"query": "box", "limit": 1})
        content = result.structured_content
        assert (content["returned"], content["truncated"]) == (1, True)
        assert content["total"] > 1


async def test_a_client_that_searches_hears_nothing_of_lists_that_it_is_not_shown(
    hub: Hub,
) -> None:
    heard: dict[str, list[str]] = {"/mcp": [], "/mcp/p/search": []}

    async def listening(path: str, *, task_status: Any) -> None:
        async with (
            hub.client(path) as client,
            client.listen(tools_list_changed=True, prompts_list_changed=True) as events,
        ):
            task_status.started(client)
            async for event in events:
                heard[path].append(type(event).__name__)

    async with anyio.create_task_group() as group:
        clients = [await group.start(listening, path) for path in heard]
        for number in (1, 2):
            await clients[0].call_tool("ext.modern.add_tool", {"name": f"tool{number}"})
            await until(lambda: len(heard["/mcp"]) >= number)  # noqa: B023
            await clients[0].call_tool("ext.modern.remove_tool", {"name": f"tool{number}"})
        # It hears of prompts, and in order: before them nothing of tools has come.
        await clients[0].call_tool("ext.modern.test_trigger_prompt_change", {})
        await until(lambda: heard["/mcp/p/search"])
        assert set(heard["/mcp/p/search"]) == {"PromptsListChanged"}
        group.cancel_scope.cancel()


async def test_a_tool_that_comes_and_goes_is_found_and_lost(hub: Hub) -> None:
    name = "measureTemperature"
    async with hub.client("/mcp/p/search") as client:

        async def finds_it() -> bool:
            items = await found(client, "measure the temperature")
            return f"ext_modern_{name}" in [each["name"] for each in items]

        async def has_lost_it() -> bool:
            return not await finds_it()

        assert not await finds_it()
        await client.call_tool("ext.modern.add_tool", {"name": name})
        await until(finds_it)
        await client.call_tool("ext.modern.remove_tool", {"name": name})
        await until(has_lost_it)
