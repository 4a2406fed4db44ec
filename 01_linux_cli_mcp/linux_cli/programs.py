"""Programs that are run for an answer: how many at once, how long, and how much of their output."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from flotilla import Context, RateLimited
from linux_cli.capture import HEAD_BYTES, TAIL_BYTES, Capture
from linux_cli.host import Ended, Host, Order, Stream

MARGIN_S = 2.0
"""Kept of a deadline for ending a program that overstays, and for answering."""
_RETRY_AFTER_MS = 1000


@dataclass(frozen=True, slots=True)
class Answer:
    """How a program ended and what was kept of its output."""

    ended: Ended
    stdout: str
    stderr: str
    truncated: bool


class Programs:
    """Runs programs on hosts, `max_at_once` of them; RateLimited after waiting `wait_s` in vain."""

    def __init__(self, *, max_at_once: int, wait_s: float) -> None:
        self._max_at_once = max_at_once
        self._wait_s = wait_s
        self._free = anyio.Semaphore(max_at_once)

    async def run(
        self,
        host: Host,
        order: Order,
        *,
        head_bytes: int = HEAD_BYTES,
        tail_bytes: int = TAIL_BYTES,
    ) -> Answer:
        kept: dict[Stream, Capture] = {
            "stdout": Capture(head_bytes, tail_bytes),
            "stderr": Capture(),
        }
        async with self._place():
            ended = await host.run(order, lambda stream, data: kept[stream].feed(data))
        out, err = kept["stdout"], kept["stderr"]
        return Answer(ended, out.text(), err.text(), bool(out.dropped or err.dropped))

    @asynccontextmanager
    async def _place(self) -> AsyncGenerator[None]:
        with anyio.move_on_after(self._wait_s) as scope:
            await self._free.acquire()
        if scope.cancelled_caught:
            raise RateLimited(
                f"{self._max_at_once} programs run already, as many as may",
                retry_after_ms=_RETRY_AFTER_MS,
                hint="Try again in a moment, or use startJob for long work.",
            )
        try:
            yield
        finally:
            self._free.release()


def timeout_within(context: Context, asked_s: float | None) -> float:
    """The asked time, or as much as the call's deadline leaves once it must be answered."""
    left = context.deadline.remaining_s()
    most = max(left / 2, left - MARGIN_S)
    return most if asked_s is None else min(asked_s, most)
