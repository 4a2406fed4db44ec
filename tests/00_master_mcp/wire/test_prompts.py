"""Prompts, and the completion of arguments."""

from typing import Any

import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from .house import House
from .ways import THROUGH, Way

pytestmark = pytest.mark.anyio

WORDS = {"arg1": "a", "arg2": "b"}


async def prompts_of(client: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    cursor = None
    while True:
        page = await client.list_prompts(cursor=cursor, cache_mode="refresh")
        found |= {prompt.name: prompt for prompt in page.prompts}
        if (cursor := page.next_cursor) is None:
            return found


async def test_prompts_are_filled_in_with_every_kind_of_content(house: House, way: Way) -> None:
    async with house.client(Way(None, way.south)) as direct, house.client(way) as client:
        for name, arguments in (
            ("test_simple_prompt", None),
            ("test_prompt_with_arguments", WORDS),
            ("test_prompt_with_embedded_resource", {"resourceUri": "test://x"}),
            ("test_prompt_with_image", {}),
        ):
            known = await direct.get_prompt(name, arguments)
            assert (await client.get_prompt(name, arguments)).messages == known.messages


async def test_what_a_prompt_lacks_is_an_error(house: House, way: Way) -> None:
    async with house.client(way) as client:
        with pytest.raises(MCPError, match="missing arguments: arg2") as raised:
            await client.get_prompt("test_prompt_with_arguments", {"arg1": "a"})
        assert raised.value.code == -32602
        with pytest.raises(MCPError) as raised:
            await client.get_prompt("no_such_prompt", {})
        assert raised.value.code == -32602


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_every_prompt_is_listed_as_its_server_lists_it(house: House, way: Way) -> None:
    async with house.client(Way(None, way.south)) as direct, house.client(way) as client:
        known, listed = await prompts_of(direct), await prompts_of(client)
    assert list(listed) == list(known)
    for name, prompt in known.items():
        assert listed[name].model_copy(update={"meta": None}) == prompt


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_the_view_of_the_fleet_has_prompts_under_the_names_of_tools(
    house: House, way: Way
) -> None:
    server = way.south.name
    async with house.client(way, view="") as client:
        assert f"ext_{server}_test_simple_prompt" in await prompts_of(client)
        for name in (f"ext_{server}_", f"ext.{server}."):
            filled = await client.get_prompt(f"{name}test_prompt_with_arguments", WORDS)
            assert filled.messages[0].content.text == "Two words came: arg1='a', arg2='b'"


async def test_arguments_of_prompts_and_templates_are_completed(house: House, way: Way) -> None:
    async with house.client(way) as client:
        prompt = types.PromptReference(name="test_prompt_with_arguments")
        found = (await client.complete(prompt, {"name": "arg1", "value": "par"})).completion
        assert found.values == ["paris", "park", "party", "parma"]
        given = {"arg1": "porto"}
        found = (await client.complete(prompt, {"name": "arg2", "value": ""}, given)).completion
        assert found.values == ["portugal"]
        template = types.ResourceTemplateReference(uri="test://template/{id}/data")
        found = (await client.complete(template, {"name": "id", "value": ""})).completion
        assert (len(found.values), found.total, found.has_more) == (100, 150, True)


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_completion_finds_its_server_in_the_view_of_the_fleet(house: House, way: Way) -> None:
    server = way.south.name
    async with house.client(way, view="") as client:
        for name in (
            f"ext_{server}_test_prompt_with_arguments",
            f"ext.{server}.test_prompt_with_arguments",
        ):
            ref = types.PromptReference(name=name)
            found = (await client.complete(ref, {"name": "arg1", "value": "per"})).completion
            assert found.values == ["perth"]
        for uri in (
            "test://template/{id}/data",
            f"flotilla://servers/{server}/test://template/{{id}}/data",
        ):
            template = types.ResourceTemplateReference(uri=uri)
            found = (await client.complete(template, {"name": "id", "value": "14"})).completion
            assert found.values == [f"14{digit}" for digit in range(10)]
