"""Lists reach the client whole, however many pages there are, and change while it looks."""

from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from .house import House
from .test_tools import tools_of
from .ways import SLOWEST, SLOWLY, WAYS, Way

pytestmark = pytest.mark.anyio

LISTS = ("list_tools", "list_prompts", "list_resources", "list_resource_templates")


async def test_a_cursor_that_was_never_given_is_refused(house: House, way: Way) -> None:
    async with house.client(way) as client:
        for method in LISTS:
            with pytest.raises(MCPError) as raised:
                await getattr(client, method)(cursor="of my own making", cache_mode="refresh")
            assert raised.value.code == -32602


class Changes:
    """What a client was told to have changed."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._more = anyio.Event()

    async def hear(self, message: Any) -> None:
        match message:
            case types.ToolListChangedNotification():
                self.add("Tools")
            case types.PromptListChangedNotification():
                self.add("Prompts")
            case types.ResourceListChangedNotification():
                self.add("Resources")
            case _:
                pass

    def add(self, kind: str) -> None:
        self.heard.append(kind)
        self._more.set()

    async def until(self, kind: str, within_s: float = 5) -> None:
        with anyio.fail_after(within_s):
            while kind not in self.heard:
                self._more = anyio.Event()
                await self._more.wait()


async def changing(client: Any, changes: Changes, tool: str, kind: str) -> None:
    """Change a list until the client was told: its stream may not stand yet."""
    with anyio.fail_after(8):
        while kind not in changes.heard:
            await client.call_tool(tool, {})
            with anyio.move_on_after(0.3):
                await changes.until(kind)


TOGGLES = {
    "Tools": "test_trigger_tool_change",
    "Prompts": "test_trigger_prompt_change",
    "Resources": "toggle_resource",
}


async def test_changed_lists_are_told_to_who_listens(house: House, way: Way) -> None:
    changes = Changes()
    async with house.client(way, message_handler=changes.hear) as client:
        if not way.modern:
            for kind, tool in TOGGLES.items():
                await changing(client, changes, tool, kind)
            return
        async with client.listen(
            tools_list_changed=True, prompts_list_changed=True, resources_list_changed=True
        ) as events:
            for tool in TOGGLES.values():
                await client.call_tool(tool, {})
            missing = {f"{kind}ListChanged" for kind in TOGGLES}
            with anyio.fail_after(8):
                async for event in events:
                    missing.discard(type(event).__name__)
                    if not missing:
                        return
            assert not missing, "the stream ended before"


async def test_a_tool_added_and_removed_is_seen_at_once_after_it_was_told(
    house: House, way: Way
) -> None:
    changes, name = Changes(), f"added.{str(way).replace('-', '.')}"
    async with house.client(way, message_handler=changes.hear) as client:
        with anyio.fail_after(5):
            await client.call_tool("add_tool", {"name": name})
            while name not in await tools_of(client):
                await anyio.lowlevel.checkpoint()
        added = await client.call_tool(name, {})
        assert added.content[0].text == f"{name} was added while the server ran"
        with anyio.fail_after(5):
            await client.call_tool("remove_tool", {"name": name})
            while name in await tools_of(client):
                await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("way", SLOWEST, ids=str)
async def test_a_storm_of_changes_is_told_once_in_a_while_and_the_last_is_seen(
    house: House, way: Way
) -> None:
    changes, name = Changes(), f"storm.{str(way).replace('-', '.')}"
    async with house.client(way, message_handler=changes.hear) as client:
        for _ in range(50):
            await client.call_tool("test_trigger_tool_change", {})
        await client.call_tool("add_tool", {"name": name})
        with anyio.fail_after(5):
            while name not in await tools_of(client):
                await anyio.lowlevel.checkpoint()
        await client.call_tool("remove_tool", {"name": name})
    assert changes.heard.count("Tools") <= 60


ODD = ("a.b.c", "UPPER_lower-1", "x" * 128, "1", "-", "a__b", "a.b_c", "a_b.c")


@pytest.mark.parametrize("way", SLOWLY, ids=str)
async def test_tools_of_odd_names_are_listed_and_called(house: House, way: Way) -> None:
    world, server = house.world(way), way.south.name
    async with house.client(way) as client, house.client(way, view="") as fleet:
        for name in ODD:
            await client.call_tool("add_tool", {"name": name})
        with anyio.fail_after(5):
            while not set(ODD) <= set(await tools_of(client)):
                await anyio.lowlevel.checkpoint()
        by_name = {
            tool.meta["io.flotilla/name"]: safe for safe, tool in (await tools_of(fleet)).items()
        }
        safe = [by_name[f"ext.{server}.{name}"] for name in ODD]
        assert len(set(safe)) == len(ODD) and all(len(each) <= 64 for each in safe)
        for name, shown in zip(ODD, safe, strict=True):
            expected = f"{name} was added while the server ran"
            assert (await client.call_tool(name, {})).content[0].text == expected
            assert (await fleet.call_tool(shown, {})).content[0].text == expected
        # Not before: the hub may just be listing them page by page.
        for name in ODD:
            world.tools.pop(name)
        await client.call_tool("remove_tool", {"name": "none"})
        # Whoever adds them next would take those of the list before for their own.
        with anyio.fail_after(5):
            while set(ODD) & set(await tools_of(client)):
                await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("way", [way for way in WAYS if not way.direct], ids=str)
async def test_a_client_is_told_what_its_server_can_and_says(house: House, way: Way) -> None:
    async with house.client(way) as client:
        if way.modern:
            discover = types.DiscoverRequest(params=types.RequestParams())
            found: Any = await client.session.send_request(discover, types.DiscoverResult)
            assert found.supported_versions == ["2026-07-28"]
        else:
            found = client
            found.capabilities = client.server_capabilities
        assert "every feature of the protocol" in (found.instructions or "")
        assert found.capabilities.tools and found.capabilities.prompts
        assert found.capabilities.resources and found.capabilities.resources.subscribe
        assert found.capabilities.completions is not None
