"""The echo in the handshake revisions over standard input and output.

usage: python -m wire.stdio_echo BOOK_FOLDER
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import orjson
import uvloop

from wire.book import Book
from wire.handshake_session import LIST_CHANGED, Json, Session

MAX_LINE_BYTES = 64 * 2**20


async def serve(folder: str) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    book = Book(Path(folder))
    session = Session(book)
    at_work: set[asyncio.Task[None]] = set()

    def write(message: Json) -> None:
        sys.stdout.buffer.write(orjson.dumps(message) + b"\n")
        sys.stdout.buffer.flush()

    async def tell(message: Json) -> None:
        write(message)

    async def answer(message: Json) -> None:
        write(await session.answer(message, tell))

    book.open(lambda: write(LIST_CHANGED))
    while line := await reader.readline():
        message: dict[str, Any] = orjson.loads(line)
        if "method" in message and "id" in message:
            task = asyncio.create_task(answer(message))
            at_work.add(task)
            task.add_done_callback(at_work.discard)
        else:
            session.note(message)


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
