"""A server of one era only: how it refuses the other, on HTTP and on a pair of streams."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any, cast

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage
from mcp_types import (
    INVALID_REQUEST,
    PROTOCOL_VERSION_META_KEY,
    UNSUPPORTED_PROTOCOL_VERSION,
    ErrorData,
    JSONRPCError,
    JSONRPCRequest,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

VERSION_HEADER = "mcp-protocol-version"


class Era(StrEnum):
    BOTH = "both"
    HANDSHAKE = "handshake"
    MODERN = "modern"


class HandshakeOnly:
    """Answers as a server does that was written before 2026-07-28."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        version = Request(scope).headers.get(VERSION_HEADER)
        if version is None or version in HANDSHAKE_PROTOCOL_VERSIONS:
            await self._app(scope, receive, send)
            return
        supported = ", ".join(HANDSHAKE_PROTOCOL_VERSIONS)
        message = f"Bad Request: Unsupported protocol version: {version} (supported: {supported})"
        # Such servers refuse by the header, before they have read an ID from the body.
        error = {"code": INVALID_REQUEST, "message": message}
        refusal = JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, 400)
        await refusal(scope, receive, send)


class ModernOnly:
    """Takes a modern POST and nothing else: no handshake, no session, no GET stream."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        version = request.headers.get(VERSION_HEADER)
        if request.method != "POST":
            await Response(status_code=405, headers={"Allow": "POST"})(scope, receive, send)
            return
        if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            await self._app(scope, receive, send)
            return
        try:
            body: Any = json.loads(await request.body())
        except ValueError:
            body = None
        message = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
        await JSONResponse(_unsupported(message, version), 400)(scope, receive, send)


def _unsupported(message: dict[str, Any], version: str | None) -> dict[str, Any]:
    params: Any = message.get("params")
    asked = (
        cast("dict[str, Any]", params).get("protocolVersion") if isinstance(params, dict) else ""
    )
    data = {"supported": list(MODERN_PROTOCOL_VERSIONS), "requested": asked or version or ""}
    error = {
        "code": UNSUPPORTED_PROTOCOL_VERSION,
        "message": "Unsupported protocol version",
        "data": data,
    }
    return {"jsonrpc": "2.0", "id": message.get("id"), "error": error}


@asynccontextmanager
async def modern_only_stream(
    source: ReadStream[SessionMessage | Exception], sink: WriteStream[SessionMessage]
) -> AsyncGenerator[MemoryObjectReceiveStream[SessionMessage | Exception]]:
    """What comes from `source` but for requests of the handshake era, which are refused here.

    Without this, one refused `initialize` would bind the connection to the era that it refuses.
    """
    passed: tuple[
        MemoryObjectSendStream[SessionMessage | Exception],
        MemoryObjectReceiveStream[SessionMessage | Exception],
    ] = anyio.create_memory_object_stream()
    onward, kept = passed

    async def sort() -> None:
        async with onward:
            async for item in source:
                request = item.message if isinstance(item, SessionMessage) else None
                if not isinstance(request, JSONRPCRequest) or _is_modern(request):
                    await onward.send(item)
                    continue
                error = _unsupported(request.model_dump(by_alias=True), None)["error"]
                refusal = JSONRPCError(
                    jsonrpc="2.0", id=request.id, error=ErrorData.model_validate(error)
                )
                await sink.send(SessionMessage(refusal))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sort)
        yield kept
        tasks.cancel_scope.cancel()


def _is_modern(request: JSONRPCRequest) -> bool:
    meta = (request.params or {}).get("_meta")
    return request.method != "initialize" and PROTOCOL_VERSION_META_KEY in (meta or {})
