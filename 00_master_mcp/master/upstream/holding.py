"""Holds a connection for as long as that is the best one to have."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from time import monotonic
from typing import Any, TypeVar

from master.upstream.carrying import ended
from master.upstream.looking import first_answer, pace_s

PATIENCE_S, MAX_PATIENCE_S = 0.5, 60.0
"""The least and the most that a server which answers has to open, before it is tried anew."""
KNOCK_S = 3.0
"""How long one look at a server that has not opened may take."""

Why = TypeVar("Why")

Knock = Callable[[float], Awaitable[None]]
"""Returns when anybody answers at the server's address, on a new connection, within seconds."""


async def held(
    hold: Coroutine[Any, Any, Why],
    opened: asyncio.Event,
    renewing: asyncio.Event,
    knock: Knock | None,
    given_up: int = 0,
) -> Why | None:
    """What `hold` returns, which sets `opened` on its way; None where it was given up.

    It is when `renewing` is set, or, before it has opened, when the server turns out to answer
    others: the attempt hangs in what the server was when it began. `given_up` is how many
    attempts in a row were; each next has more time, for one that is only slow.
    """
    holding = asyncio.create_task(hold)
    overtaking = asyncio.create_task(_overtaken(opened, renewing, knock, given_up))
    try:
        await asyncio.wait({holding, overtaking}, return_when=asyncio.FIRST_COMPLETED)
        return holding.result() if holding.done() else overtaking.result()
    finally:
        await ended(holding, overtaking)


async def _overtaken(
    opened: asyncio.Event, renewing: asyncio.Event, knock: Knock | None, given_up: int
) -> None:
    waiting = asyncio.ensure_future(renewing.wait())
    knocking = asyncio.ensure_future(_answers_others(opened, knock, given_up))
    try:
        await asyncio.wait({waiting, knocking}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done() and not knocking.result():
            await waiting
    finally:
        await ended(waiting, knocking)


async def _answers_others(opened: asyncio.Event, knock: Knock | None, given_up: int) -> bool:
    """Whether the server answers others, and not this attempt; False once it has opened.

    Where it began to answer after the attempt had begun, that is known at once; else the attempt
    has the time that a server as quick as this one may need.
    """
    if knock is None:
        return False
    if await _within(pace_s(), opened):
        return False
    started = monotonic()
    opening = asyncio.ensure_future(opened.wait())
    knocking = asyncio.ensure_future(first_answer(lambda: knock(KNOCK_S)))
    try:
        await asyncio.wait({opening, knocking}, return_when=asyncio.FIRST_COMPLETED)
        if opening.done():
            return False
        _, in_vain = knocking.result()
    finally:
        await ended(opening, knocking)
    return in_vain or not await _within(patience_s(monotonic() - started, given_up), opened)


def patience_s(took_s: float, given_up: int) -> float:
    """How long one has to open that answers a knock in `took_s`. Pure."""
    return min(max(PATIENCE_S, 10 * took_s) * 2.0 ** min(given_up, 10), MAX_PATIENCE_S)


async def _within(seconds: float, opened: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await opened.wait()
    except TimeoutError:
        return False
    return True
