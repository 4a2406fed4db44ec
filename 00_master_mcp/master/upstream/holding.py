"""Holds a connection for as long as that is the best one to have."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from master.upstream.carrying import ended
from master.upstream.looking import first_answer, pace_s

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
) -> Why | None:
    """What `hold` returns, which sets `opened` on its way; None where it was given up.

    It is when `renewing` is set, or, before it has opened, when the server turns out to answer
    others: the attempt hangs in what the server was when it began.
    """
    holding = asyncio.create_task(hold)
    overtaking = asyncio.create_task(_overtaken(opened, renewing, knock))
    try:
        await asyncio.wait({holding, overtaking}, return_when=asyncio.FIRST_COMPLETED)
        return holding.result() if holding.done() else overtaking.result()
    finally:
        await ended(holding, overtaking)


async def _overtaken(opened: asyncio.Event, renewing: asyncio.Event, knock: Knock | None) -> None:
    waiting = asyncio.ensure_future(renewing.wait())
    knocking = asyncio.ensure_future(_began_to_answer(opened, knock))
    try:
        await asyncio.wait({waiting, knocking}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done() and not knocking.result():
            await waiting
    finally:
        await ended(waiting, knocking)


async def _began_to_answer(opened: asyncio.Event, knock: Knock | None) -> bool:
    """Whether the server began to answer after the attempt had begun, which does not notice it.

    One that answers the first knock is only slow in opening.
    """
    if knock is None:
        return False
    try:
        async with asyncio.timeout(pace_s()):
            await opened.wait()
    except TimeoutError:
        pass
    else:
        return False
    opening = asyncio.ensure_future(opened.wait())
    knocking = asyncio.ensure_future(first_answer(lambda: knock(KNOCK_S)))
    try:
        await asyncio.wait({opening, knocking}, return_when=asyncio.FIRST_COMPLETED)
        return not opening.done() and knocking.result()[1]
    finally:
        await ended(opening, knocking)
