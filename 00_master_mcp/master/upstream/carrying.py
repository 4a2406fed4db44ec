"""Work that lasts as long as what carries it, and waits that say what was waited for."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from flotilla import TimedOut


async def unless_ended(work: Coroutine[Any, Any, None], carrying: asyncio.Task[None]) -> None:
    """Run `work` as long as the transport carries; raises what ended either."""
    working = asyncio.create_task(work)
    try:
        await asyncio.wait({working, carrying}, return_when=asyncio.FIRST_COMPLETED)
        # Why the transport ended says more than what failed for that reason.
        for task in (carrying, working):
            if task.done():
                task.result()
    finally:
        if not working.done():
            working.cancel()
            await asyncio.wait({working})
        if not working.cancelled():
            working.exception()


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel these, and return when they have ended, however they did."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()


@asynccontextmanager
async def within(limit_s: float, message: str) -> AsyncGenerator[None]:
    """TimedOut with that message when it takes longer."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError:
        raise TimedOut(message) from None
