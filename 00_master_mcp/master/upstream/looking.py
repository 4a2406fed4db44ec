"""Looks at a server that is away, again and again, without waiting for the looks before.

A look may hang for seconds in what swallows everything; the server that is back is found by the
next one.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, TypeVar

from flotilla import FlotillaError
from master import rpc
from master.upstream.carrying import ended

EVERY_S = 0.45
"""How often a server that is away is looked at."""
MOST = 8
"""Looks that are open at a time; the oldest is given up for the next."""
SLOW_S = 0.1
"""Answers that come this close together may have changed places on their way."""

Found = TypeVar("Found")


def pace_s(jitter: Callable[[], float] = random.random) -> float:
    """About `EVERY_S`: who looks at many servers shall not look at all of them at once."""
    return EVERY_S * (0.9 + jitter() / 5)


async def first_answer(
    look: Callable[[], Awaitable[Found]], pause_s: Callable[[], float] = pace_s
) -> tuple[Found, bool]:
    """What the first look found that was answered, and whether an older one was not.

    A look that raises FlotillaError or RpcError was not answered.
    """
    open_: list[asyncio.Task[Found]] = []
    ending: list[asyncio.Task[Found]] = []
    in_vain = False
    try:
        while True:
            if len(open_) == MOST:
                ending.append(open_.pop(0))
                ending[-1].cancel()
                in_vain = True
            open_.append(asyncio.ensure_future(_looked(look)))
            next_at = monotonic() + pause_s()
            while (left_s := next_at - monotonic()) > 0:
                if not open_:
                    await asyncio.sleep(left_s)
                    break
                await asyncio.wait(open_, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
                for task in [each for each in open_ if each.done()]:
                    if _answered(task):
                        older = open_[: open_.index(task)]
                        return task.result(), in_vain or not await _all_answer(older)
                    open_.remove(task)
                    in_vain = True
    finally:
        if open_ or ending:
            await ended(*open_, *ending)


async def _looked(look: Callable[[], Awaitable[Found]]) -> Found:
    return await look()


def _answered(task: asyncio.Task[Any]) -> bool:
    error = task.exception()
    if error is not None and not isinstance(error, (FlotillaError, rpc.RpcError)):
        raise error
    return error is None


async def _all_answer(older: list[asyncio.Task[Any]]) -> bool:
    if not older:
        return True
    done, late = await asyncio.wait(older, timeout=SLOW_S)
    return not late and all(_answered(task) for task in done)
