"""A token for certain profiles reaches those, and no other way into the fleet."""

from typing import Any

import pytest

from .conftest import OpenHub, bearing

pytestmark = pytest.mark.anyio

ELSEWHERE = (
    "/mcp",
    "/mcp?names=dotted",
    "/mcp/",
    "/mcp/p/default",
    "/mcp/p/search/../default",
    "/dotted/mcp",
    "/servers/mirror/mcp",
    "/messages/?session_id=x",
    "/dotted/messages/?session_id=x",
    "/servers/mirror/messages/?session_id=x",
)


@pytest.mark.real
async def test_a_token_for_one_profile_is_refused_wherever_else_it_comes(open_hub: OpenHub) -> None:
    async with open_hub() as hub:
        token = (await hub.make("kiosk", "viewer", profiles=["search"]))["secret"]
        assert (await hub.who(token, "/mcp/p/search"))["name"] == "kiosk"
        assert (await hub.ask(token, "/mcp/p/search?names=dotted")).status_code == 200
        for path in ELSEWHERE:
            response = await hub.ask(token, path)
            assert response.status_code == 403, path
            assert response.json()["error"]["hint"] == "It may use /mcp/p/search."
        for path in ("/sse", "/dotted/sse", "/servers/mirror/sse", "/mcp/servers"):
            response = await hub.http.get(hub.url + path, headers=bearing(token))
            assert response.status_code == 403, path
        everywhere = (await hub.make("ada", "viewer"))["secret"]
        for path in ("/mcp", "/mcp/p/search", "/servers/mirror/mcp"):
            assert (await hub.ask(everywhere, path)).status_code == 200


@pytest.mark.real
async def test_a_token_for_the_default_profile_may_use_it_by_both_of_its_paths(
    open_hub: OpenHub,
) -> None:
    async with open_hub() as hub:
        token = (await hub.make("kiosk", "viewer", profiles=["default", "search"]))["secret"]
        for path in ("/mcp", "/mcp/p/default", "/mcp/p/search", "/dotted/mcp"):
            assert (await hub.ask(token, path)).status_code == 200, path
        refused = await hub.ask(token, "/servers/mirror/mcp")
        assert refused.json()["error"]["hint"] == "It may use /mcp, /mcp/p/search."


@pytest.mark.real
async def test_a_session_does_not_carry_a_token_out_of_its_profile(open_hub: OpenHub) -> None:
    async with open_hub() as hub:
        token = (await hub.make("kiosk", "viewer", profiles=["search"]))["secret"]
        asked: dict[str, Any] = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "test", "version": "1"},
            },
        }
        marks = {"accept": "application/json, text/event-stream", **bearing(token)}
        opened = await hub.http.post(f"{hub.url}/mcp/p/search", json=asked, headers=marks)
        marks["mcp-session-id"] = opened.headers["mcp-session-id"]
        listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        for path, status in (("/mcp/p/search", 200), ("/mcp", 403), ("/servers/mirror/mcp", 403)):
            response = await hub.http.post(hub.url + path, json=listing, headers=marks)
            assert response.status_code == status, path
        # Nor does another principal's token carry the session anywhere.
        marks["authorization"] = f"Bearer {hub.admin}"
        response = await hub.http.post(f"{hub.url}/mcp/p/search", json=listing, headers=marks)
        assert response.status_code == 404
