"""A spoke whose tools count their runs, take the time that they are told, and fail on cue.

What is asked at `/trial` stands outside the spoke: it sets the cue and tells the counts.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import orjson
from pydantic import Field
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from flotilla import (
    Context,
    FlotillaError,
    Model,
    Spoke,
    Unavailable,
    UpstreamError,
    destroys,
    reads,
    writes,
)
from flotilla.errors import InvalidArgument
from flotilla.serving.service import Service

NAME = "trial"
NAMESPACE = "test.trial"
PATH = "/trial"

How = Literal["well", "error", "busy", "hang", "late"]
"""What becomes of a request: as usual, HTTP 500, HTTP 503, no answer ever, or an answer that comes
`late_s` after the tool has run."""

Key = Annotated[str, Field(max_length=200)]
TakesS = Annotated[float, Field(ge=0, le=3600)]


class Ran(Model):
    """One run of a tool."""

    key: str
    run: int
    """Which run of the tool under this key it was; the first one is 1."""
    remaining_ms: float
    """What was left of the call's time when it began."""
    text: str = ""


@dataclass
class Book:
    """What has happened, as `/trial` tells it."""

    how: How = "well"
    what: Literal["calls", "all"] = "calls"
    late_s: float = 0.0
    left: int | None = None
    """How many requests the cue is still for; None: all."""
    runs: Counter[str] = field(default_factory=Counter[str])
    """By tool and key, as `add:x`."""
    requests: int = 0
    """Requests for a tool call that came in, whatever became of them."""
    running: int = 0
    most_running: int = 0
    cancelled: int = 0

    def told(self) -> dict[str, Any]:
        return {
            "runs": dict(self.runs),
            "requests": self.requests,
            "running": self.running,
            "mostRunning": self.most_running,
            "cancelled": self.cancelled,
        }


class Trial:
    """The tools, one for each of the annotations that retries are decided by."""

    def __init__(self, book: Book) -> None:
        self._book = book

    async def look(self, key: Key, context: Context, takes_s: TakesS = 0) -> Ran:
        """Change nothing, after so many seconds."""
        return await self._run("look", key, takes_s, context)

    async def put(self, key: Key, context: Context, takes_s: TakesS = 0) -> Ran:
        """Write what may be written twice."""
        return await self._run("put", key, takes_s, context)

    async def add(self, key: Key, context: Context, takes_s: TakesS = 0) -> Ran:
        """Write what must not be written twice."""
        return await self._run("add", key, takes_s, context)

    async def drop(self, key: Key, context: Context, takes_s: TakesS = 0) -> Ran:
        """Destroy something, without anybody's yes."""
        return await self._run("drop", key, takes_s, context)

    async def fail(
        self, key: Key, code: Literal["unavailable", "upstream_error", "invalid_argument"]
    ) -> Ran:
        """Fail as a tool does that works: the call is answered, with an error of this code."""
        self._book.runs[f"fail:{key}"] += 1
        raise _ERRORS[code]("this was asked for")

    async def large(self, key: Key, context: Context, size_kb: int = 400) -> Ran:
        """Answer with a text of so many KiB."""
        ran = await self._run("large", key, 0, context)
        return ran.model_copy(update={"text": "x" * (size_kb * 1024)})

    async def _run(self, tool: str, key: str, takes_s: float, context: Context) -> Ran:
        book, remaining_s = self._book, context.deadline.remaining_s()
        book.runs[f"{tool}:{key}"] += 1
        run = book.runs[f"{tool}:{key}"]
        book.running += 1
        book.most_running = max(book.most_running, book.running)
        try:
            await asyncio.sleep(takes_s)
        except asyncio.CancelledError:
            book.cancelled += 1
            raise
        finally:
            book.running -= 1
        return Ran(key=key, run=run, remaining_ms=remaining_s * 1e3)


_ERRORS: dict[str, Callable[[str], FlotillaError]] = {
    "unavailable": Unavailable,
    "upstream_error": UpstreamError,
    "invalid_argument": InvalidArgument,
}


def manifest(book: Book) -> Spoke:
    trial = Trial(book)
    return Spoke(
        name=NAME,
        version="1",
        instructions="Is tried.",
        namespaces=(NAMESPACE,),
        tools=(
            reads(f"{NAMESPACE}.look", trial.look),
            reads(f"{NAMESPACE}.lookLong", trial.look, long=True),
            writes(f"{NAMESPACE}.put", trial.put, idempotent=True),
            writes(f"{NAMESPACE}.add", trial.add),
            destroys(f"{NAMESPACE}.drop", trial.drop, approval=False),
            reads(f"{NAMESPACE}.fail", trial.fail),
            reads(f"{NAMESPACE}.large", trial.large),
        ),
    )


def on_cue(service: Service, book: Book) -> Service:
    """The service, with what breaks it in front."""
    return replace(service, app=_cued(service.app, book))


def _cued(app: ASGIApp, book: Book) -> ASGIApp:
    async def gate(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
        elif scope["path"] == PATH:
            if scope["method"] == "POST":
                _set(book, orjson.loads((await receive())["body"]))
            await JSONResponse(book.told())(scope, receive, send)
        else:
            await _served(scope, receive, send)

    async def _served(scope: Scope, receive: Receive, send: Send) -> None:
        is_call = (b"mcp-method", b"tools/call") in scope["headers"]
        book.requests += is_call
        how = book.how if is_call or book.what == "all" else "well"
        if how != "well" and book.left is not None:
            if book.left == 0:
                how = "well"
            else:
                book.left -= 1
        if how in ("error", "busy"):
            status = 500 if how == "error" else 503
            await JSONResponse({"error": "on cue"}, status)(scope, receive, send)
        elif how == "hang":
            while (await receive())["type"] != "http.disconnect":
                pass
        elif how == "late":
            await app(scope, receive, _late(send, book.late_s))
        else:
            await app(scope, receive, send)

    return gate


def _late(send: Send, late_s: float) -> Send:
    async def later(message: Any) -> None:
        if message["type"] == "http.response.start":
            await asyncio.sleep(late_s)
        await send(message)

    return later


def _set(book: Book, told: dict[str, Any]) -> None:
    """`how`, `what`, `lateS` and `left` are the cue, `forget` begins the counts anew."""
    if told.get("forget"):
        book.runs.clear()
        book.requests = book.most_running = book.cancelled = 0
    book.how = told.get("how", "well")
    book.what = told.get("what", "calls")
    book.late_s = told.get("lateS", 0.0)
    book.left = told.get("left")
