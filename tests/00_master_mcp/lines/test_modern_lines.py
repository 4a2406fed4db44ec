"""2026-07-28 over standard streams, with a real server behind them."""

import asyncio
import contextlib
import json
from typing import Any

import anyio
import pytest

from flotilla import TimedOut, TooLarge, Unavailable
from master import rpc
from master.result import Result

from .living import Client, Life, call_of

pytestmark = pytest.mark.anyio


def text_of(result: Result) -> str:
    return json.loads(result.texts["content"])[0]["text"]


async def test_all_that_it_offers_is_listed_without_a_handshake(lasting_life: Life) -> None:
    life = lasting_life
    assert {"add_tool", "slow_progress"} <= life.notes.names()
    assert life.notes.names("prompts")
    assert life.notes.offers[-1].version == "1.0.0"
    assert "initialize" not in life.program.methods()
    assert all(
        message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
        for message in life.program.sent
        if "id" in message
    )


async def test_many_calls_share_the_stream_and_each_has_its_own_answer(lasting_life: Life) -> None:
    life = lasting_life

    async def steps(count: int) -> None:
        client = Client()
        call = call_of(
            "slow_progress",
            {"steps": count, "intervalMs": 5},
            client=client,
            marks={"progressToken": "the same for all"},
        )
        assert text_of(await life.modern.send(call)) == f"{count} steps"
        assert client.steps() == [str(step) for step in range(1, count + 1)]

    with anyio.fail_after(20):
        await asyncio.gather(*(steps(count) for count in range(1, 9)))


async def test_questions_pass_verbatim_both_ways(lasting_life: Life) -> None:
    life = lasting_life
    asking: dict[str, Any] = {
        "name": "test_elicitation",
        "arguments": {"message": "Who?"},
        "capabilities": {"elicitation": {}},
    }
    first = await life.modern.send(call_of(**asking))
    assert first.asks
    questions: dict[str, Any] = json.loads(first.texts["inputRequests"])
    ((key, question),) = questions.items()
    assert question["method"] == "elicitation/create"
    answer = {"action": "accept", "content": {"username": "ann", "email": "a@b.example"}}
    more = {
        "inputResponses": {key: answer},
        "requestState": json.loads(first.texts["requestState"]),
    }
    last = await life.modern.send(call_of(**asking, more=more))
    assert "action=accept" in text_of(last)
    assert last.texts["resultType"] == '"complete"'


async def test_a_refusal_keeps_its_code(lasting_life: Life) -> None:
    life = lasting_life
    with pytest.raises(rpc.RpcError) as caught:
        await life.modern.send(call_of("no_such_tool", {}))
    assert caught.value.code == rpc.INVALID_PARAMS


async def test_what_nobody_waits_for_is_cancelled_at_the_server(lasting_life: Life) -> None:
    life = lasting_life
    client = Client()
    waiting = asyncio.create_task(
        life.modern.send(
            call_of("wait_until_cancelled", {"key": "a"}, client=client, marks={"progressToken": 1})
        )
    )
    with anyio.fail_after(10):
        await client.heard.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    ended = await life.modern.send(call_of("was_cancelled", {"key": "a", "withinMs": 5000}))
    assert text_of(ended) == "cancelled"


async def test_a_deadline_ends_the_wait_and_cancels_too(lasting_life: Life) -> None:
    life = lasting_life
    waiting = asyncio.create_task(
        life.modern.send(call_of("wait_until_cancelled", {"key": "b"}, within_s=2))
    )
    begun = await life.modern.send(call_of("has_started", {"key": "b", "withinMs": 1500}))
    assert text_of(begun) == "yes"
    with pytest.raises(TimedOut):
        await waiting
    ended = await life.modern.send(call_of("was_cancelled", {"key": "b", "withinMs": 5000}))
    assert text_of(ended) == "cancelled"


async def test_changed_tools_are_listed_anew(lasting_life: Life) -> None:
    life = lasting_life
    await life.modern.send(call_of("add_tool", {"name": "brand_new"}))
    await life.notes.until(lambda: "brand_new" in life.notes.names())


async def test_only_watched_resources_are_told_of_and_the_choice_may_change(
    lasting_life: Life,
) -> None:
    life = lasting_life
    life.modern.watch(frozenset({"test://one"}))
    await life.modern.watched()
    await life.modern.send(call_of("touch_resource", {"uri": "test://one"}))
    await life.notes.until(lambda: life.notes.uris)
    life.modern.watch(frozenset({"test://two"}))
    await life.modern.watched()
    await life.modern.send(call_of("touch_resource", {"uri": "test://one"}))
    await life.modern.send(call_of("touch_resource", {"uri": "test://two"}))
    await life.notes.until(lambda: "test://two" in life.notes.uris)
    assert life.notes.uris == ["test://one", "test://two"]


async def test_an_open_call_ends_with_its_server(life: Life) -> None:
    program = await life.everything("modern")
    holding = await life.opened(life.modern)
    client = Client()
    waiting = asyncio.create_task(
        life.modern.send(
            call_of("wait_until_cancelled", {"key": "c"}, client=client, marks={"progressToken": 1})
        )
    )
    with anyio.fail_after(10):
        await client.heard.wait()
        program.process.kill()
        with pytest.raises(Unavailable, match="went away before it answered"):
            await waiting
        with contextlib.suppress(Unavailable):
            await holding
    with pytest.raises(Unavailable, match="cannot be reached"):
        await life.modern.send(call_of("touch_resource", {}))


ANSWERS_LONG = """
    import json, sys
    def say(message):
        print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "id" not in asked:
            continue
        number, method = asked["id"], asked["method"]
        if method == "server/discover":
            say({"id": number, "result": {"resultType": "complete",
                 "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}})
        elif method == "tools/list":
            say({"id": number, "result": {"tools": [
                {"name": name, "inputSchema": {"type": "object"}} for name in ("first", "last")]}})
        elif method == "tools/call":
            result = {"content": [{"type": "text", "text": "x" * 300_000}]}
            if asked["params"]["name"] == "first":
                say({"id": number, "result": result})
            else:
                print(json.dumps({"result": result, "jsonrpc": "2.0", "id": number}), flush=True)
        else:
            say({"id": number, "error": {"code": -32601, "message": "no"}})
"""


@pytest.mark.parametrize("where", ["first", "last"])
async def test_a_line_that_is_too_long_answers_its_own_caller(short_life: Life, where: str) -> None:
    await short_life.script(ANSWERS_LONG)
    await short_life.opened(short_life.modern)
    with anyio.fail_after(5), pytest.raises(TooLarge, match="more than is read of one line"):
        await short_life.modern.send(call_of(where, {}))
    # The stream goes on behind it.
    assert await short_life.modern.probe(5) is None


async def test_a_server_without_streams_of_changes_is_served(short_life: Life) -> None:
    await short_life.script(ANSWERS_LONG)
    await short_life.opened(short_life.modern)
    assert short_life.notes.names() == {"first", "last"}
