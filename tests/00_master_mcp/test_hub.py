"""The hub through the SDK's client, with small spokes in the same process."""

from collections.abc import Awaitable, Callable

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client

from flotilla import Context, FlotillaError, Model, NotFound, Spoke, Tool, destroys, meta, reads

pytestmark = pytest.mark.anyio


class Said(Model):
    text: str
    principal: str


class Echo:
    def __init__(self) -> None:
        self.started = anyio.Event()
        self.cancelled = anyio.Event()
        self.contexts: list[Context] = []

    async def say(self, text: str = "hello", *, context: Context) -> Said:
        """Say the text back."""
        self.contexts.append(context)
        return Said(text=text, principal=context.principal.name)

    async def count(self, to: int, *, context: Context) -> Said:
        """Count and report each step."""
        for step in range(to):
            await context.report(step, to, f"step {step}")
        return Said(text=str(to), principal=context.principal.name)

    async def hang(self) -> Said:
        """Never answer."""
        self.started.set()
        try:
            await anyio.sleep_forever()
        finally:
            self.cancelled.set()

    async def lose(self) -> Said:
        """Say that something is not there."""
        raise NotFound("nothing is here", hint="Look there.")

    async def break_down(self) -> Said:
        """Fail in a way that nobody planned."""
        raise RuntimeError("the password is hunter2")

    async def wipe(self) -> Said:
        """Destroy something."""
        return Said(text="wiped", principal="")

    def spoke(self, name: str = "echo", namespace: str = "test.echo") -> Spoke:
        def named(action: str, run: Callable[..., Awaitable[Said]]) -> Tool:
            return reads(f"{namespace}.{action}", run)

        return Spoke(
            name=name,
            version="7",
            instructions="Echoes.",
            namespaces=(namespace,),
            tools=(
                named("say", self.say),
                named("count", self.count),
                named("hang", self.hang),
                named("lose", self.lose),
                named("breakDown", self.break_down),
                destroys(f"{namespace}.wipe", self.wipe),
            ),
        )


def code_of(result) -> str:
    assert result.is_error
    assert result.structured_content is None
    return result.meta[meta.ERROR]["code"]


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy", "auto"])
async def test_a_client_of_either_era_lists_and_calls(start_fleet, mode) -> None:
    echo = Echo()
    async with start_fleet([echo.spoke()]) as fleet, fleet.client(mode=mode) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names[:2] == ["master_getServiceHealth", "master_listServices"]
        assert "test_echo_say" in names
        for name in ("test_echo_say", "test.echo.say"):
            result = await client.call_tool(name, {"text": "ahoy"})
            assert result.structured_content == {"text": "ahoy", "principal": "admin"}


async def test_a_client_over_http_and_sse_lists_and_calls_in_each_view(start_fleet) -> None:
    async with start_fleet([Echo().spoke()]) as fleet:
        for path, name in (
            ("/sse", "test_echo_say"),
            ("/sse?names=dotted", "test.echo.say"),
            ("/servers/echo/sse", "test.echo.say"),
        ):
            async with Client(sse_client(fleet.url + path, headers=fleet.headers)) as client:
                assert name in [tool.name for tool in (await client.list_tools()).tools]
                result = await client.call_tool(name, {})
                assert result.structured_content["text"] == "hello"


async def test_the_canonical_name_stands_in_meta_and_dotted_lists_show_it(start_fleet) -> None:
    async with start_fleet([Echo().spoke()]) as fleet:
        async with fleet.client() as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert tools["test_echo_say"].meta[meta.NAME] == "test.echo.say"
        async with fleet.client("/mcp?names=dotted") as client:
            assert "test.echo.say" in [tool.name for tool in (await client.list_tools()).tools]


async def test_the_pass_through_shows_one_server_alone(start_fleet) -> None:
    spokes = [Echo().spoke(), Echo().spoke("other", "test.other")]
    async with start_fleet(spokes) as fleet, fleet.client("/servers/other/mcp") as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names and all(name.startswith("test.other.") for name in names)
        assert code_of(await client.call_tool("test.echo.say", {})) == "not_found"


async def test_annotations_and_schemas_come_through_unchanged(start_fleet) -> None:
    async with start_fleet([Echo().spoke()]) as fleet, fleet.client() as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        say, wipe = tools["test_echo_say"], tools["test_echo_wipe"]
        assert say.annotations.read_only_hint
        assert not say.annotations.destructive_hint
        assert wipe.annotations.destructive_hint
        assert wipe.meta[meta.APPROVAL] == "required"
        assert say.description == "Say the text back."
        assert say.output_schema["required"] == ["text", "principal"]
        assert say.input_schema["properties"]["text"]["default"] == "hello"


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_progress_reaches_the_client(start_fleet, mode) -> None:
    heard: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))

    async with start_fleet([Echo().spoke()]) as fleet, fleet.client(mode=mode) as client:
        await client.call_tool("test_echo_count", {"to": 3}, progress_callback=hear)
    assert heard == [(0, 3, "step 0"), (1, 3, "step 1"), (2, 3, "step 2")]


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_a_cancelled_call_is_cancelled_in_the_spoke(start_fleet, mode) -> None:
    echo = Echo()
    async with start_fleet([echo.spoke()]) as fleet, fleet.client(mode=mode) as client:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(client.call_tool, "test_echo_hang", {})
                await echo.started.wait()
                group.cancel_scope.cancel()
            await echo.cancelled.wait()
        result = await client.call_tool("test_echo_say", {})
        assert result.structured_content["text"] == "hello"


async def test_the_deadline_ends_a_call_and_reaches_the_spoke(start_fleet) -> None:
    echo = Echo()
    async with start_fleet([echo.spoke()], timeout_s=0.2) as fleet, fleet.client() as client:
        # So short a deadline may pass before a call has reached the spoke.
        while not echo.started.is_set():
            assert code_of(await client.call_tool("test_echo_hang", {})) == "timeout"
        with anyio.fail_after(2):
            await echo.cancelled.wait()
        with anyio.fail_after(10):
            while not echo.contexts:
                await client.call_tool("test_echo_say", {})
        assert echo.contexts[-1].deadline.remaining_s() <= 0.2


async def test_errors_carry_code_hint_and_correlation_and_no_internals(start_fleet) -> None:
    async with start_fleet([Echo().spoke()]) as fleet, fleet.client() as client:
        lost = await client.call_tool("test_echo_lose", {}, meta={meta.CORRELATION_ID: "my-own-id"})
        assert lost.meta[meta.ERROR] == {
            "code": "not_found",
            "message": "nothing is here",
            "hint": "Look there.",
            "correlationId": "my-own-id",
            "retryable": False,
        }
        assert code_of(await client.call_tool("test_echo_say", {"text": 5})) == "invalid_argument"
        assert code_of(await client.call_tool("test_echo_say", {"txt": ""})) == "invalid_argument"
        broken = await client.call_tool("test_echo_breakDown", {})
        assert code_of(broken) == "internal"
        assert "hunter2" not in broken.model_dump_json()
        unknown = await client.call_tool("test_echo_sai", {})
        assert code_of(unknown) == "not_found"
        assert "test_echo_say" in unknown.meta[meta.ERROR]["hint"]


async def test_what_needs_approval_waits_unless_approvals_are_off(start_fleet) -> None:
    async with start_fleet([Echo().spoke()]) as fleet, fleet.client() as client:
        assert code_of(await client.call_tool("test_echo_wipe", {})) == "approval_required"


async def test_with_approvals_off_a_destructive_call_runs(start_fleet) -> None:
    async with start_fleet([Echo().spoke()], approvals="off") as fleet, fleet.client() as client:
        result = await client.call_tool("test_echo_wipe", {})
        assert result.structured_content["text"] == "wiped"


async def test_correlation_and_trace_reach_the_spoke_and_come_back(start_fleet) -> None:
    echo = Echo()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with start_fleet([echo.spoke()]) as fleet:
        async with httpx2.AsyncClient(headers=fleet.headers) as http:
            answer = await http.post(
                f"{fleet.url}/mcp",
                headers={
                    "accept": "application/json, text/event-stream",
                    "mcp-protocol-version": "2026-07-28",
                    "mcp-method": "tools/call",
                    "mcp-name": "test_echo_say",
                    "x-correlation-id": "order-66",
                    "traceparent": trace,
                },
                json={
                    "jsonrpc": "2.0",
                    "id": 1,
                    "method": "tools/call",
                    "params": {
                        "name": "test_echo_say",
                        "arguments": {},
                        "_meta": {
                            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                            "io.modelcontextprotocol/clientCapabilities": {},
                        },
                    },
                },
            )
        assert answer.headers["x-correlation-id"] == "order-66"
        assert answer.json()["result"]["_meta"][meta.CORRELATION_ID] == "order-66"
        assert echo.contexts[-1].correlation_id == "order-66"
        assert echo.contexts[-1].traceparent == trace


async def test_a_spoke_that_comes_later_joins_and_clients_are_told(start_fleet) -> None:
    late = Echo().spoke("late", "test.late")
    told = anyio.Event()

    async def hear(message) -> None:
        if type(message).__name__ == "ToolListChangedNotification":
            told.set()

    async with (
        start_fleet([Echo().spoke()], absent=[late]) as fleet,
        fleet.client(mode="legacy", message_handler=hear) as client,
    ):
        before = [tool.name for tool in (await client.list_tools()).tools]
        assert "test_late_say" not in before
        await fleet.start_spoke(late)
        with anyio.fail_after(8):
            await told.wait()
        assert "test_late_say" in [tool.name for tool in (await client.list_tools()).tools]


async def test_a_modern_listener_is_told_too(start_fleet) -> None:
    late = Echo().spoke("late", "test.late")
    async with (
        start_fleet([Echo().spoke()], absent=[late]) as fleet,
        fleet.client(mode="2026-07-28") as client,
        client.listen(tools_list_changed=True) as events,
    ):
        await fleet.start_spoke(late)
        with anyio.fail_after(8):
            async for event in events:
                assert type(event).__name__ == "ToolsListChanged"
                break
        assert "test_late_say" in [tool.name for tool in (await client.list_tools()).tools]


async def test_a_spoke_that_is_away_answers_unavailable_and_stays_listed(start_fleet) -> None:
    other = Echo().spoke("other", "test.other")
    async with start_fleet([Echo().spoke(), other]) as fleet, fleet.client() as client:
        await fleet.stop("other")
        result = await client.call_tool("test_other_say", {})
        assert code_of(result) == "unavailable"
        assert result.meta[meta.ERROR]["retryable"]
        assert not (await client.call_tool("test_echo_say", {})).is_error
        health = (await client.call_tool("master_getServiceHealth", {})).structured_content
        assert health["other"]["status"] == "unreachable"
        assert health["echo"]["status"] == "healthy"
        assert health["echo"]["latency_ms"] > 0
        listed = (await client.list_tools(cache_mode="refresh")).tools
        stale = [tool.name for tool in listed if (tool.meta or {}).get(meta.STALE)]
        assert "test_other_say" in stale
        await fleet.start_spoke(other)
        with anyio.fail_after(8):
            while (await client.call_tool("test_other_say", {})).is_error:
                await anyio.lowlevel.checkpoint()


async def test_the_door_is_closed_to_strangers(start_fleet) -> None:
    async with start_fleet([Echo().spoke()]) as fleet, httpx2.AsyncClient() as http:
        mcp, spoke = f"{fleet.url}/mcp", f"{fleet.fleet.url('echo')}/mcp"
        owner = (fleet.common.data_dir / "owner_token").read_text().strip()
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}

        async def status(url: str, **headers: str) -> int:
            return (await http.post(url, json=ping, headers=headers)).status_code

        assert await status(mcp) == 401
        assert await status(mcp, authorization="Bearer flt_wrong") == 401
        assert await status(mcp, authorization=f"Bearer {owner}") == 403
        assert await status(mcp, **fleet.headers, host="evil.example") == 421
        assert await status(mcp, **fleet.headers, origin="https://evil.example") == 403
        assert await status(spoke) == 401
        assert await status(spoke, **fleet.headers) == 401
        assert await status(f"{fleet.url}/servers/nobody/mcp", **fleet.headers) == 404
        assert await status(f"{fleet.url}/mcp?names=odd", **fleet.headers) == 400
        refused = await http.post(mcp, json=ping)
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert "Authorization" in refused.json()["error"]["hint"]


async def test_health_readiness_and_metrics_answer(start_fleet) -> None:
    async with start_fleet([Echo().spoke()]) as fleet:
        async with fleet.client() as client:
            await client.call_tool("test_echo_say", {})
            await client.call_tool("test_echo_lose", {})
            await client.call_tool("no_such_tool", {})
        async with httpx2.AsyncClient() as http:
            health = (await http.get(f"{fleet.url}/health")).json()
            assert health == {"status": "healthy", "service": "master", "version": "0.1.0"}
            text = (await http.get(f"{fleet.url}/metrics")).text
        assert 'mcp_requests_total{service="echo",tool="test.echo.say"} 1.0' in text
        assert 'mcp_errors_total{error_type="not_found",service="echo"} 1.0' in text
        assert 'mcp_requests_total{service="unknown",tool="unknown"} 1.0' in text
        assert 'mcp_service_health{service="echo"} 1.0' in text
        assert "no_such_tool" not in text


async def test_a_stop_lets_a_running_call_end(start_fleet) -> None:
    gate, started = anyio.Event(), anyio.Event()

    async def wait_for_gate() -> Said:
        """Wait."""
        started.set()
        await gate.wait()
        return Said(text="done", principal="")

    spoke = Spoke(
        name="slow",
        version="1",
        instructions="",
        namespaces=("test.slow",),
        tools=(reads("test.slow.wait", wait_for_gate),),
    )
    results = []
    async with start_fleet([spoke]) as fleet, fleet.client() as client:

        async def call() -> None:
            results.append(await client.call_tool("test_slow_wait", {}))

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(call)
                await started.wait()
                group.start_soon(fleet.stop, "slow")
                refused = await client.call_tool("test_slow_wait", {})
                assert code_of(refused) == "unavailable"
                gate.set()
        assert results[0].structured_content["text"] == "done"


def test_every_error_class_has_its_own_stable_code() -> None:
    codes = [kind.code for kind in FlotillaError.__subclasses__()]
    assert len(set(codes)) == len(codes)
