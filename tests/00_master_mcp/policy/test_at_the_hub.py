"""A stolen read-only token, and what else should see and do no more than its role may."""

import json
from collections.abc import Callable
from typing import Any

import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from tests.conftest import until

from .conftest import House, error_of

pytestmark = pytest.mark.anyio

MODES = ("2026-07-28", "legacy")
PATHS = ("/mcp", "/mcp?names=dotted", "/mcp/p/search", "/servers/store/mcp")
OWN = {"master.approvals.list", "master.approvals.get"}
WRITES = ("test.store.putBox", "test.store.wipe")


async def listed(house: House, role: str, path: str = "/mcp?names=dotted") -> set[str]:
    async with house.client(role, path) as client:
        return {tool.name for tool in (await client.list_tools()).tools}


@pytest.fixture(autouse=True)
def nothing_was_done(house: House) -> Any:
    house.store.done.clear()
    yield
    assert house.store.done == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("path", PATHS)
async def test_a_stolen_token_that_reads_writes_by_no_way(
    house: House, path: str, mode: str
) -> None:
    async with house.client("viewer", path, mode) as client:
        for name in WRITES:
            for spelled in (name, name.replace(".", "_")):
                refused = error_of(await client.call_tool(spelled, {"name": "x"}))
                assert (refused["code"], refused["rules"]) == ("not_allowed", [])
            if path.startswith("/servers"):
                continue
            given = {"name": name, "arguments": {"name": "x"}}
            for call in ("master.tools.call", "master_tools_call"):
                assert error_of(await client.call_tool(call, given))["code"] == "not_allowed"


@pytest.mark.parametrize("path", ["/mcp", "/servers/store/mcp"])
@pytest.mark.parametrize("role", ["viewer", "admin"])
async def test_a_name_that_only_looks_like_a_tools_reaches_none(
    house: House, path: str, role: str
) -> None:
    async with house.client(role, path) as client:
        for name in (
            "TEST.STORE.PUTBOX",
            "test.store.putbox",
            "test_store.putBox",
            "test.store.putBox ",
            " test.store.putBox",
            "test.store.putBox\u200b",
            "test.store.putΒox",
            "ｔest.store.putBox",
            "test..store.putBox",
            "test.store.putBox\x00",
            "../store/putBox",
            "ext.store.putBox",
        ):
            assert error_of(await client.call_tool(name, {"name": "x"}))["code"] == "not_found"


async def test_calls_within_calls_reach_nothing(house: House) -> None:
    inner: dict[str, Any] = {
        "name": "master.tools.call",
        "arguments": {"name": WRITES[0], "arguments": {}},
    }
    async with house.client("viewer") as client:
        refused = error_of(await client.call_tool("master_tools_call", inner))
    assert refused["code"] == "invalid_argument"


async def test_each_role_is_listed_what_it_may_call(house: House) -> None:
    reading, writing = {"test.store.listBoxes"}, set(WRITES)
    assert reading | writing <= await listed(house, "admin")
    assert reading | writing <= await listed(house, "operator")
    viewer = await listed(house, "viewer")
    assert reading <= viewer
    assert not writing & viewer
    assert not any(name.startswith("ext.") for name in viewer)
    assert not (reading | writing) & await listed(house, "approver")
    assert await listed(house, "nothing") == OWN


@pytest.mark.parametrize("path", ["/servers/store/mcp", "/servers/stranger/mcp"])
async def test_a_server_that_is_shown_alone_shows_no_more(house: House, path: str) -> None:
    assert len(await listed(house, "viewer", path)) < len(await listed(house, "admin", path))
    assert await listed(house, "nothing", path) == set()


async def test_a_rule_that_hangs_on_arguments_hides_nothing_and_is_judged_at_the_call(
    house: House,
) -> None:
    assert "test.store.listBoxes" in await listed(house, "dayshift")
    async with house.client("dayshift") as client:
        allowed = await client.call_tool("test_store_listBoxes", {"host": "WEB-1"})
        assert allowed.structured_content == {"names": ["box on WEB-1"]}
        for arguments in ({}, {"host": "db-1"}, {"host": "db-1", "hosts": ["web-1"]}):
            assert error_of(await client.call_tool("test_store_listBoxes", arguments))["code"] == (
                "not_allowed"
            )


async def test_a_consent_that_a_rule_asks_for_is_asked(house: House) -> None:
    async with house.client("dayshift") as client:
        refused = error_of(await client.call_tool("test_store_putBox", {"name": "x"}))
    assert refused["code"] == "approval_required"


async def test_searching_finds_only_what_may_be_called(house: House) -> None:
    for role, found in (("viewer", False), ("operator", True)):
        async with house.client(role) as client:
            for query in ("put a box into the store", "test.store.putBox", "test_store"):
                result = await client.call_tool(
                    "master_tools_search", {"query": query, "limit": 50}
                )
                names = {item["name"] for item in result.structured_content["items"]}
                assert ("test_store_putBox" in names) is found
                assert len(names) == min(50, result.structured_content["total"])


async def test_describing_what_is_hidden_says_that_it_is_not_allowed(house: House) -> None:
    async with house.client("viewer") as client:
        given = {"name": "test.store.wipe"}
        refused = error_of(await client.call_tool("master_tools_describe", given))
        assert refused["code"] == "not_allowed"
        assert "Throw" not in json.dumps(refused)
        shown = await client.call_tool("master_tools_describe", {"name": "test.store.listBoxes"})
        assert not shown.is_error


async def test_a_misspelt_name_is_not_answered_with_a_hidden_one(house: House) -> None:
    async with house.client("viewer") as client:
        refused = error_of(await client.call_tool("test_store_wipf", {}))
        assert "wipe" not in json.dumps(refused)
    async with house.client("operator") as client:
        assert "test_store_wipe" in error_of(await client.call_tool("test_store_wipf", {}))["hint"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("path", ["/mcp", "/servers/stranger/mcp"])
async def test_a_strangers_prompts_and_resources_are_hidden_and_closed(
    house: House, path: str, mode: str
) -> None:
    async with house.client("admin", path, mode) as client:
        prompts = (await client.list_prompts()).prompts
        assert prompts
        assert (await client.list_resources()).resources
        assert (await client.list_resource_templates()).resource_templates
        assert (await client.read_resource("test://static-text")).contents
    async with house.client("viewer", path, mode) as client:
        assert (await client.list_prompts()).prompts == []
        assert (await client.list_resources()).resources == []
        assert (await client.list_resource_templates()).resource_templates == []
        prompt = next(each.name for each in prompts if "with_arguments" in each.name)
        for refused in (
            client.get_prompt(prompt, {"arg1": "a", "arg2": "b"}),
            client.read_resource("test://static-text"),
            client.read_resource("flotilla://servers/stranger/test://static-text"),
            client.read_resource("test://template/1/data"),
            client.complete(types.PromptReference(name=prompt), {"name": "arg1", "value": "a"}),
            client.complete(
                types.ResourceTemplateReference(uri="test://template/{id}/data"),
                {"name": "id", "value": "1"},
            ),
        ):
            with pytest.raises(MCPError) as raised:
                await refused
            assert raised.value.error.data["code"] == "not_allowed"


async def test_a_resource_that_may_not_be_read_may_not_be_watched(house: House) -> None:
    asked = types.SubscribeRequest(
        params=types.SubscribeRequestParams(uri="test://watched-resource")
    )
    async with house.client("viewer", "/servers/stranger/mcp", "legacy") as client:
        with pytest.raises(MCPError) as raised:
            await client.session.send_request(asked, types.EmptyResult)
        assert raised.value.error.data["code"] == "not_allowed"
    async with (
        house.client("viewer", "/servers/stranger/mcp") as client,
        client.listen(resource_subscriptions=["test://watched-resource"]) as events,
    ):
        assert not events.honored.resource_subscriptions
    async with house.client("admin", "/servers/stranger/mcp", "legacy") as client:
        await client.session.send_request(asked, types.EmptyResult)


async def test_a_denial_is_in_the_audit(house: House) -> None:
    async with house.client("dayshift") as client:
        await client.call_tool("test_store_wipe", {})
    rows = await audited(house, "principal=a-dayshift&tool=test.store.wipe")
    assert {row["outcome"] for row in rows} == {"not_allowed"}


async def test_the_rule_that_denied_is_in_the_answer_and_in_the_audit(house: House) -> None:
    async with house.client("dayshift") as client:
        refused = error_of(await client.call_tool("test_store_listBoxes", {"host": "web-13"}))
    assert refused["rules"] == ["nobody-on-13"]
    assert refused["message"].startswith("nobody-on-13 forbids the role dayshift to call")
    query = "principal=a-dayshift&tool=test.store.listBoxes&outcome=not_allowed"
    rows = await audited(house, query, lambda row: "web-13" in json.dumps(row))
    assert rows[0]["rules"] == ["nobody-on-13"]


async def test_the_audit_says_by_which_rules_the_hub_works(house: House) -> None:
    rules = await house.api("GET", "/policy/rules")
    assert {"viewer", "operator", "approver", "admin", "dayshift"} == set(rules["roles"])
    rows = await audited(house, "tool=policy.loaded")
    assert rows[0]["details"]["sha256"] == rules["digest"]


async def audited(
    house: House, query: str, wanted: Callable[[Any], bool] = lambda _: True
) -> list[Any]:
    """The rows of the audit that are wanted, once there are any; the newest first."""
    found: list[Any] = []

    async def there() -> bool:
        items = (await house.api("GET", f"/audit?{query}"))["items"]
        found[:] = [each["row"] for each in items if wanted(each["row"])]
        return bool(found)

    await until(there)
    return found


async def test_the_rules_are_the_owners_to_read(house: House) -> None:
    for path in ("/api/policy/rules", "/api/policy/explain"):
        for role in ("viewer", "admin"):
            headers = {"Authorization": f"Bearer {house.tokens[role]}"}
            method = "GET" if path.endswith("rules") else "POST"
            response = await house.http.request(
                method, f"{house.fleet.url}{path}", headers=headers, json={}
            )
            assert response.status_code == 403
