"""Which era a program speaks is found out on the stream, whatever it does with the question."""

import contextlib
import json

import anyio
import pytest

from flotilla import FlotillaError, UpstreamError

from .living import Client, Life, call_of

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("era", "first"),
    [
        ("modern", "modern"),
        pytest.param("both", "modern", marks=pytest.mark.real),
        ("handshake", "handshake"),
    ],
)
async def test_each_era_is_found_and_remembered(patient_life: Life, era: str, first: str) -> None:
    life = patient_life
    for life_number in range(2):
        program = await life.everything(era)
        holding = await life.opened(life.probing)
        client = Client()
        call = call_of(
            "slow_progress",
            {"steps": 3, "intervalMs": 1},
            client=client,
            marks={"progressToken": 7},
        )
        result = await life.probing.send(call)
        assert json.loads(result.texts["content"])[0]["text"] == "3 steps"
        assert client.steps() == ["1", "2", "3"]
        assert ("initialize" in program.methods()) == (era == "handshake")
        program.process.kill()
        with anyio.fail_after(10), contextlib.suppress(FlotillaError):
            await holding
        assert life.probing.first == first
        begun = "initialize" if era == "handshake" and life_number else "server/discover"
        assert program.methods()[0] == begun


SERVER = """
    import json, os, sys
    GREETING, ON_UNKNOWN = {greeting!r}, {on_unknown!r}
    if GREETING:
        print(GREETING, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "id" not in asked:
            continue
        method, answer = asked["method"], {{"jsonrpc": "2.0", "id": asked["id"]}}
        if method == "initialize":
            answer["result"] = {{"protocolVersion": "2025-06-18", "capabilities": {{"tools": {{}}}},
                                 "serverInfo": {{"name": "toy", "version": "9"}}}}
        elif method == "tools/list":
            answer["result"] = {{"tools": [{{"name": "t", "inputSchema": {{"type": "object"}}}}]}}
        elif method == "tools/call":
            answer["result"] = {{"content": []}}
        elif method == "ping":
            answer["result"] = {{}}
        elif ON_UNKNOWN == "ignore":
            continue
        elif ON_UNKNOWN == "die":
            os._exit(3)
        else:
            answer["error"] = {{"code": {code}, "message": "unknown"}}
        print(json.dumps(answer), flush=True)
"""


def server(on_unknown: str = "refuse", greeting: str = "", code: int = -32601) -> str:
    return SERVER.format(on_unknown=on_unknown, greeting=greeting, code=code)


@pytest.mark.parametrize("code", [-32601, -32602, -32600, -32603, -32000, 0])
async def test_any_refusal_leads_to_a_handshake_on_the_same_stream(life: Life, code: int) -> None:
    program = await life.script(server(code=code))
    await life.opened(life.probing)
    assert program.methods()[:2] == ["server/discover", "initialize"]
    assert life.notes.offers[-1].version == "9"
    assert (await life.probing.send(call_of("t", {}))).texts["content"] == "[]"


@pytest.mark.real
async def test_one_that_ignores_the_question_is_waited_for_once(life: Life) -> None:
    first = await life.script(server("ignore"))
    holding = await life.opened(life.probing)
    assert first.methods()[:2] == ["server/discover", "initialize"]
    first.process.kill()
    with anyio.fail_after(10), contextlib.suppress(FlotillaError):
        await holding
    second = await life.script(server("ignore"))
    with anyio.fail_after(2):
        await life.opened(life.probing)
    assert second.methods()[0] == "initialize"


async def test_one_that_dies_of_the_question_is_met_by_a_handshake_in_its_next_life(
    life: Life,
) -> None:
    await life.script(server("die"))
    with anyio.fail_after(10):
        await life.hold(life.probing)
    assert not life.notes.offers
    second = await life.script(server("die"))
    holding = await life.opened(life.probing)
    assert second.methods()[0] == "initialize"
    second.process.kill()
    with anyio.fail_after(10), contextlib.suppress(FlotillaError):
        await holding
    assert life.probing.first == "handshake"


async def test_one_that_cannot_start_is_not_taken_for_an_older_one(patient_life: Life) -> None:
    life = patient_life
    await life.script("raise SystemExit(1)")
    with anyio.fail_after(10), contextlib.suppress(FlotillaError):
        await life.hold(life.probing)
    await life.script("raise SystemExit(1)")
    with anyio.fail_after(10):
        with contextlib.suppress(FlotillaError):
            await life.hold(life.probing)
    program = await life.everything("both")
    await life.opened(life.probing)
    assert program.methods()[0] == "server/discover"


@pytest.mark.parametrize("greeting", ["Server running on stdio", '{"hello": "world"}', "[1]", "5"])
async def test_what_is_no_message_is_passed_over(life: Life, greeting: str) -> None:
    await life.script(server(greeting=greeting))
    await life.opened(life.probing)
    assert life.notes.names() == {"t"}


@pytest.mark.real
async def test_a_slow_modern_server_is_found_behind_the_handshake(life: Life) -> None:
    program = await life.script(
        """
        import runpy, sys, time
        time.sleep(4)
        sys.argv = ["everything", "--transport", "stdio", "--era", "both"]
        runpy.run_module("everything", run_name="__main__")
        """
    )
    await life.opened(life.probing)
    assert program.methods()[:3] == ["server/discover", "initialize", "server/discover"]
    assert life.probing.first == "modern"


async def test_one_of_neither_era_is_named_with_what_it_speaks(life: Life) -> None:
    await life.script(
        """
        import json, sys
        for line in sys.stdin:
            asked = json.loads(line)
            error = {"code": -32022, "message": "no", "data": {"supported": ["2031-01-01"]}}
            print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": error}), flush=True)
        """
    )
    with anyio.fail_after(10), pytest.raises(UpstreamError, match="speaks 2031-01-01 alone"):
        await life.hold(life.probing)
