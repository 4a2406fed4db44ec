"""How long commands wait for their answers, by a clock that goes on only when it is told to."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from redis.asyncio.connection import AbstractConnection

from master.state.shared.line import GRACE_S, PATIENCE_S, Away, Line


class Loop(asyncio.SelectorEventLoop):
    """One in which no time passes, so that a slow machine changes nothing."""

    now = 0.0

    def time(self) -> float:
        return self.now

    async def passes(self, seconds: float = 0.0) -> None:
        """The loop does nothing for so long, and then whatever there is to do."""
        self.now += seconds
        for _ in range(20):
            await asyncio.sleep(0)


class Connection:
    """To a server that answers when the test says so; `can_send` is cleared when it reads nothing
    either."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.answers = asyncio.Queue[Any]()
        self.can_send = asyncio.Event()
        self.can_send.set()

    def pack_command(self, *command: Any) -> list[Any]:
        return [command]

    async def send_packed_command(self, chunks: list[Any], *, check_health: bool) -> None:
        self.sent += chunks
        await self.can_send.wait()

    async def read_response(self, **_: Any) -> Any:
        return await self.answers.get()


def run(body: Callable[[Loop, Connection, Line], Awaitable[None]]) -> list[str]:
    """What broke the line while `body` ran, if anything did."""
    broken: list[str] = []

    async def main() -> None:
        loop, connection = cast("Loop", asyncio.get_running_loop()), Connection()
        line = Line(cast("AbstractConnection", connection), broken.append)
        await body(loop, connection, line)
        await line.close()

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())
    return broken


def test_a_server_has_all_of_its_time_from_when_it_is_sent_a_command() -> None:
    async def body(loop: Loop, connection: Connection, line: Line) -> None:
        await loop.passes()
        asked = asyncio.create_task(line.ask("GET", "a"))
        # Asked for in this pass of the loop, and sent in the next.
        await asyncio.sleep(0)
        assert not connection.sent
        await loop.passes(2 * PATIENCE_S)
        assert connection.sent == [("GET", "a")]
        for _ in range(3):
            await loop.passes(PATIENCE_S / 4)
        connection.answers.put_nowait(b"1")
        assert await asked == b"1"

    assert run(body) == []


def test_a_server_that_does_not_answer_in_its_time_breaks_the_line() -> None:
    async def body(loop: Loop, connection: Connection, line: Line) -> None:
        asked = asyncio.create_task(line.ask("GET", "a"))
        await loop.passes()
        assert connection.sent
        await loop.passes(PATIENCE_S)
        assert not asked.done()
        await loop.passes(GRACE_S)
        with pytest.raises(Away):
            await asked

    assert run(body) == ["it does not answer"]


def test_a_command_that_cannot_be_sent_breaks_the_line_too() -> None:
    async def body(loop: Loop, connection: Connection, line: Line) -> None:
        connection.can_send.clear()
        first = asyncio.create_task(line.ask("GET", "a"))
        await loop.passes()
        # So that nothing that was sent is waited for.
        connection.answers.put_nowait(b"1")
        assert await first == b"1"
        second = asyncio.create_task(line.ask("GET", "b"))
        await loop.passes()
        assert connection.sent == [("GET", "a")]
        await loop.passes(PATIENCE_S)
        await loop.passes(GRACE_S)
        with pytest.raises(Away):
            await second

    assert run(body) == ["it does not answer"]
