"""Servers of the handshake revisions: each principal has a session of their own."""

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import pytest
from mcp_types import ElicitResult

from tests.backends.openid_provider import OpenIdProvider

from .conftest import TOOL, House, OpenHouse, house_of, said
from .guarded import Browser
from .older import Older

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def older(provider: OpenIdProvider) -> AsyncGenerator[Older]:
    async with Older(provider).running() as running:
        yield running


@pytest.fixture(scope="module")
async def house(
    provider: OpenIdProvider,
    older: Older,
    start_fleet_in: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[House]:
    start = partial(start_fleet_in, tmp_path_factory.mktemp("older"))
    async with house_of(start, older, {"type": "oauth"}) as running:
        await opened(running, provider, "hub", "ada", "bob")
        await running.listed()
        yield running


async def opened(house: House, provider: OpenIdProvider, *names: str) -> None:
    for name in names:
        provider.person = f"{name}-at-crm"
        async with Browser() as browser:
            page = await browser.signs_in(await house.link(name))
            assert page.status_code == 200, page.text


async def test_no_two_principals_share_a_session(
    house: House, provider: OpenIdProvider, older: Older
) -> None:
    tokens = {name: await house.token(name) for name in ("ada", "bob")}
    for _ in range(2):
        for name, token in tokens.items():
            async with house.client(token) as client:
                assert said(await client.call_tool(TOOL, {})) == f"you are {name}-at-crm"
    held = {who: older.sessions[f"{who}-at-crm"] for who in ("hub", "ada", "bob")}
    assert all(len(each) == 1 for each in held.values()), held
    assert len(held["hub"] | held["ada"] | held["bob"]) == 3
    for token in tokens.values():
        assert not any(token.encode() in each for each in older.heard)


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_what_a_server_asks_reaches_whose_session_it_is(house: House, mode: str) -> None:
    asked: list[str] = []

    def person(name: str, colour: str) -> Any:
        async def answers(_context: Any, params: Any) -> ElicitResult:
            asked.append(f"{name}: {params.message}")
            return ElicitResult(action="accept", content={"colour": colour})

        return answers

    for name, colour in (("ada", "blue"), ("bob", "red")):
        token = await house.token(name)
        callback = person(name, colour)
        async with house.client(token, mode, elicitation_callback=callback) as client:
            told = said(await client.call_tool("ext_crm_askColour", {}))
            assert told == f"{name}-at-crm likes {colour}"
    assert asked == ["ada: Which colour?", "bob: Which colour?"]


async def test_a_session_outlives_its_token(
    house: House, provider: OpenIdProvider, older: Older
) -> None:
    async with house.client(await house.token("ada")) as client:
        assert said(await client.call_tool(TOOL, {})) == "you are ada-at-crm"
        renewed = provider.asked["/token"]
        # Every token that was issued so far is good no more.
        provider.rotate()
        assert said(await client.call_tool(TOOL, {})) == "you are ada-at-crm"
    assert provider.asked["/token"] > renewed


async def test_a_server_of_the_sdk_that_speaks_the_modern_era_needs_no_sessions(
    open_house: OpenHouse, provider: OpenIdProvider
) -> None:
    async with (
        Older(provider, modern=True).running() as newer,
        open_house(newer, {"type": "oauth"}) as house,
    ):
        await opened(house, provider, "hub", "ada", "bob")
        await house.listed()
        for name in ("ada", "bob"):
            async with house.client(await house.token(name)) as client:
                assert said(await client.call_tool(TOOL, {})) == f"you are {name}-at-crm"
        assert newer.sessions == {}
