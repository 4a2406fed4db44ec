"""A `requestState` of the hub's is good for one call of one principal, once, at any hub process."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from flotilla import meta

from ...wire.raw import Modern, answer_of
from .conftest import House, OpenHouse, http, texts_of

pytestmark = pytest.mark.anyio

FORM = {"elicitation": {"form": {}}}
WIPE = "test_shop_wipe"
YES = {"action": "accept", "content": {"decision": "allow_once"}}
KEY = "flotilla.approval"


class Caller:
    """A client of 2026-07-28 that writes its own requests."""

    def __init__(self, raw: Modern) -> None:
        self._raw = raw

    async def send(self, name: str, arguments: Mapping[str, Any], **texts: str) -> dict[str, Any]:
        told = texts_of(name, arguments)
        return json.loads(await answer_of(self._raw.send("tools/call", **told, **texts)))

    async def asked(self, arguments: Mapping[str, Any], name: str = WIPE) -> str:
        """The state of the question that a call is answered with."""
        result = (await self.send(name, arguments))["result"]
        assert result["resultType"] == "input_required", result
        assert list(result["inputRequests"]) == [KEY]
        return result["requestState"]

    async def again(
        self, arguments: Mapping[str, Any], state: str, answer: Any = YES, name: str = WIPE
    ) -> dict[str, Any]:
        answers = json.dumps({KEY: answer})
        return await self.send(
            name, arguments, requestState=json.dumps(state), inputResponses=answers
        )


@asynccontextmanager
async def caller(
    house: House, headers: Mapping[str, str] | None = None, capabilities: Any = FORM
) -> AsyncGenerator[Caller]:
    async with http(headers or house.fleet.headers) as carrying:
        yield Caller(Modern(carrying, f"{house.fleet.url}/mcp", capabilities))


def reason_of(answer: Mapping[str, Any]) -> str:
    """Why a call did not run."""
    if "error" in answer:
        return f"{answer['error']['code']} {answer['error']['data']['reason']}"
    result = answer["result"]
    assert result.get("isError"), result
    error = result["_meta"][meta.ERROR]
    return error.get("reason", error["code"])


async def test_a_state_is_used_once(house: House) -> None:
    async with caller(house) as client:
        state = await client.asked({"disk": "a"})
        done = await client.again({"disk": "a"}, state)
        assert done["result"]["structuredContent"] == {"text": "a is blank"}
        for answer in (YES, {"action": "accept", "content": {"decision": "allow_60_minutes"}}):
            told = await client.again({"disk": "a"}, state, answer)
            assert reason_of(told) == "approval_replayed"
        told = await client.again({"disk": "a"}, state, {"action": "decline"})
        assert reason_of(told) == "already_decided"
    assert house.shop.wiped == ["a"]


async def test_a_state_is_for_its_own_call_alone(house: House) -> None:
    async with caller(house) as client:
        state = await client.asked({"disk": "b"})
        for arguments in ({"disk": "c"}, {"disk": "b", "passes": 2}, {"disk": "b", "passes": 1}):
            assert reason_of(await client.again(arguments, state)) == "approval_mismatch"
        # The same call by another of its names, and written with other blanks, is the same call.
        inner = {"name": "test.shop.wipe", "arguments": {"disk": "b"}}
        done = await client.again(inner, state, name="master_tools_call")
        assert done["result"]["structuredContent"] == {"text": "b is blank"}
    assert house.shop.wiped == ["b"]


async def test_a_state_is_for_its_own_principal_alone(house: House) -> None:
    operator = await house.token("operator")
    async with caller(house) as admin, caller(house, operator) as other:
        state = await admin.asked({"disk": "d"})
        assert reason_of(await other.again({"disk": "d"}, state)) == "approval_mismatch"
    assert not house.shop.wiped


async def test_an_answer_by_a_robots_token_does_not_count(house: House) -> None:
    # A second token of the same principal, which no person has in hand.
    made = {"name": "twofold", "roles": ["operator"]}
    person = await house.api("POST", "/tokens", made)
    robot = await house.api("POST", "/tokens", {**made, "robot": True})
    headers = [{"Authorization": f"Bearer {each['secret']}"} for each in (person, robot)]
    async with caller(house, headers[0]) as own, caller(house, headers[1]) as stolen:
        state = await own.asked({"disk": "e"})
        assert reason_of(await stolen.again({"disk": "e"}, state)) == "not_interactive"
        assert not house.shop.wiped
        done = await own.again({"disk": "e"}, state)
        assert done["result"]["structuredContent"] == {"text": "e is blank"}


async def test_a_state_that_this_hub_did_not_make_is_refused(house: House) -> None:
    async with caller(house) as client:
        state = await client.asked({"disk": "f"})
        middle = len(state) // 2
        flipped = "A" if state[middle] != "A" else "B"
        forged: list[Any] = [
            state[:-8],
            state[:40],
            state[:middle] + flipped + state[middle + 1 :],
            state + "AAAA",
            f"other{state}",
            "flotilla1.",
            "flotilla1.\ud800",
            "",
            "of my own",
            7,
            None,
            {"state": state},
            [state],
        ]
        for each in forged:
            told = await client.send(
                WIPE, {"disk": "f"}, requestState=json.dumps(each), inputResponses="{}"
            )
            assert reason_of(told) == "-32602 approval_forged", each
        # An escaped slash is the same text.
        text = json.dumps(state).replace("/", "\\/")
        answers = json.dumps({KEY: YES})
        done = await client.send(WIPE, {"disk": "f"}, requestState=text, inputResponses=answers)
        assert "structuredContent" in done["result"]
    assert house.shop.wiped == ["f"]


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ("{}", "approval_required"),
        ('{"other":{"action":"accept"}}', "approval_required"),
        ('{"flotilla.approval":{"action":"cancel"}}', "approval_required"),
        ('{"flotilla.approval":{"action":"accept"}}', "approval_unclear"),
        ('{"flotilla.approval":{"action":"allow"}}', "approval_unclear"),
        ('{"flotilla.approval":{"action":"accept","content":"allow_once"}}', "approval_unclear"),
        ('{"flotilla.approval":{"action":"accept","content":{}}}', "approval_unclear"),
        ('{"flotilla.approval":{"content":{"decision":"allow_once"}}}', "approval_unclear"),
        ('{"flotilla.approval":null}', "approval_unclear"),
        ("[]", "approval_required"),
        ("7", "approval_required"),
    ],
)
async def test_no_answer_but_a_clear_yes_lets_a_call_run(
    house: House, answers: str, reason: str
) -> None:
    async with caller(house) as client:
        state = json.dumps(await client.asked({"disk": "g"}))
        told = await client.send(WIPE, {"disk": "g"}, requestState=state, inputResponses=answers)
        assert reason_of(told) == reason
    assert not house.shop.wiped


async def test_an_answer_without_its_question_counts_for_nothing(house: House) -> None:
    async with caller(house) as client:
        answers = json.dumps({KEY: YES})
        told = await client.send(WIPE, {"disk": "h"}, inputResponses=answers)
        assert told["result"]["resultType"] == "input_required"
    assert not house.shop.wiped


async def test_of_many_that_use_a_state_at_once_one_runs(house: House) -> None:
    async with caller(house) as client:
        state = await client.asked({"disk": "i"})
        told = await asyncio.gather(*(client.again({"disk": "i"}, state) for _ in range(12)))
    done = [each for each in told if not each["result"].get("isError")]
    assert len(done) == 1 and house.shop.wiped == ["i"]
    reasons = {reason_of(each) for each in told if each["result"].get("isError")}
    assert reasons <= {"approval_replayed", "already_decided"}


async def test_what_was_decided_elsewhere_meanwhile_runs_once(house: House) -> None:
    async with caller(house) as client:
        state = await client.asked({"disk": "j"})
        (held,) = (await house.api("GET", "/approvals?state=pending&limit=1"))["items"]
        await house.api("POST", f"/approvals/{held['id']}/decide", {"decision": "approve"})
        told = await client.again({"disk": "j"}, state)
        assert reason_of(told) == "already_decided"
        await house.ended(held["id"])
    assert house.shop.wiped == ["j"]


async def test_what_was_denied_elsewhere_meanwhile_does_not_run(house: House) -> None:
    async with caller(house) as client:
        state = await client.asked({"disk": "k"})
        (held,) = (await house.api("GET", "/approvals?state=pending&limit=1"))["items"]
        denial = {"decision": "deny", "reason": "no"}
        await house.api("POST", f"/approvals/{held['id']}/decide", denial)
        for answer in (YES, {"action": "cancel"}):
            assert reason_of(await client.again({"disk": "k"}, state, answer)) == "approval_denied"
    assert not house.shop.wiped


async def test_refused_attempts_stand_in_the_audit(house: House) -> None:
    newest = await house.api("GET", "/audit?limit=1")
    before = max((each["number"] for each in newest["items"]), default=0)
    async with caller(house) as client:
        state = await client.asked({"disk": "l"})
        await client.again({"disk": "m"}, state)
        await client.send(WIPE, {"disk": "l"}, requestState='"flotilla1.x"')
        await client.again({"disk": "l"}, state, {"action": "accept"})
        await client.again({"disk": "l"}, state)
        await client.again({"disk": "l"}, state)

    async def outcomes() -> set[str]:
        found = await house.api("GET", "/audit?limit=60&tool=test.shop.wipe")
        rows = [each["row"] for each in found["items"] if each["number"] > before]
        return {row["outcome"] for row in rows if row["kind"] == "approval"}

    wanted = {"approval_mismatch", "approval_forged", "approval_unclear", "approval_replayed"}
    with anyio.fail_after(5):
        while not wanted <= await outcomes():
            await anyio.sleep(0.02)


@pytest.mark.real
async def test_a_hub_that_starts_anew_goes_on_with_an_open_question(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    async with open_house(tmp_path) as house, caller(house) as client:
        state = await client.asked({"disk": "n"})
        used = await client.asked({"disk": "o"})
        await client.again({"disk": "o"}, used)
    async with open_house(tmp_path) as house, caller(house) as client:
        done = await client.again({"disk": "n"}, state)
        assert done["result"]["structuredContent"] == {"text": "n is blank"}
        assert reason_of(await client.again({"disk": "o"}, used)) == "approval_replayed"
        assert house.shop.wiped == ["n"]


async def test_a_state_expires_with_its_approval(open_house: OpenHouse, tmp_path: Path) -> None:
    async with open_house(tmp_path, decide_s=0.3) as house, caller(house) as client:
        state = await client.asked({"disk": "p"})
        with anyio.fail_after(5):
            told = "approval_required"
            while told == "approval_required":
                await anyio.sleep(0.02)
                told = reason_of(await client.again({"disk": "p"}, state, {"action": "cancel"}))
        assert told == "approval_expired"
        assert reason_of(await client.again({"disk": "p"}, state)) == "approval_expired"
        assert not house.shop.wiped
