"""How a client of the handshake era is asked: on the stream of its own call."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from flotilla import meta

from ...wire.raw import Handshake
from .conftest import House, OpenHouse, http, texts_of

pytestmark = pytest.mark.anyio

FORM = {"elicitation": {}}
WIPE = "test_shop_wipe"


@asynccontextmanager
async def session(house: House, capabilities: Any = FORM) -> AsyncGenerator[Handshake]:
    async with http(house.fleet.headers) as carrying:
        raw = Handshake(carrying, f"{house.fleet.url}/mcp", capabilities)
        async with raw.open():
            yield raw


async def next_message(messages: Any) -> dict[str, Any]:
    """The next event that says something."""
    with anyio.fail_after(5):
        async for message in messages:
            if message.strip():
                return json.loads(message)
    raise AssertionError("the stream ended")


def error_in(message: dict[str, Any]) -> dict[str, Any]:
    return message["result"]["_meta"][meta.ERROR]


async def test_a_late_question_is_taken_back_before_the_call_is_answered(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    async with open_house(tmp_path, client_wait_s=0.1) as house, session(house) as raw:
        messages = raw.send("tools/call", **texts_of(WIPE, {"disk": "a"}))
        question = await next_message(messages)
        assert question["method"] == "elicitation/create"
        # A client of 2025-06-18 knows no modes.
        assert set(question["params"]) == {"message", "requestedSchema"}
        withdrawn = await next_message(messages)
        assert withdrawn["method"] == "notifications/cancelled"
        assert withdrawn["params"]["requestId"] == question["id"]
        error = error_in(await next_message(messages))
        assert error["code"] == "approval_required"
        # An answer that comes after all counts for nothing.
        late = {"action": "accept", "content": {"decision": "allow_once"}}
        await raw.post(_answer(question["id"], result=late))
        assert (await house.approval(error["approvalId"]))["state"] == "pending"
        assert not house.shop.wiped


def _answer(request_id: str, **said: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": request_id, **said}).encode()


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"error": {"code": -32601, "message": "no such method"}}, "approval_required"),
        ({"result": {"action": "decline"}}, "approval_denied"),
        ({"result": {}}, "invalid_argument"),
        ({"result": {"action": "accept", "content": {"decision": "deny"}}}, "approval_denied"),
    ],
)
async def test_what_is_no_yes_lets_nothing_run(
    house: House, said: dict[str, Any], code: str
) -> None:
    async with session(house) as raw:
        messages = raw.send("tools/call", **texts_of(WIPE, {"disk": "b"}))
        question = await next_message(messages)
        await raw.post(_answer(question["id"], **said))
        assert error_in(await next_message(messages))["code"] == code
    assert not house.shop.wiped


@pytest.mark.real
async def test_a_client_that_hangs_up_leaves_its_call_waiting(
    open_house: OpenHouse, tmp_path: Path
) -> None:
    async with open_house(tmp_path) as house, session(house) as raw:
        messages = raw.send("tools/call", **texts_of(WIPE, {"disk": "c"}))
        await next_message(messages)
        await messages.aclose()
        (held,) = (await house.api("GET", "/approvals?state=pending"))["items"]
        await house.api("POST", f"/approvals/{held['id']}/decide", {"decision": "approve"})
        await house.ended(held["id"])
        assert house.shop.wiped == ["c"]


async def test_a_cancelled_call_leaves_its_approval_open_and_nothing_hangs(house: House) -> None:
    async with session(house) as raw:
        messages = raw.send("tools/call", **texts_of(WIPE, {"disk": "d"}))
        await next_message(messages)
        cancelled = {"method": "notifications/cancelled", "params": {"requestId": 1}}
        await raw.post(json.dumps({"jsonrpc": "2.0", **cancelled}).encode())
        assert (await next_message(messages))["error"]["code"] == -32800
        (held,) = (await house.api("GET", "/approvals?state=pending&limit=1"))["items"]
        assert (await house.approval(held["id"]))["arguments"]["disk"] == "d"
    assert not house.shop.wiped


async def test_two_questions_of_one_session_do_not_cross(house: House) -> None:
    async with session(house) as raw:
        streams = {
            disk: raw.send("tools/call", **texts_of(WIPE, {"disk": disk})) for disk in ("e", "f")
        }
        asked = {disk: await next_message(stream) for disk, stream in streams.items()}
        for disk, decision in (("f", "allow_once"), ("e", "deny")):
            said = {"action": "accept", "content": {"decision": decision}}
            await raw.post(_answer(asked[disk]["id"], result=said))
        answered = await asyncio.gather(*(next_message(each) for each in streams.values()))
    assert error_in(answered[0])["code"] == "approval_denied"
    assert answered[1]["result"]["structuredContent"] == {"text": "f is blank"}
    assert house.shop.wiped == ["f"]


async def test_a_state_that_a_handshake_client_brings_decides_nothing(house: House) -> None:
    answers = {"flotilla.approval": {"action": "accept", "content": {"decision": "allow_once"}}}
    async with session(house, {}) as raw:
        texts = {**texts_of(WIPE, {"disk": "g"}), "inputResponses": json.dumps(answers)}
        told = await next_message(raw.send("tools/call", **texts))
        assert error_in(told)["code"] == "approval_required"
        texts["requestState"] = '"flotilla1.forged"'
        told = await next_message(raw.send("tools/call", **texts))
        assert told["error"]["data"]["reason"] == "approval_forged"
    assert not house.shop.wiped
