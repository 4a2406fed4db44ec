"""Starts the browser once and ends it: `python -m web_browsing.browser.trial_process`.

Takes an `Equipment` as a line of JSON on standard input, and answers with the members of `Trial` on
standard output. The end of its input, which comes too when the service was killed, ends it.
"""

import asyncio
import json
import os
import sys
from typing import Any, BinaryIO

import structlog
from pydantic import TypeAdapter

from flotilla import FlotillaError
from web_browsing.browser.engine import Engine, Equipment


async def main(orders: BinaryIO) -> dict[str, Any]:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), orders
    )
    try:
        equipment = TypeAdapter(Equipment).validate_json(await reader.readline())
        trying = asyncio.create_task(_tried(equipment))
        given_up = asyncio.create_task(reader.read())
        await asyncio.wait({trying, given_up}, return_when=asyncio.FIRST_COMPLETED)
        for each in (trying, given_up):
            each.cancel()
        await asyncio.wait({trying, given_up})
        return {} if trying.cancelled() else trying.result()
    finally:
        transport.close()


async def _tried(equipment: Equipment) -> dict[str, Any]:
    engine = Engine(equipment, lambda _: None)
    try:
        running = await engine.browser()
        return {"version": running.browser.version, "apart": running.apart}
    except FlotillaError as error:
        return {"problem": error.message, "hint": error.hint}
    finally:
        await engine.stop()


if __name__ == "__main__":
    # The pipe is kept for the answer: what is logged or printed goes the other way.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    print(json.dumps(asyncio.run(main(sys.stdin.buffer))), file=answers, flush=True)
