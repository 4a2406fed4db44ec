"""One client of the echo in a handshake revision, over whatever transport. No I/O."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from flotilla.meta import members
from wire import echo
from wire.book import Book

VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
LIST_CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}

Json = Mapping[str, Any]
Tell = Callable[[Json], Awaitable[None]]


class Session:
    """Answers requests; progress and questions of a call go to the `tell` given with it."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._running: dict[Any, asyncio.Task[dict[str, Any]]] = {}
        self._asked: dict[Any, asyncio.Future[Json]] = {}
        self._ids = itertools.count(1)

    async def answer(self, message: Json, tell: Tell) -> Json:
        """The response to a request."""
        method, request_id = message["method"], message["id"]
        self._book.count(f"request {method}")
        params = members(message.get("params"))
        if method == "tools/call":
            return await self._called(request_id, params, tell)
        if method == "initialize":
            return _response(request_id, _hello(params))
        if method == "tools/list":
            added = [echo.ADDED] if self._book.has_added_tool else []
            return _response(request_id, {"tools": [*echo.TOOLS, *added]})
        if method == "ping":
            return _response(request_id, {})
        return _error(request_id, -32601, f"there is no method {method!r} here")

    def note(self, message: Json) -> None:
        """Take a notification, or the response to a question."""
        if message.get("method") == "notifications/cancelled":
            task = self._running.get(members(message.get("params")).get("requestId"))
            if task is not None:
                task.cancel()
        elif "method" not in message:
            asked = self._asked.pop(message.get("id"), None)
            if asked is not None and not asked.done():
                asked.set_result(message.get("result") or {"action": "cancel"})

    async def ask(self, params: Json, tell: Tell) -> Json:
        """Send an elicitation and wait for the reply."""
        number = f"question-{next(self._ids)}"
        self._asked[number] = asyncio.get_running_loop().create_future()
        method = "elicitation/create"
        await tell({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return await self._asked[number]

    async def _called(self, request_id: Any, params: Json, tell: Tell) -> Json:
        marks = members(params.get("_meta"))
        if "traceparent" in marks:
            self._book.count("trace in _meta")
        talk = _Talk(self, marks.get("progressToken"), tell)
        arguments = members(params.get("arguments"))
        # A task for each, since each may be cancelled by name.
        work = asyncio.create_task(echo.call(params["name"], arguments, talk, self._book))
        self._running[request_id] = work
        try:
            await asyncio.wait({work})
        finally:
            self._running.pop(request_id, None)
            if not work.done():
                work.cancel()
        if work.cancelled():
            return _error(request_id, -32800, "the request was cancelled")
        failure = work.exception()
        if isinstance(failure, (echo.NoSuchTool, KeyError)):
            return _error(request_id, -32602, f"cannot call {params['name']!r}: {failure}")
        return _response(request_id, work.result())


class _Talk:
    def __init__(self, session: Session, token: Any, tell: Tell) -> None:
        self._session = session
        self._token = token
        self._tell = tell

    async def progress(self, done: int, total: int) -> None:
        if self._token is not None:
            params = {"progressToken": self._token, "progress": done, "total": total}
            message = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
            await self._tell(message)

    async def elicit(self, params: Json) -> Json:
        return await self._session.ask(params, self._tell)


def _hello(params: Json) -> Json:
    asked = params.get("protocolVersion")
    return {
        "protocolVersion": asked if asked in VERSIONS else VERSIONS[0],
        "capabilities": {"tools": {"listChanged": True}},
        "serverInfo": {"name": "echo", "version": "1"},
    }


def _response(request_id: Any, result: Json) -> Json:
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def _error(request_id: Any, code: int, message: str) -> Json:
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}
