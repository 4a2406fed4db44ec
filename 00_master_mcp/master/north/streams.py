"""Streams that outlive one call: what the hub tells a client by itself."""

import asyncio
from collections.abc import AsyncIterator

from master.north.exchange import Exchange
from master.north.reply import KEEP_ALIVE_S, STREAM, event
from master.north.sessions import Outbox


async def pour(exchange: Exchange, outbox: Outbox, first: bytes = b"") -> None:
    """Send what the outbox holds and gets, until it is closed or the client goes."""
    await exchange.send({"type": "http.response.start", "status": 200, "headers": STREAM})
    await exchange.send({"type": "http.response.body", "body": first, "more_body": True})
    gone = asyncio.create_task(exchange.gone())
    try:
        async for chunk in _chunks(outbox, gone):
            await exchange.send({"type": "http.response.body", "body": chunk, "more_body": True})
    finally:
        gone.cancel()
    await exchange.send({"type": "http.response.body", "body": b"", "more_body": False})


async def _chunks(outbox: Outbox, gone: asyncio.Task[None]) -> AsyncIterator[bytes]:
    waiting = asyncio.create_task(outbox.next())
    try:
        while True:
            done, _ = await asyncio.wait(
                {waiting, gone}, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED
            )
            if gone in done:
                return
            if not done:
                yield b": keep-alive\r\n\r\n"
                continue
            message = waiting.result()
            if message is None:
                return
            yield event(message)
            waiting = asyncio.create_task(outbox.next())
    finally:
        waiting.cancel()
