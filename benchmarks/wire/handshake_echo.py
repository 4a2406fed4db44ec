"""The echo in the handshake revisions over Streamable HTTP, in plain ASGI; it knows no other era.

usage: python -m wire.handshake_echo PORT BOOK_FOLDER
"""

import asyncio
import sys
import uuid
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from starlette.types import Receive, Scope, Send

from wire.asgi import Reply, body_of, gone
from wire.book import Book
from wire.handshake_session import LIST_CHANGED, VERSIONS, Session

KEEP_ALIVE_S = 15.0


class HandshakeEcho:
    """The ASGI application."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._sessions: dict[str, Session] = {}
        self._streams: set[Reply] = set()
        self._telling: set[asyncio.Task[None]] = set()

    def tools_changed(self) -> None:
        for stream in self._streams:
            task = asyncio.create_task(stream.tell(LIST_CHANGED))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["path"] != "/mcp":
            await Reply(send).end(None, 404)
            return
        session_id = headers.get("mcp-session-id", "")
        session = self._sessions.get(session_id)
        if headers.get("mcp-protocol-version", VERSIONS[0]) not in VERSIONS:
            await _refuse(send, 400, "this server knows the handshake revisions alone")
        elif scope["method"] == "POST":
            await self._post(session, headers, receive, send)
        elif session is None:
            await _refuse(send, 404, "there is no such session")
        elif scope["method"] == "GET":
            await self._stream(receive, send)
        elif scope["method"] == "DELETE":
            del self._sessions[session_id]
            await Reply(send).end(None, 200)
        else:
            await Reply(send).end(None, 405)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._book.open(self.tools_changed)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _post(
        self, session: Session | None, headers: dict[str, str], receive: Receive, send: Send
    ) -> None:
        message: dict[str, Any] = orjson.loads(await body_of(receive))
        if message.get("method") == "initialize":
            session_id, session = uuid.uuid4().hex, Session(self._book)
            self._sessions[session_id] = session
            reply = Reply(send, [(b"mcp-session-id", session_id.encode())])
        elif session is None:
            status = 404 if "mcp-session-id" in headers else 400
            await _refuse(send, status, "a known Mcp-Session-Id is needed; initialize first")
            return
        else:
            reply = Reply(send)
        if "method" not in message or "id" not in message:
            session.note(message)
            await reply.end(None, 202)
            return
        if message["method"] == "tools/call":
            for name in ("traceparent", "x-correlation-id"):
                if name in headers:
                    self._book.count(f"{name} in the headers")
        await reply.end(await session.answer(message, reply.tell))

    async def _stream(self, receive: Receive, send: Send) -> None:
        stream = Reply(send)
        await stream.comment()
        self._streams.add(stream)
        leaving = asyncio.create_task(gone(receive))
        try:
            while not (await asyncio.wait({leaving}, timeout=KEEP_ALIVE_S))[0]:
                await stream.comment()
        finally:
            self._streams.discard(stream)
            leaving.cancel()


async def _refuse(send: Send, status: int, why: str) -> None:
    error = {"code": -32600, "message": why}
    await Reply(send).end({"jsonrpc": "2.0", "id": None, "error": error}, status)


def main(port: str, folder: str) -> None:
    uvicorn.run(
        HandshakeEcho(Book(Path(folder))),
        port=int(port),
        log_level="error",
        loop="uvloop",
        http="httptools",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
