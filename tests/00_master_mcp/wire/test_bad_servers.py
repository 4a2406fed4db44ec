"""A server that breaks the protocol hurts its own caller alone, whichever way it speaks."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from flotilla.resilience import Breaker

from .conftest import connected
from .house import House
from .raw import answer_of, call
from .scripted import NOT_FOUND, OK, Asked, Scripted, in_json
from .ways import SOUTHS, THROUGH, Way

pytestmark = pytest.mark.anyio

LIMIT_S = 2.0
AGAIN_S = 5.0
"""Within this a server is there again whose session the hub had to give up."""
HTTP = [way for way in THROUGH if way.south.transport != "sse"]
ONE_BY_ONE = [
    pytest.param(way, marks=pytest.mark.real, id=str(way))
    for way in THROUGH
    if str(way) == "modern-sse"
]
"""Where all share a stream, each must be tried alone, which takes its time: one way will do."""
NOTE = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"debug","data":"x"}}'


async def well(asked: Asked) -> None:
    await asked.result(b'{"content":[{"type":"text","text":"well"}]}')


async def garbage(asked: Asked) -> None:
    await asked.event(b"\x00\xff this is no JSON")


async def not_a_message(asked: Asked) -> None:
    await asked.event(b"[1, 2, 3]")


async def neither(asked: Asked) -> None:
    await asked.event(b'{"jsonrpc":"2.0","id":%s}' % asked.id.encode())


async def odd_error(asked: Asked) -> None:
    await asked.event(b'{"jsonrpc":"2.0","id":%s,"error":"no"}' % asked.id.encode())


async def result_is_a_list(asked: Asked) -> None:
    await asked.event(b'{"jsonrpc":"2.0","id":%s,"result":[1]}' % asked.id.encode())


async def somebody_elses(asked: Asked) -> None:
    await asked.event(b'{"jsonrpc":"2.0","id":987654,"result":{"content":[]}}')


async def half(asked: Asked) -> None:
    await asked.raw(b'data: {"jsonrpc":"2.0","id":%s,"resu' % asked.id.encode())


async def half_large(asked: Asked) -> None:
    begin = b'data: {"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"'
    await asked.raw(begin % asked.id.encode() + b"x" * 600_000)


async def silence(asked: Asked) -> None:
    await asyncio.Event().wait()


async def nothing(asked: Asked) -> None:
    return


async def flood(asked: Asked) -> None:
    # A million are tried on a hub alone: here its client and the server share its processor.
    for _ in range(5):
        await asked.raw((b"data: " + NOTE + b"\n\n") * 1000)
    await asyncio.Event().wait()


async def deep(asked: Asked) -> None:
    await asked.result(b'{"content":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


async def endless_line(asked: Asked) -> None:
    for _ in range(1000):
        await asked.raw(b"id: " + b"x" * 1000)


async def asks_for_what_nobody_has(asked: Asked) -> None:
    await asked.event(b'{"jsonrpc":"2.0","id":"q","method":"no/such","params":{}}')
    await well(asked)


async def bad_progress(asked: Asked) -> None:
    for params in (b"{}", b"[]", b'{"progressToken":{"a":1}}', b'{"progressToken":77}', b"7"):
        await asked.event(
            b'{"jsonrpc":"2.0","method":"notifications/progress","params":%s}' % params
        )
    await well(asked)


async def status_500(asked: Asked) -> None:
    await asked.http(b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\nno")


async def redirect(asked: Asked) -> None:
    await asked.http(
        b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    )


async def no_http(asked: Asked) -> None:
    asked.writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


async def html(asked: Asked) -> None:
    await asked.http(OK + b"content-type: text/html\r\ncontent-length: 6\r\n\r\n<html>")


async def empty_json(asked: Asked) -> None:
    await asked.http(in_json(b""))


async def gone(asked: Asked) -> None:
    await asked.http(NOT_FOUND)


FAILING = {
    tool.__name__: tool
    for tool in (
        *(garbage, not_a_message, neither, odd_error, result_is_a_list, somebody_elses),
        *(half, half_large, silence, nothing, flood, deep, endless_line),
    )
}
HTTP_FAILING = {
    tool.__name__: tool for tool in (status_500, redirect, no_http, html, empty_json, gone)
}
WORKING = {tool.__name__: tool for tool in (well, asks_for_what_nobody_has, bad_progress)}


@pytest.fixture(scope="module")
async def bad_house(
    anyio_backend: Any, start_fleet_in: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[House]:
    folder: Path = tmp_path_factory.mktemp("bad")
    async with AsyncExitStack() as open_:
        servers: dict[str, Any] = {}
        for south in SOUTHS:
            scripted = Scripted(south, {**FAILING, **HTTP_FAILING, **WORKING})
            servers[south.name] = await open_.enter_async_context(scripted.running())
        external = {
            south.name: {**south.entry(servers[south.name].url), "timeoutS": LIMIT_S}
            for south in SOUTHS
        }
        # They fail all the time, and are to be asked all the same.
        never = {"breaker": Breaker(failures=1_000_000)}
        fleet = await open_.enter_async_context(
            start_fleet_in(folder, external=external, resilience=never)
        )
        await connected(fleet, *servers)
        yield House(fleet, servers)


async def answered(raw: Any, tool: str) -> dict[str, Any]:
    with anyio.fail_after(LIMIT_S + 2):
        try:
            last = await answer_of(raw.send("tools/call", **call(tool)))
        except httpx2.RemoteProtocolError:
            return {"error": "the response broke off"}
    found = json.loads(last or "{}")
    # A client of HTTP+SSE whose stream is flooded loses the stream.
    return found if "id" in found else {"error": "the stream ended"}


def is_well(answer: dict[str, Any]) -> bool:
    result = answer.get("result", {})
    return not result.get("isError") and result.get("content") == [{"type": "text", "text": "well"}]


def has_failed(answer: dict[str, Any]) -> bool:
    return "error" in answer or answer["result"].get("isError") is True


async def well_again(house: House, way: Way) -> None:
    async with house.raw(way) as raw:
        with anyio.fail_after(AGAIN_S):
            while not is_well(await answered(raw, "well")):
                await anyio.sleep(0.05)


@pytest.mark.parametrize("way", [*HTTP, *ONE_BY_ONE], ids=str)
async def test_its_caller_gets_an_error_and_all_others_their_answers(
    bad_house: House, way: Way
) -> None:
    own = way.south.transport != "sse"
    others = [each for each in THROUGH if each.north == way.north and each.south != way.south]
    failed: dict[str, dict[str, Any]] = {}

    async def fail(tool: str) -> None:
        async with bad_house.raw(way) as raw:
            failed[tool] = await answered(raw, tool)

    async with AsyncExitStack() as open_:
        beside = [await open_.enter_async_context(bad_house.raw(each)) for each in others]
        # Each answer has a response of its own, or they would take turns on one stream.
        names = [*FAILING, *HTTP_FAILING] if own else list(FAILING)
        for together in [names] if own else [[name] for name in names]:
            async with anyio.create_task_group() as tasks:
                for name in together:
                    tasks.start_soon(fail, name)
                for each in beside:
                    assert is_well(await answered(each, "well")), name
            await well_again(bad_house, way)
    assert [name for name in names if not has_failed(failed[name])] == []


@pytest.mark.parametrize("way", THROUGH, ids=str)
async def test_what_nobody_asked_for_does_not_disturb_an_answer(bad_house: House, way: Way) -> None:
    async with bad_house.raw(way) as raw:
        for name in WORKING:
            assert is_well(await answered(raw, name)), name


@pytest.mark.parametrize("way", HTTP, ids=str)
async def test_a_silent_call_and_a_flood_hold_up_no_other_call_to_the_same_server(
    bad_house: House, way: Way
) -> None:
    async with bad_house.raw(way) as raw, anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(answered, raw, "silence")
        tasks.start_soon(answered, raw, "flood")
        async with bad_house.raw(way) as other:
            with anyio.fail_after(LIMIT_S):
                assert is_well(await answered(other, "well"))
        tasks.cancel_scope.cancel()
