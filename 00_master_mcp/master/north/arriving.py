"""Large requests while they arrive: what has come of them is held before any stage can see it."""

from collections.abc import Awaitable

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flotilla import RateLimited, correlation
from flotilla.serving.gates import MAX_BODY_BYTES
from flotilla.serving.headers import headers_of
from master.load import Load
from master.meters import Meters

SMALL_BYTES = 64 * 1024
"""What is no larger goes on uncounted: it is here whole before it could be refused."""
_SERVICE = "unknown"
"""Whose a request is that nobody has read yet."""


def arriving(app: ASGIApp, load: Load, meters: Meters) -> ASGIApp:
    """Count the bytes of large bodies while they come, and refuse what is too much to hold by 503.

    Counted is what has come, not what was announced: who sends slowly takes nobody's place.
    """

    def gate(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or not _is_large(scope):
            return app(scope, receive, send)
        return counted(scope, receive, send)

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        body, held, last = bytearray(), 0, None
        try:
            while len(body) <= MAX_BODY_BYTES:
                message = await receive()
                if message["type"] != "http.request":
                    last = message
                    break
                part: bytes = message.get("body", b"")
                if load.held_bytes + len(part) > load.most_bytes:
                    meters.turned_away(_SERVICE, "overload")
                    await _refusal(load, scope)(scope, receive, send)
                    return
                body += part
                held += len(part)
                load.held_bytes += len(part)
                if not message.get("more_body", False):
                    break
            else:
                # Whoever reads it sees that it is too large, as of any other.
                last = {"type": "http.request", "body": b"", "more_body": True}
        finally:
            # From here on the stage that sheds counts what was read of it.
            load.held_bytes -= held
        await app(scope, _again(body, last, receive), send)

    return gate


def _is_large(scope: Scope) -> bool:
    headers = headers_of(scope)
    length = headers.get("content-length")
    if length is None:
        return "transfer-encoding" in headers
    # A length that is none, or of a thousand digits, is for whoever reads it to refuse.
    return (
        len(length) > len(str(SMALL_BYTES)) or not length.isdecimal() or int(length) > SMALL_BYTES
    )


def _again(body: bytearray, last: Message | None, receive: Receive) -> Receive:
    """Yields what was read, then what comes."""
    messages: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]
    if last is not None:
        messages[0]["more_body"] = True
        messages.append(last)
    messages.reverse()
    body.clear()

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


def _refusal(load: Load, scope: Scope) -> JSONResponse:
    retry_after_ms = load.turn_away("bytes")
    error = RateLimited(
        "the hub holds as much of requests as it can",
        retry_after_ms=retry_after_ms,
        hint="Send it again after retryAfterMs; small requests are taken meanwhile.",
    )
    body = {"error": error.as_json(scope.get(correlation.SCOPE, ""))}
    return JSONResponse(body, 503, {"retry-after": str(-(-retry_after_ms // 1000))})
