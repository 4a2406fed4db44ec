"""One session over a transport that the test plays: what the hub asks, and in which order."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest

from master import rpc
from master.offer import Offer
from master.upstream import wire
from master.upstream.handshake import speaker as module
from master.upstream.handshake.speaker import RENEW_S, Handshake
from master.upstream.handshake.transport import Ears
from master.upstream.looking import first_answer
from tests.conftest import until

pytestmark = pytest.mark.anyio


class Played:
    """A server that reads each message at once, and answers those that it is not to hold."""

    frail = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        """Method and what it is about, in the order in which they came."""
        self.held: Callable[[str], bool] = lambda _: False
        self._waiting: dict[str, int] = {}
        self._ears: asyncio.Future[Ears] = asyncio.get_running_loop().create_future()

    async def run(self, ears: Ears) -> None:
        self._ears.set_result(ears)
        await anyio.sleep_forever()

    async def opened(self) -> None:
        await self._ears

    async def send(
        self, message: bytes, request: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        told: dict[str, Any] = json.loads(message)
        params = told.get("params", {})
        text = " ".join(
            [told["method"], *(str(params[k]) for k in ("uri", "level") if k in params)]
        )
        self.asked.append(text)
        if request is not None:
            self._waiting[text] = request
            if not self.held(text):
                await self.answer(text)

    async def answer(self, text: str, error: rpc.RpcError | None = None) -> None:
        ears, request = self._ears.result(), self._waiting.pop(text)
        if error is not None:
            ears.failed(request, error)
            return
        result: dict[str, Any] = {
            "protocolVersion": "2025-11-25",
            "capabilities": {"resources": {"subscribe": True}, "logging": {}},
            "serverInfo": {"name": "played", "version": "1"},
            "resources": [],
            "resourceTemplates": [],
        }
        await ears.heard(wire.received(rpc.response(request, rpc.text_of(result))), request)

    def initialized(self, version: str) -> None:
        del version

    def drop(self, request: int) -> None:
        del request

    def drop_idle(self) -> None: ...

    async def knock(self, timeout_s: float) -> None:
        del timeout_s


class Heard:
    """Who is told that the session is open."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    def offered(self, offer: Offer) -> None:
        del offer
        self.open.set()

    def updated(self, uri: str, params: rpc.Texts) -> None: ...

    def said(self, method: str, params: rpc.Texts) -> None: ...


@asynccontextmanager
async def session() -> AsyncGenerator[tuple[Handshake, Played]]:
    server, heard = Played(), Heard()
    speaker = Handshake("played", lambda: server)
    holding = asyncio.create_task(speaker.hold(heard))
    with anyio.fail_after(5):
        await heard.open.wait()
    try:
        yield speaker, server
    finally:
        holding.cancel()
        await asyncio.wait({holding})


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is waited for as long as a test may hold it."""
    monkeypatch.setattr(module, "SUBSCRIBE_S", 60)
    monkeypatch.setattr(module, "LEVEL_S", 60)


def about(server: Played, words: str) -> list[str]:
    return [text for text in server.asked if words in text]


async def test_a_dead_stream_is_told_within_the_shortest_limit_of_a_look() -> None:
    async with session() as (speaker, server):
        server.held = lambda _: True
        with anyio.fail_after(5):
            # Any of them may say so, as other programs may hold up one.
            assert (await first_answer(lambda: speaker.look(RENEW_S)))[0] == "dead"


@pytest.mark.usefixtures("patient")
async def test_the_last_word_about_a_resource_is_the_last_that_its_server_hears() -> None:
    async with session() as (speaker, server):
        server.held = lambda text: text.startswith("resources/")
        speaker.watch(frozenset({"a"}))
        speaker.watch(frozenset({"b"}))
        speaker.watch(frozenset({"a"}))
        await anyio.wait_all_tasks_blocked()
        said = ["resources/subscribe a", "resources/subscribe b"]
        assert sorted(about(server, "scribe")) == said, "each waits only for its own"
        await server.answer("resources/subscribe a", rpc.RpcError(-32602, "not now"))
        await until(lambda: about(server, "unsubscribe a"))
        assert len(about(server, "resources/subscribe a")) == 1
        await server.answer("resources/unsubscribe a")
        await until(lambda: len(about(server, "resources/subscribe a")) == 2)
        await server.answer("resources/subscribe b")
        await until(lambda: about(server, "unsubscribe b"))


async def test_a_resource_whose_server_does_not_answer_is_spoken_of_again_after_a_while() -> None:
    async with session() as (speaker, server):
        server.held = lambda text: text.startswith("resources/")
        speaker.watch(frozenset({"a"}))
        speaker.watch(frozenset())
        await until(lambda: about(server, "unsubscribe a"))


@pytest.mark.usefixtures("patient")
async def test_the_least_severe_level_is_the_last_that_a_server_hears() -> None:
    async with session() as (speaker, server):
        server.held = lambda text: text.startswith("logging/")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(speaker.log_level, "info")
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(speaker.log_level, "debug")
            await anyio.wait_all_tasks_blocked()
            assert about(server, "logging/") == ["logging/setLevel info"]
            await server.answer("logging/setLevel info")
            await until(lambda: len(about(server, "logging/")) == 2)
            assert about(server, "logging/")[1] == "logging/setLevel debug"
            await server.answer("logging/setLevel debug")
