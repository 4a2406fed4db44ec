"""What no well-behaved client sends: each is answered in words, and harms nobody."""

import json
from typing import Any

import anyio
import httpx2
import pytest

from flotilla import Context, Model, Spoke, reads

pytestmark = pytest.mark.anyio

ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
MODERN = {
    **ACCEPT,
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "test_box_hold",
}


class Held(Model):
    what: str


class Box:
    def __init__(self) -> None:
        self.started = anyio.Event()
        self.cancelled = anyio.Event()

    async def hold(self, what: str = "nothing", *, context: Context) -> Held:
        """Hold it, for ever if it is a secret."""
        if what == "secret":
            self.started.set()
            try:
                await anyio.sleep_forever()
            finally:
                self.cancelled.set()
        await context.report(1, 1, "held")
        return Held(what=what[:20])

    def spoke(self) -> Spoke:
        return Spoke(
            name="box",
            version="1",
            instructions="",
            namespaces=("test.box",),
            tools=(reads("test.box.hold", self.hold),),
        )


def request(method: str = "tools/call", request_id: Any = 1, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def call(arguments: Any = None, **meta: Any) -> dict[str, Any]:
    return request(name="test_box_hold", arguments=arguments, _meta={**ENVELOPE, **meta})


@pytest.fixture
async def hub(start_fleet):
    async with (
        start_fleet([Box().spoke()]) as fleet,
        httpx2.AsyncClient(headers=fleet.headers, base_url=fleet.url, timeout=20) as http,
    ):
        yield http


REFUSED = {
    "no JSON": (b"{", MODERN, 400, -32700),
    "nothing": (b"", MODERN, 400, -32700),
    "a batch": ([call()], MODERN, 400, -32600),
    "deep nesting": (b'{"a":' + b"[" * 100_000, MODERN, 400, -32700),
    "infinity": (json.dumps(call({"what": float("inf")})).encode(), MODERN, 400, -32700),
    "over 4 MiB": (b'{"a":"' + b"x" * (5 * 2**20), MODERN, 413, -32600),
    "arguments that are a list": (call([1]), MODERN, 400, -32602),
    "arguments that are text": (call("x"), MODERN, 400, -32602),
    "no name": (request(_meta=ENVELOPE), MODERN, 400, -32602),
    "no envelope": (request(name="test_box_hold"), MODERN, 400, -32602),
    "a header that lies": (call(), {**MODERN, "mcp-name": "test_box_drop"}, 400, -32020),
    "an unknown revision": (call(), {**MODERN, "mcp-protocol-version": "2099-01-01"}, 400, -32020),
    "an unknown method": (
        request("foo/bar", _meta=ENVELOPE),
        {**MODERN, "mcp-method": "foo/bar"},
        404,
        -32601,
    ),
    "a ping of another era": (
        request("ping", _meta=ENVELOPE),
        {**MODERN, "mcp-method": "ping"},
        404,
        -32601,
    ),
    "plain text": (b"hello", {**MODERN, "content-type": "text/plain"}, 415, -32600),
    "JSON alone accepted": (call(), {**MODERN, "accept": "application/json"}, 406, -32600),
    "a session that never was": (call(), {**ACCEPT, "mcp-session-id": "x"}, 404, -32600),
    "no session": (call(), ACCEPT, 400, -32600),
    "a handshake without a revision": (request("initialize"), ACCEPT, 400, -32602),
}


async def test_what_cannot_be_served_is_refused_in_words(hub) -> None:
    for what, (body, headers, status, code) in REFUSED.items():
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await hub.post("/mcp", content=raw, headers=headers)
        assert answer.status_code == status, (what, answer.text)
        error = answer.json()["error"]
        assert error["code"] == code, what
        assert len(error["message"]) > 10, what
        assert answer.headers["x-correlation-id"], what
        served = await hub.post("/mcp", json=call(), headers=MODERN)
        assert served.json()["result"]["structuredContent"] == {"what": "nothing"}, what


async def test_odd_members_of_meta_harm_nobody(hub) -> None:
    for meta in (
        {"io.flotilla/timeoutMs": -5},
        {"io.flotilla/timeoutMs": "soon"},
        {"io.flotilla/correlationId": {"a": 1}},
        {"io.flotilla/correlationId": "two\nlines"},
        {"traceparent": 5},
        {"progressToken": {"a": 1}},
        {"anything": [None]},
    ):
        answer = await hub.post("/mcp", json=call(**meta), headers=MODERN)
        assert answer.json()["result"]["isError"] is False, meta


async def test_a_deadline_that_has_passed_starts_no_work(hub) -> None:
    late = call({"what": "secret"}, **{"io.flotilla/timeoutMs": 0})
    with anyio.fail_after(3):
        answer = await hub.post("/mcp", json=late, headers=MODERN)
    assert '"timeout"' in answer.json()["result"]["content"][0]["text"].replace("\\", "")


async def test_other_ways_in_are_closed(hub) -> None:
    for method, path, status in (
        ("GET", "/mcp", 405),
        ("PUT", "/mcp", 405),
        ("DELETE", "/mcp", 400),
        ("POST", "/sse", 405),
        ("POST", "/messages/?session_id=x", 404),
        ("POST", "/messages/", 404),
        ("GET", "/nothing", 404),
    ):
        answer = await hub.request(method, path, headers=ACCEPT)
        assert answer.status_code == status, (method, path)


async def shake_hands(http: httpx2.AsyncClient) -> dict[str, str]:
    body = request("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={})
    opened = await http.post("/mcp", json=body, headers=ACCEPT)
    assert opened.json()["result"]["protocolVersion"] == "2025-06-18"
    return {**ACCEPT, "mcp-session-id": opened.headers["mcp-session-id"]}


async def test_a_session_lives_until_it_is_deleted(hub) -> None:
    headers = await shake_hands(hub)
    assert (await hub.post("/mcp", json=request("ping"), headers=headers)).json()["result"] == {}
    assert (await hub.delete("/mcp", headers=headers)).status_code == 200
    assert (await hub.post("/mcp", json=request("ping"), headers=headers)).status_code == 404


async def test_a_cancelled_request_of_a_session_is_answered_and_its_work_ends(start_fleet) -> None:
    box = Box()
    async with (
        start_fleet([box.spoke()]) as fleet,
        httpx2.AsyncClient(headers=fleet.headers, base_url=fleet.url, timeout=20) as http,
    ):
        headers = await shake_hands(http)
        body = request(request_id="slow", name="test_box_hold", arguments={"what": "secret"})
        answers: list[Any] = []

        async def hold() -> None:
            answers.append((await http.post("/mcp", json=body, headers=headers)).json())

        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(hold)
                await box.started.wait()
                twice = await http.post("/mcp", json=body, headers=headers)
                assert "still running" in twice.json()["error"]["message"]
                note = {"method": "notifications/cancelled", "params": {"requestId": "slow"}}
                told = await http.post("/mcp", json={"jsonrpc": "2.0", **note}, headers=headers)
                assert told.status_code == 202
            await box.cancelled.wait()
        assert answers[0]["error"]["code"] == -32800


async def test_a_cancellation_of_nothing_sensible_is_taken_and_forgotten(hub) -> None:
    headers = await shake_hands(hub)
    for named in ([1], {"a": 1}, None, "unknown", 7, 1.5):
        note = {"method": "notifications/cancelled", "params": {"requestId": named}}
        told = await hub.post("/mcp", json={"jsonrpc": "2.0", **note}, headers=headers)
        assert told.status_code == 202, named


async def test_a_session_has_one_stream_at_a_time(hub) -> None:
    headers = await shake_hands(hub)
    async with hub.stream("GET", "/mcp", headers=headers) as stream:
        assert stream.status_code == 200
        assert (await hub.get("/mcp", headers=headers)).status_code == 409


async def test_a_client_that_hangs_up_cancels_its_modern_call(start_fleet) -> None:
    box = Box()
    async with (
        start_fleet([box.spoke()]) as fleet,
        httpx2.AsyncClient(headers=fleet.headers, base_url=fleet.url, timeout=20) as http,
    ):
        with anyio.fail_after(5):
            async with anyio.create_task_group() as group:

                async def hold() -> None:
                    await http.post("/mcp", json=call({"what": "secret"}), headers=MODERN)

                group.start_soon(hold)
                await box.started.wait()
                group.cancel_scope.cancel()
            await box.cancelled.wait()


async def test_numbers_go_through_as_the_client_wrote_them(start_fleet) -> None:
    seen: list[Any] = []

    class Number(Model):
        echoed: int

    async def take(number: int) -> Number:
        """Take a number."""
        seen.append(number)
        return Number(echoed=number)

    spoke = Spoke(
        name="number",
        version="1",
        instructions="",
        namespaces=("test.number",),
        tools=(reads("test.number.take", take),),
    )
    huge = 10**30 + 7
    async with start_fleet([spoke]) as fleet, fleet.client() as client:
        result = await client.call_tool("test_number_take", {"number": huge})
        assert seen == [huge]
        assert result.structured_content == {"echoed": huge}
