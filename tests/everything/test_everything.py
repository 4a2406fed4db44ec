"""The fixture does what it says, over each transport and in each era, for a client of the SDK."""

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import mcp_types as types
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client
from mcp.shared.exceptions import MCPError

from tests.everything import Era, serving

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
TESTS = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Way:
    """How a client comes to the server: transport, era of the server, mode of the client."""

    transport: str
    era: Era
    mode: str
    speaks: str

    def __str__(self) -> str:
        return f"{self.transport}-{self.era}-{self.mode}"


HANDSHAKE, MODERN = "2025-11-25", "2026-07-28"
WAYS = [
    Way("streamable-http", Era.BOTH, "auto", MODERN),
    Way("streamable-http", Era.BOTH, "legacy", HANDSHAKE),
    Way("streamable-http", Era.HANDSHAKE, "auto", HANDSHAKE),
    Way("streamable-http", Era.MODERN, "auto", MODERN),
    Way("sse", Era.HANDSHAKE, "auto", HANDSHAKE),
    Way("stdio", Era.BOTH, "auto", MODERN),
    Way("stdio", Era.BOTH, "legacy", HANDSHAKE),
    Way("stdio", Era.HANDSHAKE, "auto", HANDSHAKE),
    Way("stdio", Era.MODERN, "auto", MODERN),
]


def _is_usual(way: Way) -> bool:
    return way.mode == "auto" and way.era is not Era.MODERN


FEW = [way for way in WAYS if way.transport != "stdio" or _is_usual(way)]
"""A process of stdio takes a second to start: for most tests two kinds of it are enough."""
HTTP = [way for way in WAYS if way.transport == "streamable-http"]


@pytest.fixture(
    params=[
        pytest.param(way, marks=[pytest.mark.real] if way.transport == "stdio" else [])
        for way in FEW
    ],
    ids=str,
)
def way(request: pytest.FixtureRequest) -> Way:
    return request.param


async def _fill(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
    if isinstance(params, types.ElicitRequestURLParams):
        return types.ElicitResult(action="accept")
    if params.message.startswith("Question"):
        return types.ElicitResult(action="accept", content={"answer": params.message})
    content: dict[str, Any] = {"name": "Ada", "ok": True, "color": "green", "context": "a test"}
    return types.ElicitResult(action="accept", content=content)


async def _sample(context: Any, params: types.CreateMessageRequestParams) -> Any:
    said = types.TextContent(text="Paris")
    return types.CreateMessageResult(role="assistant", content=said, model="a model")


async def _roots(context: Any) -> types.ListRootsResult:
    return types.ListRootsResult(roots=[types.Root(uri="file:///tmp/root", name="root")])


@asynccontextmanager
async def connected(way: Way, **more: Any) -> AsyncGenerator[Client]:
    callbacks: dict[str, Any] = {
        "elicitation_callback": _fill,
        "sampling_callback": _sample,
        "list_roots_callback": _roots,
    }
    if way.transport == "stdio":
        arguments = ["-m", "everything", "--transport", "stdio", "--era", way.era]
        server = StdioServerParameters(command=sys.executable, args=arguments, cwd=TESTS)
        async with Client(server, mode=way.mode, **(callbacks | more)) as client:  # type: ignore[arg-type]
            yield client
        return
    async with serving(way.transport, way.era) as served:  # type: ignore[arg-type]
        target: Any = sse_client(served.url) if way.transport == "sse" else served.url
        async with Client(target, mode=way.mode, **(callbacks | more)) as client:  # type: ignore[arg-type]
            yield client


@pytest.mark.parametrize(
    "way",
    [pytest.param(way, marks=[] if way in FEW else [pytest.mark.real]) for way in WAYS],
    ids=str,
)
async def test_each_way_speaks_the_revision_of_its_era(way: Way) -> None:
    async with connected(way) as client:
        assert client.protocol_version == way.speaks
        shown = (await client.call_tool("show_request", {})).structured_content
        assert shown["protocolVersion"] == way.speaks


async def test_every_list_has_several_pages_and_they_follow_each_other(way: Way) -> None:
    async with connected(way) as client:
        for method, kind in (
            (client.list_tools, "tools"),
            (client.list_prompts, "prompts"),
            (client.list_resources, "resources"),
            (client.list_resource_templates, "resource_templates"),
        ):
            pages: list[list[Any]] = []
            cursor = None
            while not pages or cursor is not None:
                found = await method(cursor=cursor)
                pages.append(getattr(found, kind))
                cursor = found.next_cursor
            names = [each.name for page in pages for each in page]
            assert len(pages) > 1
            assert len(set(names)) == len(names)


async def test_a_cursor_that_was_never_given_is_refused(way: Way) -> None:
    async with connected(way) as client:
        with pytest.raises(MCPError, match="cursor"):
            await client.list_tools(cursor="of my own making")


async def test_questions_are_answered_alone_together_and_in_turn(way: Way) -> None:
    async with connected(way) as client:

        async def said(tool: str, **arguments: Any) -> str:
            result = await client.call_tool(tool, arguments)
            assert not result.is_error, result
            return " ".join(block.text for block in result.content)

        assert await said("test_sampling", prompt="Say it") == "the model said: Paris"
        assert await said("test_input_required_result_elicitation") == "Hello, Ada!"
        assert await said("test_input_required_result_list_roots") == "root: file:///tmp/root"
        assert await said("test_input_required_result_multiple_inputs") == "Paris Ada, at 1 roots"
        assert "green" in await said("test_input_required_result_multi_round")
        assert await said("ask_by_url") == "action=accept"
        asked = json.loads(await said("ask_in_turn", count=3))
        assert asked == ["Question 1", "Question 2", "Question 3"]
        prompt = await client.get_prompt("test_input_required_result_prompt", {})
        assert prompt.messages[0].content.text == "The context is: a test"
        read = await client.read_resource("test://guarded")
        assert read.contents[0].text == "the user said: accept"


async def test_a_client_that_cannot_answer_is_told_so(way: Way) -> None:
    async with connected(way, sampling_callback=None) as client:
        if way.speaks == MODERN:
            with pytest.raises(MCPError) as refused:
                await client.call_tool("test_missing_capability", {})
            assert refused.value.code == types.MISSING_REQUIRED_CLIENT_CAPABILITY
            assert refused.value.data == {"requiredCapabilities": {"sampling": {}}}
        else:
            result = await client.call_tool("test_missing_capability", {})
            assert result.is_error


async def test_progress_comes_as_it_is_made(way: Way) -> None:
    seen: list[float] = []

    async def note(done: float, total: float | None, message: str | None) -> None:
        seen.append(done)

    async with connected(way) as client:
        arguments = {"steps": 3, "intervalMs": 10}
        await client.call_tool("slow_progress", arguments, progress_callback=note)
    assert seen == [1, 2, 3]


async def test_who_gives_up_is_seen_to_have_cancelled(way: Way) -> None:
    async with connected(way) as client:
        async with anyio.create_task_group() as tasks:
            arguments = {"key": "k", "forMs": 20_000}
            tasks.start_soon(client.call_tool, "wait_until_cancelled", arguments)
            begun = await client.call_tool("has_started", {"key": "k", "withinMs": 5000})
            assert begun.content[0].text == "yes"
            tasks.cancel_scope.cancel()
        ended = await client.call_tool("was_cancelled", {"key": "k", "withinMs": 5000})
        assert ended.structured_content["state"] == "cancelled"


async def test_changes_are_told_to_who_listens(way: Way) -> None:
    heard: list[str] = []
    all_heard = anyio.Event()
    kinds = {"tools", "prompts", "resources", "updated"}

    def note(kind: str) -> None:
        heard.append(kind)
        if set(heard) == kinds:
            all_heard.set()

    async def on_message(message: Any) -> None:
        match message:
            case types.ToolListChangedNotification():
                note("tools")
            case types.PromptListChangedNotification():
                note("prompts")
            case types.ResourceListChangedNotification():
                note("resources")
            case types.ResourceUpdatedNotification():
                note("updated")
            case _:
                pass

    async def change(client: Client) -> None:
        for tool in ("test_trigger_tool_change", "test_trigger_prompt_change", "toggle_resource"):
            await client.call_tool(tool, {})
        await client.call_tool("touch_resource", {})

    uri = "test://watched-resource"
    async with connected(way, message_handler=on_message) as client:
        with anyio.fail_after(15):
            if way.speaks == HANDSHAKE:
                # The client's own method warns that the newer revision has none.
                subscribe = types.SubscribeRequest(params=types.SubscribeRequestParams(uri=uri))
                await client.session.send_request(subscribe, types.EmptyResult)
                while not all_heard.is_set():
                    # The GET stream is opened beside the handshake: until it is, nobody hears.
                    await change(client)
                    with anyio.move_on_after(0.2):
                        await all_heard.wait()
                return
            events: set[str] = set()
            async with client.listen(
                tools_list_changed=True,
                prompts_list_changed=True,
                resources_list_changed=True,
                resource_subscriptions=[uri],
            ) as stream:
                await change(client)
                async for event in stream:
                    events.add(type(event).__name__)
                    if len(events) == 4:
                        break


async def test_log_messages_come_at_the_level_that_was_asked_for(way: Way) -> None:
    heard: list[str] = []

    async def note(params: types.LoggingMessageNotificationParams) -> None:
        heard.append(params.level)

    wanted: dict[str, Any] = {"logging_callback": note}
    if way.speaks == MODERN:
        wanted["log_level"] = "error"
    async with connected(way, **wanted) as client:
        if way.speaks == HANDSHAKE:
            params = types.SetLevelRequestParams(level="error")
            await client.session.send_request(
                types.SetLevelRequest(params=params), types.EmptyResult
            )
        await client.call_tool("test_logging_tool", {})
    assert heard == ["error", "critical", "alert", "emergency"]


async def test_definitions_and_results_carry_everything_they_may(way: Way) -> None:
    async with connected(way) as client:
        second = await client.list_tools(cursor=(await client.list_tools()).next_cursor)
        tool = next(each for each in second.tools if each.name == "add_numbers")
        assert tool.title and tool.icons and tool.output_schema and tool.annotations
        assert tool.meta == {"test.example/tool": {"kept": True}}
        result = await client.call_tool("add_numbers", {"a": 1, "b": 2})
        assert result.structured_content == {"sum": 3}
        assert result.meta is not None and result.meta["test.example/result"] == {"kept": True}
        wrong = await client.call_tool("add_numbers", {"a": 1})
        assert wrong.is_error and "required" in wrong.content[0].text


@pytest.mark.parametrize("way", HTTP, ids=str)
async def test_a_result_of_eight_megabytes_is_whole_on_the_wire(way: Way) -> None:
    size = 8 * 2**20
    async with serving("streamable-http", way.era) as served, httpx2.AsyncClient() as http:
        modern = way.speaks == MODERN
        session = {} if modern else await _session(http, served.url)
        for form in ("text", "structured"):
            result = await _call(http, served.url, modern, session, bytes=size, form=form)
            fragments = (result.get("structuredContent") or {}).get("fragments", [])
            assert len(result["content"][0]["text"]) + sum(map(len, fragments)) == size


async def test_fields_that_nobody_knows_are_on_the_wire() -> None:
    async with serving() as served, httpx2.AsyncClient() as http:
        result = await _call(http, served.url, True, {}, tool="unknown_fields")
        assert result["x-unknown"] == result["content"][0]["x-unknown"]
        assert result["x-unknown"]["big"] == 2**70


async def test_a_server_of_one_era_refuses_the_other() -> None:
    async with httpx2.AsyncClient() as http:
        async with serving(era=Era.MODERN) as served:
            opened = await http.post(served.url, json=OPENING, headers=BASE)
            assert opened.status_code == 400
            assert opened.json()["error"]["data"]["supported"] == [MODERN]
            assert (await http.get(served.url)).status_code == 405
        async with serving(era=Era.HANDSHAKE) as served:
            modern = {**BASE, "mcp-protocol-version": MODERN, "mcp-method": "server/discover"}
            refused = await http.post(served.url, json=_message("server/discover"), headers=modern)
            assert refused.status_code == 400
            assert "Unsupported protocol version" in refused.json()["error"]["message"]
    with pytest.raises(ValueError, match="handshake era"):
        async with serving("sse", Era.MODERN):
            pass


BASE = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
HELLO = {
    "protocolVersion": HANDSHAKE,
    "capabilities": {},
    "clientInfo": {"name": "t", "version": "1"},
}
OPENING = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


def _message(method: str, **params: Any) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "id": 7,
        "method": method,
        "params": {**params, "_meta": ENVELOPE},
    }


async def _session(http: httpx2.AsyncClient, url: str) -> dict[str, str]:
    opened = await http.post(url, json=OPENING, headers=BASE)
    session = {"mcp-session-id": opened.headers["mcp-session-id"]}
    initialized = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    await http.post(url, json=initialized, headers={**BASE, **session})
    return session


async def _call(
    http: httpx2.AsyncClient,
    url: str,
    modern: bool,
    session: dict[str, str],
    tool: str = "large_result",
    **arguments: Any,
) -> dict[str, Any]:
    headers = {**BASE, **session}
    body = _message("tools/call", name=tool, arguments=arguments)
    if modern:
        headers |= {
            "mcp-protocol-version": MODERN,
            "mcp-method": "tools/call",
            "mcp-name": tool,
        }
    else:
        del body["params"]["_meta"]
    answer = await http.post(url, json=body, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text[:300]
    if answer.headers["content-type"].startswith("application/json"):
        return answer.json()["result"]
    lines = [line[5:] for line in answer.text.splitlines() if line.startswith("data:")]
    return next(found["result"] for line in lines if line.strip() and (found := json.loads(line)))


@pytest.mark.parametrize("kind", ["listen", "get", "sse"])
async def test_it_stops_at_once_though_a_client_listens(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with httpx2.AsyncClient(timeout=20) as http, AsyncExitStack() as listening:
        async with serving("sse" if kind == "sse" else "streamable-http") as served:
            if kind == "listen":
                named = {"mcp-protocol-version": MODERN, "mcp-method": "subscriptions/listen"}
                wanted = _message("subscriptions/listen", notifications={"toolsListChanged": True})
                request = http.stream("POST", served.url, json=wanted, headers=BASE | named)
            else:
                session = await _session(http, served.url) if kind == "get" else {}
                request = http.stream("GET", served.url, headers=BASE | session)
            stream = await listening.enter_async_context(request)
            assert stream.status_code == 200
        assert await stream.aread() is not None
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == []
