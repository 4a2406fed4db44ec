"""External servers with two workers: programs run once, and questions find who asked them."""

import asyncio
from functools import partial
from typing import Any

import mcp_types as types
import psutil
import pytest

from tests.conftest import until
from tests.processes import alive, command_of

from .conftest import Work, everything
from .crew import Apart

pytestmark = [pytest.mark.anyio, pytest.mark.real]


@pytest.fixture
def work(work_with_programs: Work) -> Work:
    return work_with_programs


def programs(work: Work) -> list[psutil.Process]:
    """The Python processes of the fixture server."""
    return [each for each in work.crew.family() if "-m everything" in command_of(each)]


async def test_a_program_runs_once_and_every_worker_calls_it(work: Work) -> None:
    for _ in range(4):
        answer = await Apart(work.crew).modern("ext_every_test_simple_text", {})
        assert answer["result"]["content"], answer
        assert answer["result"]["_meta"]["io.flotilla/untrusted"] is True
    counts = await work.crew.counted("mcp_requests_total", service="every")
    assert set(counts) == {"0", "1"}, "each call is counted where its client is"
    assert sum(counts.values()) == 4.0
    lead = work.crew.worker(0)
    running = alive(programs(work))
    assert running and all(lead in each.parents() for each in running)


async def test_the_workers_list_the_same(work: Work) -> None:
    lists: list[Any] = []
    for _ in range(2):
        async with work.crew.client() as client:
            lists.append([tool.model_dump() for tool in (await client.list_tools()).tools])
    assert lists[0] == lists[1]
    assert any(tool["name"] == "ext_every_ask_in_turn" for tool in lists[0])


async def test_the_answer_to_a_question_reaches_the_process_that_asked_it(work: Work) -> None:
    client, arguments = Apart(work.crew), {"count": 3}
    # Three questions over four connections: the answers go to either worker.
    answer = await client.modern("ext_every_ask_in_turn", arguments)
    for _ in range(3):
        result = answer["result"]
        assert result["resultType"] == "input_required", answer
        (key,) = result["inputRequests"]
        given = {key: {"action": "accept", "content": {"answer": "yes"}}}
        answer = await client.modern(
            "ext_every_ask_in_turn",
            arguments,
            inputResponses=given,
            requestState=result["requestState"],
        )
    assert answer["result"]["resultType"] == "complete", answer
    again = await client.modern(
        "ext_every_ask_in_turn", arguments, inputResponses=given, requestState="made up"
    )
    assert again["error"]["code"] == -32602


async def test_a_handshake_client_is_asked_on_its_stream(work: Work) -> None:

    async def fill(context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"answer": f"re {params.message}"})

    for _ in range(2):
        async with work.crew.client(mode="legacy", elicitation_callback=fill) as client:
            answer = await client.call_tool("ext_every_ask_in_turn", {"count": 2})
            assert not answer.is_error, answer
            assert "re Question 2" in answer.content[0].text


async def test_the_owner_changes_the_servers_at_whichever_worker(work: Work) -> None:
    owner = {**work.crew.owner}
    for _ in range(2):  # by the connections' turns, another worker is asked
        told = {"name": "more", "entry": everything()}
        client = Apart(work.crew)
        added = await client.send("POST", "/mcp/servers", json=told, headers=owner)
        assert added.status_code == 200, added.text
        await work.crew.connected("more")
        shown = await client.send("GET", "/mcp/servers/more", headers=owner)
        assert shown.json()["state"] == "running"
        refused = await client.send("DELETE", "/mcp/servers/more")
        assert refused.status_code == 403, "the token of a client is not the owner's"
        removed = await client.send("DELETE", "/mcp/servers/more", headers=owner)
        assert removed.json() == {"removed": "more"}
        await until(partial(_is_gone, client))
        assert (await client.send("GET", "/mcp/servers", headers=owner)).status_code == 200


async def _is_gone(client: Apart) -> bool:
    """Whether neither worker offers the tool any more."""
    answers = [await client.modern("ext_more_test_simple_text", {}) for _ in range(2)]
    return all("there is no tool" in str(each) for each in answers)


async def test_all_that_a_program_tells_reaches_the_clients_of_every_worker(work: Work) -> None:
    for _ in range(2):  # one session opens at each worker
        heard: list[float] = []
        told: list[str] = []

        async def hear(
            progress: float, total: float | None, said: str | None, heard: list[float] = heard
        ) -> None:
            heard.append(progress)

        async def listen(message: Any, told: list[str] = told) -> None:
            if isinstance(message, types.ResourceUpdatedNotification):
                told.append(str(message.params.uri))
            elif isinstance(message, types.ToolListChangedNotification):
                told.append("tools")

        async with work.crew.client(mode="legacy", message_handler=listen) as client:
            await client.call_tool("ext_every_test_tool_with_progress", {}, progress_callback=hear)
            assert len(heard) == 3
            large = await client.call_tool("ext_every_large_result", {"bytes": 2**20})
            assert len(large.content[0].text) == 2**20
            asked = types.SubscribeRequest(
                params=types.SubscribeRequestParams(uri="test://watched-resource")
            )
            await client.session.send_request(asked, types.EmptyResult)

            async def changed(client: Any = client, told: list[str] = told) -> bool:
                # Its stream is opened beside its requests: until it stands, nobody hears.
                await client.call_tool("ext_every_touch_resource", {})
                return "test://watched-resource" in told

            await until(changed)
            await client.call_tool("ext_every_test_trigger_tool_change", {})
            await until(lambda told=told: "tools" in told)


async def test_a_call_that_a_client_gives_up_ends_in_the_program(work: Work) -> None:
    for number in range(2):
        key = f"call-{number}"
        calling = asyncio.create_task(
            Apart(work.crew).modern("ext_every_wait_until_cancelled", {"key": key})
        )

        async def says(tool: str, word: str, key: str = key) -> bool:
            answer = await Apart(work.crew).modern(f"ext_every_{tool}", {"key": key})
            return answer["result"]["content"][0]["text"] == word

        await until(partial(says, "has_started", "yes"))
        calling.cancel()
        await until(partial(says, "was_cancelled", "cancelled"))


async def test_every_worker_says_alike_that_a_program_is_away(work: Work) -> None:
    owner = {**work.crew.owner}
    client = Apart(work.crew)
    entry = {**everything(), "args": ["-c", "raise SystemExit(3)"]}
    told = {"name": "broken", "entry": entry}
    assert (await client.send("POST", "/mcp/servers", json=told, headers=owner)).is_success

    async def health() -> list[dict[str, Any]]:
        answers = [await client.modern("master_getServiceHealth", {}) for _ in range(2)]
        return [each["result"]["structuredContent"].get("broken", {}) for each in answers]

    async def both_know() -> bool:
        return [bool(each.get("reason")) for each in await health()] == [True, True]

    await until(both_know)
    assert all(each["status"] != "healthy" for each in await health())
    removed = await client.send("DELETE", "/mcp/servers/broken", headers=owner)
    assert removed.is_success
