"""Streams that outlive one call: what the hub tells a client by itself."""

import asyncio
from collections.abc import AsyncIterator

from master.north.exchange import Exchange
from master.north.reply import KEEP_ALIVE_S, STREAM, event
from master.north.sessions import Outbox


async def pour(exchange: Exchange, outbox: Outbox, first: bytes = b"") -> None:
    """Send what the outbox holds and gets, until it is closed or the client goes."""
    await pour_events(exchange, _of(outbox), first)


async def pour_events(exchange: Exchange, events: AsyncIterator[bytes], first: bytes = b"") -> None:
    """Send events as they come, until they end or the client goes; meanwhile keep-alives."""
    await exchange.send({"type": "http.response.start", "status": 200, "headers": STREAM})
    await exchange.send({"type": "http.response.body", "body": first, "more_body": True})
    gone = asyncio.create_task(exchange.gone())
    try:
        async for chunk in _chunks(events, gone):
            await exchange.send({"type": "http.response.body", "body": chunk, "more_body": True})
    finally:
        gone.cancel()
    await exchange.send({"type": "http.response.body", "body": b"", "more_body": False})


async def _of(outbox: Outbox) -> AsyncIterator[bytes]:
    while (message := await outbox.next()) is not None:
        yield event(message)


async def _chunks(events: AsyncIterator[bytes], gone: asyncio.Task[None]) -> AsyncIterator[bytes]:
    waiting = asyncio.ensure_future(anext(events, None))
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
            chunk = waiting.result()
            if chunk is None:
                return
            yield chunk
            waiting = asyncio.ensure_future(anext(events, None))
    finally:
        if not waiting.done():
            waiting.cancel()
            await asyncio.wait({waiting})
