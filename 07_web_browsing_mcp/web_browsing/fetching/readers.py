"""The processes that read bodies: a few, started when needed, killed when one takes too long.

Not threads: nothing can stop a thread, and a page may be made so that reading it takes for ever or
all memory there is.
"""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Self, TypeVar

import orjson
import structlog
from pydantic import TypeAdapter, ValidationError

from flotilla import Deadline, FlotillaError, TimedOut, TooLarge, UpstreamError
from flotilla.outlast import outlast
from web_browsing.fetching.orders import Order, Reading

log = structlog.get_logger(__name__)
T = TypeVar("T")

AT_ONCE = 2
READING_S = 25.0
"""Of one body; ordinary pages take tens of milliseconds."""
IDLE_S = 60.0
MAX_READ = 200
"""Then a process has gathered enough of what libraries keep, and is followed by a new one."""
MAX_ANSWER_BYTES = 128 * 1024 * 1024
_READING = TypeAdapter(Reading)


class Readers:
    """Takes orders within `opened`; `reading_s` bounds each, whatever the caller's deadline."""

    def __init__(
        self, at_once: int = AT_ONCE, *, reading_s: float = READING_S, idle_s: float = IDLE_S
    ) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._reading_s = reading_s
        self._idle_s = idle_s
        self._idle: list[_Reader] = []
        self._resting: dict[_Reader, asyncio.TimerHandle] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """At the end no process is left."""
        try:
            yield
        finally:
            while self._idle:
                self._let_go(self._idle[0])
            while self._ending:
                await asyncio.wait(self._ending)

    async def read(self, order: Order, body: bytes, due: Deadline) -> Reading:
        """What the body says.

        Raises TooLarge where reading takes too long or too much memory, UpstreamError for a body
        that is not what it is called, TimedOut where the others have all the time there was.
        """
        await _within(due, self._places.acquire(), "other pages are still being read")
        try:
            reader = self._rested() or await self._started()
            try:
                limit = due.no_later_than(self._reading_s)
                answer = await _within(limit, reader.ask(order, body), None)
            except BaseException:
                # It is in the middle of something, and nothing but its end stops that.
                await outlast(reader.end())
                raise
            self._put_back(reader)
        finally:
            self._places.release()
        return _reading_of(answer)

    def _rested(self) -> "_Reader | None":
        while self._idle:
            reader = self._idle.pop()
            self._resting.pop(reader).cancel()
            if reader.alive:
                return reader
            self._finish(reader)
        return None

    async def _started(self) -> "_Reader":
        """One that is new; whoever is cancelled over it leaves none behind."""
        starting = asyncio.create_task(_Reader.started())
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            await outlast(_ended(starting))
            raise

    def _put_back(self, reader: "_Reader") -> None:
        if reader.read >= MAX_READ:
            self._finish(reader)
            return
        loop = asyncio.get_running_loop()
        self._idle.append(reader)
        self._resting[reader] = loop.call_later(self._idle_s, self._let_go, reader)

    def _let_go(self, reader: "_Reader") -> None:
        self._idle.remove(reader)
        self._resting.pop(reader).cancel()
        self._finish(reader)

    def _finish(self, reader: "_Reader") -> None:
        task = asyncio.create_task(reader.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


@dataclass(eq=False)
class _Reader:
    process: Process
    read: int = 0

    @classmethod
    async def started(cls) -> Self:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-s", "-B", "-m", "web_browsing.fetching.reader_process"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            # Nothing else of ours: what reads strangers' words has no settings and no secrets.
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LANG": "C.UTF-8"},
        )
        return cls(process)

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    async def ask(self, order: Order, body: bytes) -> bytes:
        """The answer to an order; UpstreamError where the process ended over it."""
        told = orjson.dumps(asdict(order))
        orders, answers = self.process.stdin, self.process.stdout
        assert orders is not None and answers is not None
        try:
            orders.writelines((_size(told), told, _size(body), body))
            await orders.drain()
            size = int.from_bytes(await answers.readexactly(4))
            if size > MAX_ANSWER_BYTES:
                raise TooLarge("the page says more than fits", details={"reason": "too_much"})
            answer = await answers.readexactly(size)
        except (asyncio.IncompleteReadError, OSError):
            log.warning("page_reader_died", kind=order.kind, size_bytes=len(body))
            raise _too_much("reading the page took more than a reader may have") from None
        self.read += 1
        return answer

    async def end(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        # Its pipes too: until they are read to their end asyncio keeps them.
        await self.process.communicate()


async def _ended(starting: "asyncio.Task[_Reader]") -> None:
    with suppress(OSError):
        await (await starting).end()


async def _within(due: Deadline, work: Awaitable[T], busy: str | None) -> T:
    try:
        async with asyncio.timeout(due.remaining_s()):
            return await work
    except TimeoutError:
        if busy is not None:
            raise TimedOut(busy) from None
        raise _too_much("reading the page takes too long") from None


def _reading_of(answer: bytes) -> Reading:
    told = orjson.loads(answer)
    error = told.get("error")
    if error is not None:
        if error["reason"] == "too_much":
            raise _too_much(error["message"])
        raise UpstreamError(error["message"], details={"reason": error["reason"]})
    if "failed" in told:
        log.error("page_reading_failed", failure=told["failed"])
        raise FlotillaError("the page could not be read", hint="The log has the details.")
    try:
        return _READING.validate_python(told["reading"])
    except ValidationError as error:
        raise FlotillaError("the page was read into something else") from error


def _too_much(told: str) -> TooLarge:
    return TooLarge(
        told,
        hint="openSession shows such a page piece by piece, by snapshot.",
        details={"reason": "too_much"},
    )


def _size(data: bytes) -> bytes:
    return len(data).to_bytes(4)
