"""A client of the tests ends well though it has given up a call, and hides no error of its own."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import httpx2
import pytest

from tests.conftest import client_over

pytestmark = pytest.mark.anyio

URL = "http://127.0.0.1/mcp"


class Late:
    """A server that answers what it is asked when it is told to, or its client ends the session."""

    def __init__(self) -> None:
        self.asked, self.ends, self.answered = anyio.Event(), anyio.Event(), anyio.Event()

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "DELETE":
            self.ends.set()
            await self.answered.wait()
            # The client gets no further with the answer while its session is still ending.
            await anyio.wait_all_tasks_blocked()
            return httpx2.Response(200)
        said: dict[str, Any] = json.loads(request.content) if request.method == "POST" else {}
        told = {"jsonrpc": "2.0", "id": said.get("id")}
        if said.get("method") == "initialize":
            result: dict[str, Any] = {
                "protocolVersion": said["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "late", "version": "1"},
            }
            return httpx2.Response(
                200, json={**told, "result": result}, headers={"mcp-session-id": "1"}
            )
        if said.get("method") == "tools/list":
            return httpx2.Response(
                200,
                headers={"content-type": "application/json"},
                content=self._tools(json.dumps({**told, "result": {"tools": []}})),
            )
        return httpx2.Response(202 if request.method == "POST" else 405)

    async def _tools(self, answer: str) -> AsyncGenerator[bytes]:
        self.asked.set()
        await self.ends.wait()
        yield answer.encode()
        self.answered.set()


@pytest.mark.parametrize("passes", [0, 1, None], ids=["as it is left", "just before", "later"])
async def test_the_answer_to_a_call_given_up_may_come_while_the_client_closes(
    passes: int | None,
) -> None:
    server = Late()
    with anyio.fail_after(10):
        async with (
            httpx2.AsyncClient(transport=httpx2.MockTransport(server)) as http,
            client_over(http, URL, mode="legacy") as client,
        ):
            async with anyio.create_task_group() as group:
                group.start_soon(client.list_tools)
                await server.asked.wait()
                group.cancel_scope.cancel()
            if passes is not None:
                # Its streams close one after another, and what breaks differs.
                server.ends.set()
                for _ in range(passes):
                    await anyio.sleep(0)
    assert server.answered.is_set()


@pytest.mark.parametrize("error", [anyio.ClosedResourceError, anyio.BrokenResourceError])
async def test_an_error_of_who_uses_the_client_comes_through(error: type[Exception]) -> None:
    server = Late()
    server.answered.set()
    with pytest.raises(ExceptionGroup) as caught:
        async with (
            httpx2.AsyncClient(transport=httpx2.MockTransport(server)) as http,
            client_over(http, URL, mode="legacy"),
        ):
            raise error
    assert caught.group_contains(error)
