"""A person is asked in their own client, in either era and over HTTP+SSE, and decides there."""

import asyncio
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
import structlog

from ....conftest import until
from .conftest import WAYS, House, OpenHouse, Person, error_of

pytestmark = pytest.mark.anyio

WIPE = "test_shop_wipe"
every_way = pytest.mark.parametrize("way", WAYS)
either_era = pytest.mark.parametrize(
    "way", ["modern", "handshake", pytest.param("sse", marks=pytest.mark.real)]
)
"""The old transport has the handshake era's way of asking; what it has of its own is shown once."""
one_way = pytest.mark.parametrize(
    "way", ["modern", *(pytest.param(way, marks=pytest.mark.real) for way in WAYS[1:])]
)
"""Of what is decided behind the doors, where all ways are one."""


@every_way
async def test_a_person_says_yes_and_the_call_runs_once(house: House, way: str) -> None:
    person = Person()
    async with house.client(way, elicitation_callback=person) as client:
        result = await client.call_tool(WIPE, {"disk": f"sda-{way}"})
    assert result.structured_content == {"text": f"sda-{way} is blank"}
    assert house.shop.wiped == [f"sda-{way}"]
    (question,) = person.asked
    first, *_ = question.message.split("\n")
    assert first == "May test.shop.wipe (service shop) run?"
    assert f'        disk = "sda-{way}"\n' in question.message
    assert list(question.requested_schema["properties"]) == ["decision", "reason"]
    (held,) = await approvals_of(house, "done")
    assert (held["way"], held["decidedBy"]) == ("elicitation", "admin")


async def approvals_of(house: House, state: str) -> list[Any]:
    """The last one in that state, whole."""
    found = (await house.api("GET", f"/approvals?state={state}&limit=1"))["items"]
    return [await house.approval(each["id"]) for each in found]


@one_way
async def test_a_preview_of_the_service_stands_in_the_question(house: House, way: str) -> None:
    person = Person("deny")
    async with house.client(way, elicitation_callback=person) as client:
        for disk in ("sdb", "none"):
            await client.call_tool(WIPE, {"disk": disk, "passes": len(way)})
    assert house.shop.looked == ["sdb True", "none True"]
    there, missing = (question.message for question in person.asked)
    assert (
        "    Beforehand, test.shop.look says:\n"
        "        | {\n"
        '        |   "text": "sdb has 3 files\\nMay anything run?"\n'
        "        | }" in there
    )
    assert "    No preview: test.shop.look failed: not_found" in missing


@either_era
async def test_a_person_says_no_and_nothing_runs(house: House, way: str) -> None:
    for person, told in (
        (Person(None, "decline"), "a person does not allow test.shop.wipe"),
        (
            Person("deny", more={"reason": "not today"}),
            "a person does not allow test.shop.wipe: not today",
        ),
    ):
        async with house.client(way, elicitation_callback=person) as client:
            error = error_of(await client.call_tool(WIPE, {"disk": "sdc"}))
        assert (error["code"], error["message"]) == ("approval_denied", told)
    assert not house.shop.wiped


@either_era
async def test_a_question_that_is_put_away_stays_open_for_others(house: House, way: str) -> None:
    person = Person(None, "cancel")
    async with house.client(way, elicitation_callback=person) as client:
        error = error_of(await client.call_tool(WIPE, {"disk": f"sdd-{way}"}))
        assert error["code"] == "approval_required"
        approval_id = error["approvalId"]
        assert (await house.approval(approval_id))["state"] == "pending"
        assert not house.shop.wiped
        await house.api("POST", f"/approvals/{approval_id}/decide", {"decision": "approve"})
        await house.ended(approval_id)
        told = await client.call_tool("master_approvals_get", {"id": approval_id})
    assert house.shop.wiped == [f"sdd-{way}"]
    assert told.structured_content["result"]["structuredContent"]["text"] == f"sdd-{way} is blank"


@one_way
async def test_exactly_this_call_may_be_allowed_for_a_while(house: House, way: str) -> None:
    person = Person("allow_15_minutes")
    async with house.client(way, elicitation_callback=person) as client:
        for disk, asked in (("sde", 1), ("sde", 1), ("sdf", 2), ("sde", 2)):
            result = await client.call_tool(WIPE, {"disk": disk, "passes": 3 + len(way)})
            assert not result.is_error
            assert len(person.asked) == asked
    assert house.shop.wiped == ["sde", "sde", "sdf", "sde"]


@one_way
async def test_an_answer_that_is_no_choice_is_no(house: House, way: str) -> None:
    for more in ({"decision": "yes"}, {"decision": True}, {"decision": "ALLOW_ONCE"}):
        person = Person("", more=more)
        async with house.client(way, elicitation_callback=person) as client:
            error = error_of(await client.call_tool(WIPE, {"disk": "sdg"}))
        assert (error["code"], error["reason"]) == ("invalid_argument", "approval_unclear")
        assert (await house.approval(error["approvalId"]))["state"] == "pending"
    assert not house.shop.wiped


@either_era
async def test_a_client_that_cannot_ask_is_told_how_a_person_decides(
    house: House, way: str
) -> None:
    async with house.client(way) as client:
        error = error_of(await client.call_tool(WIPE, {"disk": f"sdh-{way}"}))
        assert error["code"] == "approval_required"
        approval_id = error["approvalId"]
        assert f"flotilla approvals approve {approval_id}" in error["hint"]
        approver = await house.token("approver")
        async with house.client(way, approver) as other:
            arguments = {"id": approval_id, "decision": "approve", "reason": "go on"}
            decided = await other.call_tool("master_approvals_decide", arguments)
            assert not decided.is_error, decided
        await house.ended(approval_id)
        told = await client.call_tool("master_approvals_get", {"id": approval_id})
        assert told.structured_content["state"] == "done"
    assert house.shop.wiped == [f"sdh-{way}"]


@one_way
async def test_nobody_decides_over_a_call_of_their_own_from_outside(house: House, way: str) -> None:
    async with house.client(way) as client:
        error = error_of(await client.call_tool(WIPE, {"disk": "sdi"}))
        arguments = {"id": error["approvalId"], "decision": "approve"}
        refused = error_of(await client.call_tool("master_approvals_decide", arguments))
    assert refused["reason"] == "self_approval"
    assert not house.shop.wiped


@one_way
async def test_a_robot_is_not_asked_and_its_answers_do_not_count(house: House, way: str) -> None:
    person, robot = Person(), await house.token("operator", robot=True)
    async with house.client(way, robot, elicitation_callback=person) as client:
        error = error_of(await client.call_tool(WIPE, {"disk": "sdj"}))
    assert error["code"] == "approval_required"
    assert not person.asked and not house.shop.wiped


@one_way
async def test_what_runs_may_fail_and_its_error_is_kept(house: House, way: str) -> None:
    person = Person()
    async with house.client(way, elicitation_callback=person) as client:
        error = error_of(await client.call_tool(WIPE, {"disk": "none", "passes": len(way)}))
    assert error["code"] == "not_found"
    (held,) = await approvals_of(house, "done")
    assert held["result"]["isError"] is True


@one_way
async def test_a_call_that_does_not_fit_is_refused_before_anybody_is_asked(
    house: House, way: str
) -> None:
    person = Person()
    async with house.client(way, elicitation_callback=person) as client:
        for arguments in ({}, {"disk": 7}, {"disk": "a", "extra": 1}):
            error = error_of(await client.call_tool(WIPE, arguments))
            assert error["code"] == "invalid_argument"
    assert not person.asked


@pytest.mark.real
@pytest.mark.parametrize("way", ["handshake", "sse"])
async def test_a_question_that_nobody_answers_is_withdrawn_and_waits_elsewhere(
    open_house: OpenHouse, tmp_path: Path, way: str
) -> None:
    thinking = asyncio.Event()

    async def think(context: Any, params: Any) -> types.ElicitResult:
        thinking.set()
        await anyio.sleep_forever()
        raise AssertionError("unreachable")

    async with open_house(tmp_path, client_wait_s=0.2) as house:
        async with house.client(way, elicitation_callback=think) as client:
            with anyio.fail_after(5):
                error = error_of(await client.call_tool(WIPE, {"disk": "sdl"}))
            assert thinking.is_set() and error["code"] == "approval_required"
            approval_id = error["approvalId"]
            await house.api("POST", f"/approvals/{approval_id}/decide", {"decision": "approve"})
            await house.ended(approval_id)
        assert house.shop.wiped == ["sdl"]


@pytest.mark.real
@pytest.mark.parametrize("way", ["modern", "handshake"])
async def test_the_time_of_a_call_begins_after_the_person_has_decided(
    open_house: OpenHouse, tmp_path: Path, way: str
) -> None:
    async def slow(context: Any, params: Any) -> types.ElicitResult:
        await asyncio.sleep(2.2)
        return types.ElicitResult(action="accept", content={"decision": "allow_once"})

    async with (
        open_house(tmp_path, timeout_s=2) as house,
        house.client(way, elicitation_callback=slow) as client,
    ):
        result = await client.call_tool(WIPE, {"disk": "sdm"})
        assert not result.is_error, result


async def test_a_client_that_floods_is_stopped_before_people_are_drowned(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    async with open_house(tmp_path, max_pending_each=5) as house, house.client() as client:
        results: list[Any] = [None] * 25

        async def ask(number: int) -> None:
            results[number] = await client.call_tool(WIPE, {"disk": f"d{number}"})

        async with anyio.create_task_group() as tasks:
            for number in range(25):
                tasks.start_soon(ask, number)
        codes = [error_of(each)["code"] for each in results]
        assert sorted(codes) == ["approval_required"] * 5 + ["rate_limited"] * 20
        limited = error_of(results[codes.index("rate_limited")])
        assert limited.get("reason") in (None, "too_many_pending")
        # The same call again is the one that waits already.
        again = error_of(results[codes.index("approval_required")])
        number = codes.index("approval_required")
        told = error_of(await client.call_tool(WIPE, {"disk": f"d{number}"}))
        assert told["approvalId"] == again["approvalId"]


@one_way
async def test_a_call_is_cancelled_while_it_runs_and_its_approval_is_used_up(
    house: House, way: str
) -> None:
    house.shop.hold = asyncio.Event()
    async with house.client(way, elicitation_callback=Person()) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.call_tool, WIPE, {"disk": "sdn", "passes": len(way)})
            with anyio.fail_after(5):
                await house.shop.begun.wait()
            tasks.cancel_scope.cancel()

        async def is_over() -> bool:
            (held,) = await approvals_of(house, "done")
            return held["arguments"] == {"disk": "sdn", "passes": len(way)}

        await until(is_over)
        await until(lambda: house.shop.cancelled)
    assert not house.shop.wiped


async def test_the_spoke_logs_by_which_approval_a_call_ran(house: House) -> None:
    with structlog.testing.capture_logs() as logs:
        async with house.client(elicitation_callback=Person()) as client:
            await client.call_tool(WIPE, {"disk": "sdo"})
    (held,) = await approvals_of(house, "done")
    called = [line for line in logs if line["event"] == "tool_called"]
    assert [(line["tool"], line.get("approval")) for line in called] == [
        ("test.shop.look", None),
        ("test.shop.wipe", held["id"]),
    ]


async def test_a_revoked_token_decides_nothing_any_more(house: House) -> None:
    made = {"name": "leaving", "roles": ["operator"]}
    told = await house.api("POST", "/tokens", made)
    headers = {"Authorization": f"Bearer {told['secret']}"}
    revoked = asyncio.Event()

    async def late(context: Any, params: Any) -> types.ElicitResult:
        await house.api("DELETE", f"/tokens/{told['token']['id']}")
        revoked.set()
        return types.ElicitResult(action="accept", content={"decision": "allow_once"})

    with pytest.raises(Exception):  # noqa: B017  whatever the SDK makes of a 401
        async with house.client(headers=headers, elicitation_callback=late) as client:
            await client.call_tool(WIPE, {"disk": "sdp"})
    assert revoked.is_set() and not house.shop.wiped
