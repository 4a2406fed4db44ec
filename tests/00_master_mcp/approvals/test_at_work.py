"""Approvals in a running hub: by the tools, by the owner's commands, and over a restart."""

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest
from anyio import to_thread
from mcp import Client
from typer.testing import CliRunner

from flotilla.cli.app import app
from flotilla.cli.owner import CommandFailed
from flotilla.cli.terminal import plain
from flotilla.fleet import HUB
from master import build
from master.settings import Settings
from tests.conftest import until

from .asking.conftest import House, OpenHouse, error_of, http
from .asking.conftest import open_house as open_house

WIPE, GET, LIST, DECIDE = (
    "test_shop_wipe",
    "master_approvals_get",
    "master_approvals_list",
    "master_approvals_decide",
)
FORGED = "a\x1b[2J\u202e\nallowed: yes"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def house(
    anyio_backend: str, open_house: OpenHouse, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[House]:
    async with open_house(
        tmp_path_factory.mktemp("house"), max_pending_each=50, max_asked_per_minute=1000
    ) as opened:
        yield opened


pytestmark = pytest.mark.anyio


async def ask(client: Client, **arguments: Any) -> dict[str, Any]:
    """The error of a call that waits, asked by a client that nobody can be asked at."""
    error = error_of(await client.call_tool(WIPE, arguments))
    assert error["code"] == "approval_required", error
    return error


async def told(client: Client, name: str, /, **arguments: Any) -> Any:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result.content
    return result.structured_content


async def refused(client: Client, tool: str, /, **arguments: Any) -> tuple[str, str | None]:
    error = error_of(await client.call_tool(tool, arguments))
    return error["code"], error.get("reason")


async def command(house: House, *words: str) -> Any:
    """The result of a command of the owner's, run in a thread of this process."""
    env = {
        "FLOTILLA_HUB_URL": house.fleet.url,
        "FLOTILLA_OWNER_TOKEN_FILE": str(house.fleet.common.data_dir / "owner_token"),
    }
    invoke = CliRunner().invoke
    return await to_thread.run_sync(lambda: invoke(app, ["approvals", *words], env=env))


def json_in(told: Any) -> Any:
    """What a command printed, among the log lines that the hub of this process writes."""
    (line,) = [line for line in told.stdout.splitlines() if line.startswith("{")]
    return json.loads(line)


async def test_a_call_waits_is_decided_by_another_s_tool_and_its_result_is_the_asker_s(
    house: House,
) -> None:
    operator, approver, other = [
        await house.token(role) for role in ("operator", "approver", "operator")
    ]
    async with (
        house.client(headers=operator) as asking,
        house.client(headers=approver) as deciding,
        house.client(headers=other) as looking,
    ):
        approval = (await ask(asking, disk="sda"))["approvalId"]
        assert (await told(asking, GET, id=approval))["state"] == "pending"
        (item,) = (await told(deciding, LIST, tool="test.shop.wipe"))["items"]
        assert (item["id"], item["principal"]) == (approval, "person-0")
        assert (await told(looking, LIST, state="all"))["items"] == []
        assert await refused(looking, GET, id=approval) == ("not_found", "approval_unknown")
        assert await refused(looking, LIST, principal="person-0") == ("not_allowed", None)
        assert (await refused(looking, DECIDE, id=approval, decision="approve"))[0] == "not_allowed"

        decided = await told(deciding, DECIDE, id=approval, decision="approve", reason="fine")
        assert decided["state"] == "approved"
        ended = await house.ended(approval)
        assert house.shop.wiped[-1:] == ["sda"]
        assert (ended["decidedBy"], ended["way"], ended["reason"]) == ("person-1", "tool", "fine")
        mine = await told(asking, GET, id=approval)
        assert mine["result"]["structuredContent"] == {"text": "sda is blank"}
        again = await refused(deciding, DECIDE, id=approval, decision="deny")
        assert again == ("conflict", "already_decided")


async def test_nobody_and_no_robot_decides_over_a_call_of_its_own_principal(house: House) -> None:
    robot, viewer = await house.token("approver", robot=True), await house.token("viewer")
    async with house.client() as admin, house.client(headers=robot) as machine:
        approval = (await ask(admin, disk="own"))["approvalId"]
        why = await refused(admin, DECIDE, id=approval, decision="approve")
        assert why == ("not_allowed", "self_approval")
        why = await refused(machine, DECIDE, id=approval, decision="approve")
        assert why == ("not_allowed", "not_interactive")
        why = await refused(
            admin,
            "master_tools_call",
            name="master.approvals.decide",
            arguments={"id": approval, "decision": "approve"},
        )
        assert why == ("not_allowed", "self_approval")
    async with house.client(headers=viewer) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert GET in names and DECIDE not in names
        code, _ = await refused(client, DECIDE, id=approval, decision="approve")
        assert code == "not_allowed"
    async with http(house.fleet.headers) as admin:
        url = f"{house.fleet.url}/api/approvals"
        assert (await admin.get(url)).status_code == 403
        body = {"decision": "approve"}
        assert (await admin.post(f"{url}/{approval}/decide", json=body)).status_code == 403
    assert (await house.approval(approval))["state"] == "pending"
    assert "own" not in house.shop.wiped


async def test_the_owner_decides_at_a_terminal(house: House) -> None:
    async with house.client() as admin:
        good, bad = [(await ask(admin, disk=disk))["approvalId"] for disk in ("sdb", "none")]
        never = (await ask(admin, disk="sdc"))["approvalId"]
    listed = await command(house, "list")
    assert listed.exit_code == 0
    assert {good, bad, never} <= {line.split("\t")[0] for line in listed.stdout.splitlines()}
    shown = (await command(house, "show", good[:10])).stdout
    for words in (good, "pending, 14 min", "test.shop.wipe of shop", "asked by  admin", '"sdb"'):
        assert words in shown, shown
    done = await command(house, "approve", good, "--reason", "asked me", "--for", "5")
    assert (done.exit_code, "It has run:" in done.stdout) == (0, True), done.output
    failed = await command(house, "approve", bad)
    assert (failed.exit_code, "It failed:" in failed.stdout) == (1, True), failed.output
    denied = await command(house, "deny", never, "--reason", "not today")
    assert (denied.exit_code, "will not run" in denied.stdout) == (0, True), denied.output
    assert (await house.approval(never))["reason"] == "not today"
    ended = await command(house, "deny", good)
    assert "asked for again" in ended.stdout, ended.output
    with_json = json_in(await command(house, "show", good, "--json"))
    assert (with_json["way"], with_json["decidedBy"]) == ("cli", "owner")
    page = json.loads(
        (await command(house, "list", "--state", "all", "--json", "--limit", "1")).stdout
    )
    assert len(page["items"]) == 1 and page["truncated"] is True
    assert "sdc" not in house.shop.wiped


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("approve", "../tokens"), "invalid_argument", "no ID"),
        (("show", "0" * 16), "not_found", "no such approval"),
        (("list", "--state", "odd"), "invalid_argument", "state is one of"),
        (("watch", "--ask"), "invalid_argument", "terminal"),
    ],
)
async def test_a_command_says_what_was_wrong(
    house: House, words: tuple[str, ...], code: str, message: str
) -> None:
    error = (await command(house, *words)).exception
    assert isinstance(error, CommandFailed)
    assert error.code == code and message in error.message


async def test_what_a_caller_wrote_steers_no_terminal_and_forges_no_line(house: House) -> None:
    async with house.client() as admin:
        approval = (await ask(admin, disk=FORGED))["approvalId"]
    for words in (("list",), ("show", approval)):
        out = (await command(house, *words)).stdout
        assert "\x1b" not in out and "\u202e" not in out
        assert not any(line.startswith("allowed:") for line in out.splitlines()), out
    assert plain(FORGED) == "a\\x1b[2J\\u202e\\nallowed: yes"


async def test_a_token_that_was_revoked_runs_nothing_though_it_was_allowed(house: House) -> None:
    headers = await house.token("operator")
    async with house.client(headers=headers) as client:
        approval = (await ask(client, disk="late"))["approvalId"]
    name = (await house.approval(approval))["principal"]
    await house.api("DELETE", f"/tokens/{name}")
    await house.api("POST", f"/approvals/{approval}/decide", {"decision": "approve"})
    ended = await house.ended(approval)
    assert ended["result"]["isError"] is True
    assert "no live credential" in ended["result"]["content"][0]["text"]
    assert "late" not in house.shop.wiped


async def test_a_role_that_was_taken_away_counts_when_the_call_runs(house: House) -> None:
    operator = await house.token("operator")
    async with house.client(headers=operator) as client:
        approval = (await ask(client, disk="demoted"))["approvalId"]
    name = (await house.approval(approval))["principal"]
    await house.api("DELETE", f"/tokens/{name}")
    await house.api("POST", "/tokens", {"name": name, "roles": ["viewer"], "robot": False})
    await house.api("POST", f"/approvals/{approval}/decide", {"decision": "approve"})
    text = (await house.ended(approval))["result"]["content"][0]["text"]
    assert json.loads(text)["error"]["code"] == "not_allowed"
    assert "demoted" not in house.shop.wiped


async def test_the_audit_tells_the_whole_story_of_an_approval(house: House) -> None:
    async with house.client() as admin:
        approval = (await ask(admin, disk="sdd"))["approvalId"]
        await refused(admin, DECIDE, id=approval, decision="approve")
    await house.api("POST", f"/approvals/{approval}/decide", {"decision": "approve"})
    ended = await house.ended(approval)

    async def story() -> list[tuple[str, str]]:
        rows = (await house.api("GET", "/audit?limit=200"))["items"]
        found: list[Mapping[str, Any]] = [each["row"] for each in reversed(rows)]
        return [
            (row["kind"], row.get("outcome", "ok"))
            for row in found
            if row.get("approval") == approval
        ]

    async def whole() -> bool:
        return {("approval", "ended"), ("call", "ok")} <= set(await story())

    await until(whole)
    told = await story()
    for step in ("asked", "self_approval", "approved", "begun", "ended"):
        assert told.count(("approval", step)) == 1, told
    ran = (await house.api("GET", f"/audit?correlationId={ended['runCorrelationId']}"))["items"]
    assert {"intent", "call"} <= {each["row"]["kind"] for each in ran}


async def test_what_waits_outlives_the_hub(house: House) -> None:
    async with house.client() as admin:
        approval = (await ask(admin, disk="patient"))["approvalId"]
    await house.fleet.stop(HUB)
    settings = Settings(mcp_config=house.fleet.common.data_dir.parent / "mcp.json")
    fleet = house.fleet
    await fleet.start(HUB, lambda: build(settings, fleet.common, fleet.fleet))
    await fleet.ready()
    assert (await house.approval(approval))["state"] == "pending"
    done = await command(house, "approve", approval, "--json")
    assert done.exit_code == 0, done.output
    assert json_in(done)["result"]["structuredContent"] == {"text": "patient is blank"}
    assert house.shop.wiped.count("patient") == 1
