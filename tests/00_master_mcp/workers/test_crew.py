"""Two workers behind one port, real processes: calls, sessions, and what is told of them."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client

from tests.conftest import until

from .conftest import Work
from .crew import START_S, Apart, answer_in, message, say, wait

pytestmark = pytest.mark.anyio


async def test_connections_go_to_the_workers_in_turn(work: Work) -> None:
    before = await work.crew.counted("mcp_requests_total", tool="test.shop.say")
    # Asking takes connections too, and each worker gets the same number of them.
    for _ in range(4):
        await Apart(work.crew).modern("test_shop_say", {"text": "ahoy"})
    after = await work.crew.counted("mcp_requests_total", tool="test.shop.say")
    taken = {number: count - before.get(number, 0.0) for number, count in after.items()}
    assert taken == {"0": 2.0, "1": 2.0}


async def test_a_session_is_found_whichever_worker_its_requests_reach(work: Work) -> None:
    client = Apart(work.crew)
    await client.open()
    for _ in range(4):
        answer = await client.call("test_shop_say", text="ahoy")
        assert answer.status_code == 200
        assert answer_in(answer.text)["result"]["structuredContent"] == {"text": "ahoy"}
    opened = await work.crew.counted("mcp_sessions_open")
    assert sorted(opened.values())[-1] >= 1
    for expected in (200, 404, 404):
        assert (await client.send("DELETE")).status_code == expected


async def test_what_comes_before_an_answer_comes_at_once(work: Work) -> None:
    work.shop.let_go.clear()
    heard = anyio.Event()

    async def hear(progress: float, total: float | None, said: str | None) -> None:
        heard.set()

    for _ in range(2):  # by the connections' turns, the session is another worker's once
        async with work.crew.client(mode="legacy") as client, asyncio.TaskGroup() as group:
            call = group.create_task(client.call_tool("test_shop_wait", {}, progress_callback=hear))
            with anyio.fail_after(5):
                await heard.wait()
            work.shop.let_go.set()
            assert (await call).structured_content == {"text": "done"}
        heard = anyio.Event()
        work.shop.let_go.clear()


async def test_a_request_is_cancelled_from_whichever_worker(work: Work) -> None:
    work.shop.let_go.clear()
    client = Apart(work.crew)
    await client.open()
    calling = asyncio.create_task(client.call("test_shop_wait"))
    await until(lambda: work.shop.hanging == 1)
    told = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    # The call has one connection; these two reach both workers.
    for _ in range(2):
        assert (await client.send("POST", content=json.dumps(told))).status_code == 202
    await until(lambda: work.shop.hanging == 0)
    assert answer_in((await calling).text)["error"]["code"] == -32800


async def test_a_client_of_http_sse_is_answered_on_its_stream(work: Work) -> None:
    work.shop.let_go.set()
    async with Client(
        sse_client(f"{work.crew.url}/sse", headers=work.crew.headers), mode="legacy"
    ) as client:
        for text in ("one", "two", "three"):
            answer = await client.call_tool("test_shop_say", {"text": text})
            assert answer.structured_content == {"text": text}


async def test_the_stream_of_a_session_is_served_from_whichever_worker(work: Work) -> None:
    client = Apart(work.crew)
    await client.open()
    for _ in range(2):
        async with (
            httpx2.AsyncClient(timeout=20, headers=client.headers) as http,
            AsyncExitStack() as streams,
        ):

            async def is_open() -> bool:
                asked = http.stream("GET", f"{work.crew.url}/mcp")
                return (await streams.enter_async_context(asked)).status_code == 200

            # The owner hears a little later that the one before has gone.
            await until(is_open)
            twice = await client.send("GET")
            assert twice.status_code == 409, "a session has one such stream, whoever is asked"


async def test_a_session_that_nobody_has_is_not_found(work: Work) -> None:
    client = Apart(work.crew)
    await client.open()
    assert client.session is not None
    tag, _, secret = client.session.partition(".")
    host, _, hub = tag.split("-")
    for made_up in ("nonsense", f"{tag}.x", f"{host}-7-{hub}.{secret}", f"00000000-0-{hub}.x"):
        client.session = made_up
        assert (await client.call("test_shop_say")).status_code == 404


async def test_only_who_opened_a_session_uses_it(work: Work) -> None:
    client = Apart(work.crew)
    await client.open()
    for _ in range(2):
        told = {"Authorization": "Bearer flt_wrong"}
        answer = await client.send("POST", content=message("ping", {}), headers=told)
        assert answer.status_code == 401


async def test_what_is_for_hubs_takes_no_client(work: Work) -> None:
    for path in ("/lent/list", "/lent/shop/mcp"):
        answer = await Apart(work.crew).send("GET" if "list" in path else "POST", path)
        assert answer.status_code == 401
        forged = {"x-flotilla-hub": "e30.e30.e30"}
        answer = await Apart(work.crew).send("GET", "/lent/list", headers=forged)
        assert answer.status_code == 401


async def test_the_log_says_which_worker_wrote_a_line(work: Work) -> None:
    for _ in range(2):
        await Apart(work.crew).modern("test_shop_say", {"text": "ahoy"})

    def wrote() -> set[int]:
        answered = [line for line in work.crew.events("call_answered") if "worker" in line]
        return {line["worker"] for line in answered}

    # What another process writes comes a little after its answer.
    await until(lambda: len(wrote()) >= 2)
    assert wrote() == {0, 1}


async def test_a_killed_worker_disturbs_nobody_elses_call_and_is_back(work: Work) -> None:
    crew, shop = work.crew, work.shop
    shop.let_go.clear()
    await until(lambda: shop.hanging == 0)
    hanging: list[asyncio.Task[dict[str, Any]]] = []
    while len(hanging) < 4:
        # One after another: else a worker that is slow to take its first gets only that one.
        hanging.append(asyncio.create_task(wait(crew)))
        await until(lambda: shop.hanging == len(hanging))
    victim = crew.worker(1)
    # What it was given and has not taken goes to another: it takes nothing any more.
    victim.suspend()
    given = [asyncio.create_task(say(crew, str(number))) for number in range(6)]
    await until(lambda: sum(task.done() for task in given) >= 3)
    assert not all(task.done() for task in given), "the victim was given some"
    victim.kill()
    answers = await asyncio.wait_for(asyncio.gather(*given), 10)
    assert [each["result"]["structuredContent"]["text"] for each in answers] == [
        str(number) for number in range(6)
    ]
    await until(lambda: crew.lives(1) == 2, within_s=START_S)
    shop.let_go.set()
    outcomes = await asyncio.gather(*hanging, return_exceptions=True)
    done = [each for each in outcomes if not isinstance(each, BaseException)]
    assert len(done) == 2, f"of the other worker's calls two went on: {outcomes}"
    assert all(each["result"]["structuredContent"] == {"text": "done"} for each in done)
    (line,) = crew.events("worker_ended")
    assert (line["worker"], line["how"]) == (1, "signal 9")
