"""What a server asks, its client answers, whichever way each era puts it."""

import json
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError

from .house import House
from .raw import answer_of, call, result_of
from .ways import THROUGH, WAYS, Way

pytestmark = pytest.mark.anyio

OWN_STREAM = [way for way in WAYS if way.south.transport != "sse"]
"""The ways on which a server's question says by its stream for which call it is asked."""


class Person:
    """Answers whatever is asked, in its own name, and remembers the questions."""

    def __init__(self, name: str = "Ada") -> None:
        self.name = name
        self.asked: list[Any] = []

    async def fill(self, context: Any, params: Any) -> types.ElicitResult:
        self.asked.append(params)
        if isinstance(params, types.ElicitRequestURLParams):
            return types.ElicitResult(action="accept")
        content: dict[str, Any] = {
            "name": self.name,
            "username": self.name,
            "email": "a@example.com",
            "answer": f"{self.name}: {params.message}",
            "ok": True,
            "color": "green",
            "context": "a test",
        }
        fields = params.requested_schema["properties"]
        return types.ElicitResult(
            action="accept", content={key: content[key] for key in fields if key in content}
        )

    async def decline(self, context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="decline")

    async def refuse(self, context: Any, params: Any) -> types.ErrorData:
        return types.ErrorData(code=-1, message="I will not say")

    async def sample(self, context: Any, params: Any) -> types.CreateMessageResult:
        self.asked.append(params)
        said = types.TextContent(text="Paris")
        return types.CreateMessageResult(role="assistant", content=said, model="a model")

    async def roots(self, context: Any) -> types.ListRootsResult:
        return types.ListRootsResult(
            roots=[types.Root(uri=f"file:///home/{self.name}", name=self.name)]
        )

    def callbacks(self) -> dict[str, Any]:
        return {
            "elicitation_callback": self.fill,
            "sampling_callback": self.sample,
            "list_roots_callback": self.roots,
        }


def said(result: Any) -> str:
    assert not result.is_error, result
    return " ".join(block.text for block in result.content)


async def test_each_kind_of_question_is_answered_alone_together_and_in_turn(
    house: House, way: Way
) -> None:
    person = Person()
    async with house.client(way, **person.callbacks()) as client:

        async def ask(tool: str, **arguments: Any) -> str:
            return said(await client.call_tool(tool, arguments))

        assert await ask("test_input_required_result_elicitation") == "Hello, Ada!"
        assert await ask("test_sampling", prompt="Where?") == "the model said: Paris"
        assert await ask("test_input_required_result_list_roots") == "Ada: file:///home/Ada"
        together = await ask("test_input_required_result_multiple_inputs")
        assert together == "Paris Ada, at 1 roots"
        assert "green" in await ask("test_input_required_result_multi_round")
        asked = json.loads(await ask("ask_in_turn", count=5))
        assert asked == [f"Ada: Question {number}" for number in range(1, 6)]


async def test_a_question_arrives_with_its_schema_whole(house: House, way: Way) -> None:
    schemas: dict[bool, Any] = {}
    for each in (way, Way(None, way.south)):
        person = Person()
        async with house.client(each, **person.callbacks()) as client:
            for tool in ("test_elicitation_sep1330_enums", "test_elicitation_sep1034_defaults"):
                await client.call_tool(tool, {})
        schemas[each.direct] = [params.requested_schema for params in person.asked]
    assert schemas.get(False, schemas[True]) == schemas[True]


async def test_a_person_may_decline(house: House, way: Way) -> None:
    person = Person()
    async with house.client(way, elicitation_callback=person.decline) as client:
        result = await client.call_tool("ask_in_turn", {"count": 2})
    assert result.is_error and result.content[0].text == "question 1: decline"


async def test_a_client_that_answers_with_an_error_ends_its_own_call_alone(
    house: House, way: Way
) -> None:
    person = Person()
    async with house.client(way, elicitation_callback=person.refuse) as client:
        with anyio.fail_after(5):
            try:
                result = await client.call_tool("test_elicitation", {"message": "Who?"})
                assert result.is_error or "action=accept" not in result.content[0].text
            except MCPError as error:
                assert error.code
        assert said(await client.call_tool("test_simple_text", {}))


async def test_a_client_that_cannot_answer_is_told_so(house: House, way: Way) -> None:
    async with house.client(way) as client:
        with anyio.fail_after(5):
            try:
                result = await client.call_tool("test_missing_capability", {})
            except MCPError as error:
                refusal: MCPError | None = error
            else:
                assert result.is_error
                refusal = None
    if way.modern:
        assert refusal is not None
        assert refusal.code == types.MISSING_REQUIRED_CLIENT_CAPABILITY
        assert refusal.data == {"requiredCapabilities": {"sampling": {}}}


@pytest.mark.parametrize("way", [way for way in WAYS if way.south.modern], ids=str)
async def test_a_server_learns_what_this_very_client_can(house: House, way: Way) -> None:
    person = Person()
    async with house.client(way, elicitation_callback=person.fill) as client:
        result = await client.call_tool("test_input_required_result_capabilities", {})
    assert said(result) == "answered: user_name"


async def test_progress_goes_on_before_and_after_a_question(house: House, way: Way) -> None:
    heard: list[str | None] = []

    async def note(done: float, total: float | None, message: str | None) -> None:
        heard.append(message)

    async with house.client(way, **Person().callbacks()) as client:
        result = await client.call_tool("test_streaming_elicitation", {}, progress_callback=note)
        assert said(result).startswith("accept")
    # The modern era runs the tool anew after the answer.
    assert heard[0] == "before the question" and heard[-1] == "after the question"


async def test_prompts_and_resources_may_ask_too(house: House, way: Way) -> None:
    async with house.client(way, **Person().callbacks()) as client:
        prompt = await client.get_prompt("test_input_required_result_prompt", {})
        assert prompt.messages[0].content.text == "The context is: a test"
        read = await client.read_resource("test://guarded")
        assert read.contents[0].text == "the user said: accept"


@pytest.mark.parametrize("way", OWN_STREAM, ids=str)
async def test_answers_of_clients_at_once_never_cross(house: House, way: Way) -> None:
    answers: dict[str, list[str]] = {}

    async def run(name: str) -> None:
        async with house.client(way, **Person(name).callbacks()) as client:
            for _ in range(2):
                result = await client.call_tool("ask_in_turn", {"count": 4})
                answers.setdefault(name, []).extend(result.structured_content["answers"])

    async with anyio.create_task_group() as tasks:
        for name in ("Ada", "Bob", "Cleo", "Dora"):
            tasks.start_soon(run, name)
    for name, given in answers.items():
        assert given == [f"{name}: Question {number}" for number in (1, 2, 3, 4)] * 2


MODERN_CLIENTS = [way for way in THROUGH if way.modern]
ELICITATION = {"elicitation": {"form": {}}}


@pytest.mark.parametrize("way", MODERN_CLIENTS, ids=str)
async def test_a_request_state_works_once_and_for_its_own_call_alone(
    house: House, way: Way
) -> None:
    async with house.raw(way, capabilities=ELICITATION) as raw:
        first = await result_of(raw.send("tools/call", **call("ask_in_turn", '{"count":1}')))
        assert first["resultType"] == "input_required"
        (key,) = first["inputRequests"]
        answer = {"action": "accept", "content": {"answer": "mine"}}
        again = {
            "requestState": json.dumps(first["requestState"]),
            "inputResponses": json.dumps({key: answer}),
        }

        async def code_of(**texts: str) -> int:
            return json.loads(await answer_of(raw.send("tools/call", **texts)))["error"]["code"]

        assert await code_of(**call("ask_in_turn", '{"count":2}'), **again) == -32602
        assert await code_of(**call("test_sampling", '{"prompt":"x"}'), **again) == -32602
        forged = {**again, "requestState": '"of my own making"'}
        assert await code_of(**call("ask_in_turn", '{"count":1}'), **forged) == -32602
        taken = await result_of(
            raw.send("tools/call", **call("ask_in_turn", '{"count":1}'), **again)
        )
        assert taken["structuredContent"] == {"answers": ["mine"]}
        if not way.south.modern:
            assert await code_of(**call("ask_in_turn", '{"count":1}'), **again) == -32602


@pytest.mark.parametrize("way", MODERN_CLIENTS, ids=str)
async def test_a_request_state_of_any_shape_is_refused_and_nothing_breaks(
    house: House, way: Way
) -> None:
    async with house.raw(way, capabilities=ELICITATION) as raw:
        for state in ("7", "[]", '"\\ud800"', '""', '{"a":1}'):
            sent = raw.send("tools/call", **call("ask_in_turn", '{"count":1}'), requestState=state)
            answered = json.loads(await answer_of(sent))
            assert answered["error"]["code"] == -32602, answered


async def test_a_page_can_be_shown(house: House, way: Way) -> None:
    person = Person()
    async with house.client(way, **person.callbacks()) as client:
        assert said(await client.call_tool("ask_by_url", {})) == "action=accept"
    assert str(person.asked[0].url) == "https://example.com/consent"
