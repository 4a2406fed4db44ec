"""Commands of many callers over one connection, each answered in its turn.

Callers that come at once share one write, and a caller that leaves disturbs nobody: its answer is
read and forgotten. A server that does not answer for `PATIENCE_S` breaks the line for all.
"""

import asyncio
import math
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis import exceptions
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import InvalidResponse, NoScriptError, RedisError, ResponseError

from master.state.shared.scripts import Script

PATIENCE_S = 0.2
GRACE_S = 0.04
"""More, for answers that have come while this process was busy and are yet to be read."""

Argument = str | bytes | int | float


class Away(Exception):
    """Redis cannot be asked; the text says why, and may hold what the server said."""


@dataclass(slots=True, eq=False)
class _Asked:
    answer: asyncio.Future[Any]
    at: float
    """When it was sent; until then, when it was asked for."""


class Line:
    def __init__(self, connection: AbstractConnection, on_broken: Callable[[str], None]) -> None:
        """Over a connection that is connected, and closed by whom it is from; `on_broken` is called
        once, with the reason."""
        self._connection = connection
        self._on_broken = on_broken
        self._loop = asyncio.get_running_loop()
        self._asked = deque[_Asked]()
        self._unsent: list[bytes] = []
        self._unsent_asked: list[_Asked] = []
        self._has_unsent = asyncio.Event()
        self._broken: str | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._suspect: _Asked | None = None
        self._tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._read())]

    async def ask(self, *command: Argument) -> Any:
        """The answer as Redis gave it, texts as bytes; Away when there is none, or an error."""
        try:
            return await self._put(command)
        except ResponseError as error:
            raise self._refused(error) from None

    async def run(self, script: Script, keys: Sequence[str], *arguments: Argument) -> Any:
        """What the script answers; the server is sent its text once."""
        try:
            return await self._put(("EVALSHA", script.sha, len(keys), *keys, *arguments))
        except NoScriptError:
            return await self.ask("EVAL", script.source, len(keys), *keys, *arguments)
        except ResponseError as error:
            raise self._refused(error) from None

    def break_off(self, reason: str) -> None:
        """All who wait are told; nothing can be asked any more."""
        if self._broken is None:
            self._end(reason)
            self._on_broken(reason)

    async def close(self) -> None:
        if self._broken is None:
            self._end("closed")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _end(self, reason: str) -> None:
        self._broken = reason
        if self._watch is not None:
            self._watch.cancel()
        for asked in self._asked:
            if not asked.answer.done():
                asked.answer.set_exception(Away(reason))
        self._asked.clear()

    def _put(self, command: tuple[Argument, ...]) -> asyncio.Future[Any]:
        if self._broken is not None:
            raise Away(self._broken)
        asked = _Asked(self._loop.create_future(), self._loop.time())
        self._unsent += self._connection.pack_command(*command)
        self._unsent_asked.append(asked)
        self._asked.append(asked)
        self._has_unsent.set()
        if self._watch is None:
            self._watch = self._loop.call_later(PATIENCE_S, self._look)
        return asked.answer

    def _refused(self, error: ResponseError) -> Away:
        # A replica that takes no writes, a user without the right: it can be asked nothing.
        self.break_off(reason_of(error))
        return Away(reason_of(error))

    def _look(self) -> None:
        """Whether the oldest command has waited too long."""
        self._watch = None
        if not self._asked:
            return
        oldest = self._asked[0]
        left_s = oldest.at + PATIENCE_S - self._loop.time()
        if left_s <= 0:
            if self._suspect is oldest:
                self.break_off("it does not answer")
                return
            self._suspect, left_s = oldest, GRACE_S
        self._watch = self._loop.call_later(left_s, self._look)

    async def _send(self) -> None:
        try:
            while True:
                await self._has_unsent.wait()
                self._has_unsent.clear()
                chunks, self._unsent = self._unsent, []
                # Before, this process may have been busy with other things.
                now, sent, self._unsent_asked = self._loop.time(), self._unsent_asked, []
                for asked in sent:
                    asked.at = now
                await self._connection.send_packed_command(chunks, check_health=False)
        except (RedisError, OSError) as error:
            self.break_off(reason_of(error))

    async def _read(self) -> None:
        try:
            while True:
                self._settle(await answer_of(self._connection))
        except Exception as error:  # noqa: BLE001 - whatever a stranger sends breaks the line alone
            self.break_off(reason_of(error))

    def _settle(self, reply: Any) -> None:
        if not self._asked:
            raise InvalidResponse("an answer that nobody asked for")
        answer = self._asked.popleft().answer
        if answer.done():
            return
        if isinstance(reply, ResponseError):
            answer.set_exception(reply)
        else:
            answer.set_result(reply)


async def answer_of(connection: AbstractConnection) -> Any:
    """The next thing that the server sends; a refusal of one command is an answer too."""
    try:
        # The driver does not say what Redis may answer.
        return await connection.read_response(  # pyright: ignore[reportUnknownVariableType]
            disable_decoding=True, timeout=math.inf, disconnect_on_error=False
        )
    except ResponseError as refusal:
        return refusal


def reason_of(error: BaseException) -> str:
    """In words that a person can use."""
    if isinstance(error, (TimeoutError, exceptions.TimeoutError)):
        return "it does not answer"
    if isinstance(error, (InvalidResponse, ValueError)):
        # What a server that is no Redis said is no use to anybody, and may hold anything.
        return "what answers there is no Redis"
    if not is_theirs(error):
        return f"the hub failed with {type(error).__name__}"
    cause = error if isinstance(error, OSError) else error.__context__
    if isinstance(cause, OSError) and cause.errno:
        # Names that are not found have negative numbers, which the system does not know.
        return os.strerror(cause.errno) if cause.errno > 0 else str(cause.strerror)
    # Which line of which script it was is no use to a person.
    told = " ".join(str(error).partition(" script: ")[0].split())
    return told[:200].rstrip(".") or type(error).__name__


def is_theirs(error: BaseException) -> bool:
    """Whether Redis, the network or whoever answers may have caused it, and not a mistake here."""
    return isinstance(error, (RedisError, OSError, ValueError, Away))
