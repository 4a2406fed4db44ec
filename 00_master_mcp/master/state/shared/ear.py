"""What hubs tell each other, heard over a connection of its own."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ResponseError

from master.state.shared.line import Away, answer_of, reason_of


class Ear:
    def __init__(
        self,
        connection: AbstractConnection,
        hears: Callable[[str, bytes], None],
        on_broken: Callable[[str], None],
    ) -> None:
        """Over a connection that is connected, and closed by whom it is from; `on_broken` is called
        with the reason."""
        self._connection = connection
        self._hears = hears
        self._on_broken = on_broken
        self._is_asked = False
        self._task: asyncio.Task[None] | None = None

    async def listen(self, channels: Sequence[str]) -> None:
        """From its return on, nothing is missed; Away where Redis does not let us."""
        await self._connection.send_command("SUBSCRIBE", *channels, check_health=False)
        for _ in channels:
            answer = await answer_of(self._connection)
            if isinstance(answer, ResponseError):
                raise Away(reason_of(answer))
        self._task = asyncio.create_task(self._listen())

    async def check(self) -> None:
        """Ask whether the other side is there; Away if it has not answered the last time."""
        if self._is_asked:
            raise Away("what hubs tell each other does not arrive")
        self._is_asked = True
        await self._connection.send_command("PING", check_health=False)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        try:
            while True:
                self._take(await answer_of(self._connection))
        except Exception as error:  # noqa: BLE001 - whatever a stranger sends breaks the ear alone
            self._on_broken(reason_of(error))

    def _take(self, said: Any) -> None:
        self._is_asked = False
        if isinstance(said, ResponseError):
            raise said
        match cast("Sequence[bytes]", said):
            case [b"message", channel, text]:
                self._hears(channel.decode(), text)
            case _:
                pass  # A pong.
