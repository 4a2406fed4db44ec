"""One connection to a server, carrying one request at a time."""

import asyncio
import re
import select
import socket
from math import inf
from time import monotonic
from typing import Protocol, cast

from flotilla import FlotillaError
from master.upstream.transport.answer import Answer, Broken
from master.upstream.transport.client import (
    HIGH_WATER_BYTES,
    broke_http,
    too_late,
    too_silent,
    went_away,
)
from master.upstream.transport.target import Target

HEAD = -1
"""What `wait` waits for: the head; else more than so many bytes of the body, or its end."""
MAX_JOINED_BYTES = 64 * 1024
"""A larger body is written beside its head, not copied behind it."""
TICK_S = 0.001
"""Loops may call a timer early by this."""


KEEP_MARGIN_S = 1.0
"""A server that says how long it keeps idle connections closes them about then."""
TOUCH_AFTER_S, TOUCH_EVERY_S, TOUCHES = 15, 5, 3
"""A host that vanished without a word is noticed within half a minute, by its silence to TCP."""

_KEPT = re.compile(r"(?:^|[,\s])timeout=(\d{1,9})", re.IGNORECASE)


class Owner(Protocol):
    """Who keeps connections."""

    def idle(self, connection: "Connection") -> None:
        """It can carry another request."""
        ...

    def lost(self, connection: "Connection") -> None:
        """It has ended."""
        ...


class Connection(asyncio.Protocol):
    """A timer is set once and moved when it fires: most requests touch none."""

    def __init__(self, target: Target, owner: Owner) -> None:
        self.target = target
        self.idle_since = 0.0
        self.kept_s = inf
        """How long the server keeps it while it is idle, where it has said so."""
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._readable = select.poll()
        self._answer: Answer | None = None
        self._failure: FlotillaError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._wanted = HEAD
        self._paused = False
        self._due_at = inf
        self._silence_s: float | None = None
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf

    def start(
        self,
        head: bytes,
        body: bytes,
        answer: Answer,
        due_at: float | None,
        silence_s: float | None,
    ) -> None:
        """Send a request, whose response goes into `answer`.

        The transport holds what the socket does not take yet: a body is one buffer that is there
        anyway.
        """
        assert self._transport is not None and self._answer is None, "one request at a time"
        self._answer = answer
        self._due_at = inf if due_at is None else due_at
        self._silence_s = silence_s
        if silence_s is not None:
            self._heard_at = monotonic()
        self._arm()
        if len(body) <= MAX_JOINED_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    async def wait(self, answer: Answer, wanted: int) -> None:
        """Return when so much has come, or all; raises the errors of the seam.

        Cancelled, it closes the connection.
        """
        if self._failure is not None:
            raise self._failure
        assert self._waiter is None, "a response has one reader"
        if self._paused:
            self.resume(answer)
        self._wanted = wanted
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        except BaseException:
            self.give_up(answer)
            raise
        finally:
            if self._waiter is waiter:
                self._waiter = None

    def resume(self, answer: Answer) -> None:
        """What `answer` held was taken: read on."""
        if self._paused and self._answer is answer and self._transport is not None:
            self._paused = False
            self._heard_at = monotonic()
            self._transport.resume_reading()
            self._arm()

    def give_up(self, answer: Answer) -> None:
        """Nobody wants the rest of `answer`."""
        if self._answer is answer:
            self._fail(went_away(self.target.name))

    def abort(self) -> None:
        self._disarm()
        if self._transport is not None:
            self._transport.abort()

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def is_quiet(self) -> bool:
        """Whether the idle connection is open, as far as this machine knows.

        The loop may not have come to read yet that the server has closed it; a request would be
        written to nobody, and could not be sent again without knowing that.
        """
        return self.is_open and not self._readable.poll(0)

    # What the transport tells:

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        connected: socket.socket = transport.get_extra_info("socket")
        self._readable.register(connected.fileno(), select.POLLIN)
        _stay_in_touch(connected)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:  # nobody has asked
            self.abort()
            return
        if self._silence_s is not None:
            self._heard_at = monotonic()
        try:
            answer.feed(data)
        except Broken as error:
            self._fail(broke_http(self.target, str(error)))
            return
        if answer.ended:
            self._ended(answer)
        elif self._waiter is not None:
            if answer.headed and answer.held > self._wanted:
                self._wake()
        elif answer.held > HIGH_WATER_BYTES and not self._paused:
            assert self._transport is not None
            self._paused = True
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._owner.lost(self)
        answer = self._answer
        if answer is not None:
            if exc is None and answer.finish():
                self._answer = None
                self._wake()
            else:
                self._fail(went_away(self.target.name))
        self._transport = None

    # Within:

    def _ended(self, answer: Answer) -> None:
        self._answer = None
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        self._wake()
        if answer.reusable:
            told = answer.headers.get("keep-alive")
            if told is not None:
                self.kept_s = kept_s(told)
            self._owner.idle(self)
        else:
            self.abort()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, error: FlotillaError) -> None:
        """No more will come of the answer; the first reason counts."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.drop()
        if self._failure is None:
            self._failure = error
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(self._failure)
        self.abort()

    def _next_at(self) -> float:
        """When the response is too late, if nothing comes until then."""
        if self._silence_s is None or self._paused:
            return self._due_at
        return min(self._due_at, self._heard_at + self._silence_s)

    def _arm(self) -> None:
        at = self._next_at()
        if at < self._timer_at:
            self._disarm()
            self._timer = self._loop.call_later(max(0.0, at - monotonic()), self._tick)
            self._timer_at = at

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._timer_at = inf

    def _tick(self) -> None:
        self._timer, self._timer_at = None, inf
        if self._answer is None:
            return
        now = monotonic()
        if self._next_at() - now > TICK_S:
            self._arm()
        elif self._due_at - now <= TICK_S or self._silence_s is None:
            self._fail(too_late(self.target))
        else:
            self._fail(too_silent(self.target, self._silence_s))


def kept_s(told: str) -> float:
    """How long a connection is good whose server sent this `keep-alive` header; pure."""
    found = _KEPT.search(told)
    return inf if found is None else max(0.0, int(found[1]) - KEEP_MARGIN_S)


def _stay_in_touch(connected: socket.socket) -> None:
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", TOUCH_AFTER_S),
        ("TCP_KEEPINTVL", TOUCH_EVERY_S),
        ("TCP_KEEPCNT", TOUCHES),
    ):
        if hasattr(socket, name):  # not everywhere under this name
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
