"""Profiles through a real hub, to clients of both eras."""

from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.shared.exceptions import MCPError

from flotilla import meta

from .conftest import Hub

pytestmark = pytest.mark.anyio

MODES = ("2026-07-28", "legacy")
FINDERS = ["master_tools_search", "master_tools_describe", "master_tools_call"]


async def names_of(client: Any) -> list[str]:
    return [tool.name for tool in (await client.list_tools(cache_mode="refresh")).tools]


def error_of(result: Any) -> dict[str, Any]:
    assert result.is_error, result
    return result.meta[meta.ERROR]


@pytest.mark.parametrize("mode", MODES)
async def test_mcp_itself_lists_what_it_always_did(hub: Hub, mode: str) -> None:
    async with hub.client("/mcp", mode) as client:
        names = await names_of(client)
    assert names[:2] == ["master_getServiceHealth", "master_listServices"]
    own = [name for name in names if not name.startswith("master_")]
    assert own[:2] == ["test_store_listBoxes", "test_store_putBox"]
    assert not set(FINDERS) & set(names)
    assert "ext_modern_echo" in names
    assert names.index("ext_handshake_echo") < names.index("ext_modern_echo")


@pytest.mark.parametrize("mode", MODES)
async def test_a_profile_shows_and_serves_its_own_tools_alone(hub: Hub, mode: str) -> None:
    async with hub.client("/mcp/p/store", mode) as client:
        names = await names_of(client)
        assert names == [
            "test_store_wipe",
            "test_store_listBoxes",
            "test_store_putBox",
            "test_store_count",
        ]
        put = await client.call_tool("test_store_putBox", {"name": "shoes"})
        assert put.structured_content == {"names": ["shoes"]}
        for outside in ("ext_modern_echo", "ext.modern.echo", "master_listServices"):
            error = error_of(await client.call_tool(outside, {"text": "hello"}))
            assert error["code"] == "not_found"
            assert "in profile 'store'" in error["message"]


@pytest.mark.parametrize("mode", MODES)
async def test_the_naming_is_the_profiles_and_the_address_goes_before_it(
    hub: Hub, mode: str
) -> None:
    async with hub.client("/mcp/p/dots", mode) as client:
        names = await names_of(client)
        assert names[0] == "test.store.listBoxes" and "ext.modern.echo" in names
        for name in ("test.store.count", "test_store_count"):
            assert (await client.call_tool(name, {"number": 3})).structured_content == {"text": "3"}
    async with hub.client("/mcp/p/dots?names=safe", mode) as client:
        assert "test_store_listBoxes" in await names_of(client)


async def test_read_only_serves_no_tool_that_writes_nor_a_strangers_unless_it_is_named(
    hub: Hub,
) -> None:
    async with hub.client("/mcp/p/reading") as client:
        names = await names_of(client)
        assert "test_store_listBoxes" in names and "ext_modern_echo" in names
        assert "ext_handshake_echo" not in names and "test_store_putBox" not in names
        for name in ("test_store_putBox", "test.store.wipe", "ext_handshake_echo"):
            assert error_of(await client.call_tool(name, {}))["code"] == "not_found"
        wrapped = {"name": "test_store_wipe"}
        refused = await client.call_tool("master_tools_call", wrapped)
        assert error_of(refused)["code"] == "not_found"


@pytest.mark.parametrize("mode", MODES)
async def test_prompts_resources_and_completion_keep_to_the_profile(hub: Hub, mode: str) -> None:
    prompt = types.PromptReference(name="ext_modern_test_prompt_with_arguments")
    part = {"name": "arg1", "value": "per"}
    async with hub.client("/mcp/p/store", mode) as client:
        assert (await client.list_prompts()).prompts == []
        assert (await client.list_resources()).resources == []
        assert (await client.list_resource_templates()).resource_templates == []
        for wanted in (
            client.get_prompt("ext_modern_test_simple_prompt"),
            client.read_resource("test://static-text"),
            client.complete(prompt, part),
        ):
            with pytest.raises(MCPError):
                await wanted
    async with hub.client("/mcp/p/dots", mode) as client:
        listed = [each.name for each in (await client.list_prompts()).prompts]
        assert "ext.modern.test_simple_prompt" in listed
        assert not [name for name in listed if name.startswith("ext.handshake")]
        uris = [str(each.uri) for each in (await client.list_resources()).resources]
        assert "test://static-text" in uris
        assert not [uri for uri in uris if "handshake" in uri]
        assert (await client.complete(prompt, part)).completion.values == ["perth"]
        assert (await client.get_prompt("ext_modern_test_simple_prompt")).messages
        assert (await client.read_resource("test://static-text")).contents


async def test_an_unknown_profile_is_not_found_and_the_known_ones_are_named(hub: Hub) -> None:
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    async with httpx2.AsyncClient(headers=hub.fleet.headers) as http:
        for path in ("/mcp/p/nobody", "/mcp/p/nobody/sse", "/mcp/p/"):
            answered = await http.post(f"{hub.fleet.url}{path}", json=ping)
            assert answered.status_code == 404
            error = answered.json()["error"]
            assert error["code"] == "not_found"
            assert error["hint"] == "One of default, search, store, dots, reading, strangers."
        answered = await http.post(f"{hub.fleet.url}/mcp/p/store?names=x", json=ping)
        assert answered.status_code == 400
    async with httpx2.AsyncClient() as http:
        answered = await http.post(f"{hub.fleet.url}/mcp/p/store", json=ping)
        assert answered.status_code == 401, "a profile is no way past authentication"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/mcp/p/store/sse", "test_store_listBoxes"),
        ("/mcp/p/dots/sse", "test.store.listBoxes"),
        ("/mcp/p/dots/sse?names=safe", "test_store_listBoxes"),
        ("/mcp/p/search/sse", "master_tools_search"),
    ],
)
async def test_a_client_of_http_and_sse_sees_the_profile_too(
    hub: Hub, path: str, shown: str
) -> None:
    opened = sse_client(hub.fleet.url + path, headers=hub.fleet.headers)
    async with Client(opened, mode="legacy") as client:
        assert shown in await names_of(client)
        counted = await client.call_tool("test_store_count", {"number": 2})
        assert counted.structured_content == {"text": "2"}


async def test_a_client_is_told_which_profile_it_sees_and_how_to_find_tools(hub: Hub) -> None:
    async with hub.client("/mcp/p/search", "legacy") as client:
        told = client.instructions or ""
    assert "the profile search: Everything by searching." in told
    assert "master_tools_search" in told
    async with hub.client("/mcp", "legacy") as client:
        assert "profile" not in (client.instructions or "")
