"""Work that must come to its end even when whoever waits for it is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import anyio


async def outlast(work: Coroutine[Any, Any, None]) -> None:
    """Finish `work` whatever cancels us meanwhile, and pass a cancellation on afterwards.

    The scope holds off anyio's cancellations, the shield those of plain asyncio.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError as error:
                cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
