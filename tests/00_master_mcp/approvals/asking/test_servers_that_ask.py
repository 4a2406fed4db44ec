"""Servers whose calls wait for a person, and that then ask that person something themselves.

One yes is enough for the call with all of its questions, and for nothing else.
"""

import json
from typing import Any

import pytest

from .conftest import House, Person, error_of
from .test_tickets_at_work import YES, Caller, caller, reason_of

pytestmark = pytest.mark.anyio

SERVERS = ("modern", "handshake")
each_server = pytest.mark.parametrize("server", SERVERS)


@each_server
@pytest.mark.parametrize(
    "way", ["modern", "handshake", pytest.param("sse", marks=pytest.mark.real)]
)
async def test_a_person_is_asked_once_by_the_hub_and_then_by_the_server(
    house: House, way: str, server: str
) -> None:
    person = Person()
    async with house.client(way, path=f"/servers/{server}", elicitation_callback=person) as client:
        result = await client.call_tool("ask_in_turn", {"count": 3})
        assert not result.is_error, result
        answers = [f"to Question {number}" for number in (1, 2, 3)]
        assert json.loads(result.content[0].text) == answers
        assert len(person.asked) == 1 and len(person.others) == 3
        # The next call is another one.
        await client.call_tool("ask_in_turn", {"count": 3})
        assert len(person.asked) == 2 and len(person.others) == 6
    message = person.asked[0].message
    assert message.startswith(f"May ext_{server}_ask_in_turn (service {server}) run?")
    assert "in the words of a server that is not ours" in message


@pytest.mark.real
@each_server
async def test_what_is_allowed_for_a_while_may_ask_in_between(house: House, server: str) -> None:
    for way, count in (("modern", 4), ("handshake", 5)):
        person, path = Person("allow_15_minutes"), f"/servers/{server}"
        async with house.client(way, path=path, elicitation_callback=person) as client:
            for _ in range(2):
                result = await client.call_tool("ask_in_turn", {"count": count})
                assert len(json.loads(result.content[0].text)) == count
        assert len(person.asked) == 1 and len(person.others) == 2 * count


@each_server
async def test_who_cannot_be_asked_does_not_reach_the_server(house: House, server: str) -> None:
    async with house.client("modern", path=f"/servers/{server}") as client:
        error = error_of(await client.call_tool("ask_in_turn", {"count": 1}))
    assert error["code"] == "approval_required"


async def round_of(client: Caller, tool: str, count: int) -> tuple[str, str, dict[str, Any]]:
    """The hub's state and the server's, after a yes: what the server asks, under its key."""
    first = await client.asked({"count": count}, tool)
    result = (await client.again({"count": count}, first, name=tool))["result"]
    assert result["resultType"] == "input_required"
    (key,) = result["inputRequests"]
    return first, result["requestState"], {key: {"action": "accept", "content": {"answer": "me"}}}


@each_server
async def test_the_state_of_a_round_is_used_once_and_for_its_own_call(
    house: House, server: str
) -> None:
    tool = f"ext_{server}_ask_in_turn"
    operator = await house.token("admin")
    async with caller(house) as client, caller(house, operator) as other:
        first, state, answers = await round_of(client, tool, 1)
        texts = {"requestState": json.dumps(state), "inputResponses": json.dumps(answers)}
        swapped = await client.send(tool, {"count": 2}, **texts)
        assert reason_of(swapped) == "approval_mismatch"
        assert reason_of(await other.send(tool, {"count": 1}, **texts)) == "approval_mismatch"
        foreign = await client.send("test_shop_wipe", {"disk": "x"}, **texts)
        assert reason_of(foreign) == "approval_mismatch"
        done = await client.send(tool, {"count": 1}, **texts)
        assert done["result"]["structuredContent"] == {"answers": ["me"]}
        # Neither the round, nor the yes before it, lets anything run again.
        assert reason_of(await client.send(tool, {"count": 1}, **texts)) == "approval_replayed"
        assert reason_of(await client.again({"count": 1}, first, name=tool)) == "approval_replayed"


@each_server
async def test_a_servers_own_state_is_no_way_past_the_question(house: House, server: str) -> None:
    tool = f"ext_{server}_ask_in_turn"
    async with caller(house) as client:
        for state in ('"of the server"', '"flotilla1."', "7"):
            told = await client.send(tool, {"count": 1}, requestState=state)
            assert reason_of(told) == "-32602 approval_forged"


async def test_a_server_that_calls_its_question_as_the_hub_does_decides_nothing(
    house: House,
) -> None:
    """What comes back under the hub's key in a round of the server's goes to the server."""
    tool = "ext_modern_ask_in_turn"
    async with caller(house) as client:
        _, state, _ = await round_of(client, tool, 1)
        told = await client.again({"count": 1}, state, YES, name=tool)
        # The server did not ask for that and asks its own question again, or refuses.
        assert "structuredContent" not in told.get("result", {})


@each_server
async def test_what_became_of_a_call_that_went_on_asking_is_said(house: House, server: str) -> None:
    async with caller(house) as client:
        await round_of(client, f"ext_{server}_ask_in_turn", 2)
    (held,) = (await house.api("GET", "/approvals?state=done&limit=1"))["items"]
    shown = await house.approval(held["id"])
    assert "asked its client something" in json.dumps(shown["result"])
