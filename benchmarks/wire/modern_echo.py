"""A fast echo of the 2026-07-28 revision, in plain ASGI, so that the gateway is what is measured.

usage: python -m wire.modern_echo PORT PREFIX [PUBLIC_KEY AUDIENCE]

Its tools are called PREFIX and the tool's name. With a key it verifies the hub's signed token as a
spoke does. It serves server/discover, tools/list, tools/call and subscriptions/listen, checks the
headers against the body, and cancels a call whose client goes.
"""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from starlette.types import Receive, Scope, Send

from flotilla.identity import BadToken, Verifier
from flotilla.meta import members
from wire import echo
from wire.asgi import Reply, body_of, gone
from wire.book import Book

VERSION = "2026-07-28"
KEEP_ALIVE_S = 15.0
_RESERVED = "io.modelcontextprotocol/"
_MARKS = {f"{_RESERVED}serverInfo": {"name": "echo", "version": "1"}}
_CACHE = {"ttlMs": 60_000, "cacheScope": "private"}


class Refused(Exception):
    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class ModernTalk:
    """Progress goes on the call's own stream; this era's servers send no requests."""

    def __init__(self, token: str | int | None, reply: Reply) -> None:
        self._token = token
        self._reply = reply

    async def progress(self, done: int, total: int) -> None:
        if self._token is not None:
            params = {"progressToken": self._token, "progress": done, "total": total}
            await self._reply.tell(
                {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
            )

    async def elicit(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        del params
        raise echo.NoSuchTool("this era asks by input_required, which the echo does not offer")


class ModernEcho:
    """The ASGI application."""

    def __init__(self, prefix: str, verifier: Verifier | None) -> None:
        self._prefix = prefix
        self._verifier = verifier
        self._book = Book(None)
        # An offered tool must work: "ask" needs what this server does not do.
        self._tools = [
            {**tool, "name": f"{prefix}{tool['name']}"}
            for tool in echo.TOOLS
            if tool["name"] != "ask"
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        reply = Reply(send)
        if scope["path"] in ("/ready", "/health"):
            await reply.end({"status": "healthy", "service": "echo", "version": "1"})
            return
        request_id: Any = None
        try:
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            self._admit(headers)
            if scope["method"] != "POST":
                raise Refused(405, -32600, "this revision knows POST alone")
            message = orjson.loads(await body_of(receive))
            request_id = message.get("id")
            _check(message, headers)
            await self._answer(message, receive, reply)
        except Refused as error:
            body = {"code": error.code, "message": str(error)}
            await reply.end({"jsonrpc": "2.0", "id": request_id, "error": body}, error.status)

    def _admit(self, headers: Mapping[str, str]) -> None:
        if self._verifier is None:
            return
        try:
            self._verifier.verify(headers.get("authorization", "").removeprefix("Bearer "))
        except BadToken as error:
            raise Refused(401, -32600, str(error)) from None

    async def _answer(self, message: Mapping[str, Any], receive: Receive, reply: Reply) -> None:
        method, request_id = message["method"], message.get("id")
        params: Mapping[str, Any] = message.get("params") or {}
        if method == "tools/call":
            result = await self._watched(params, receive, reply)
            if result is None:
                return
        elif method == "tools/list":
            result = {"tools": self._tools, **_CACHE}
        elif method == "server/discover":
            capabilities = {"tools": {"listChanged": True}}
            result = {"supportedVersions": [VERSION], "capabilities": capabilities, **_CACHE}
        elif method == "subscriptions/listen":
            await _listen(request_id, receive, reply)
            return
        else:
            raise Refused(404, -32601, f"there is no method {method!r} here")
        result = {"resultType": "complete", **result, "_meta": _MARKS}
        await reply.end({"jsonrpc": "2.0", "id": request_id, "result": result})

    async def _watched(
        self, params: Mapping[str, Any], receive: Receive, reply: Reply
    ) -> dict[str, Any] | None:
        """The result of a call, or None when its client has gone, which ends it."""
        if params.get("name") != f"{self._prefix}hang":
            # The other tools never wait, so that there is nothing to cancel.
            return await self._call(params, reply)
        work = asyncio.create_task(self._call(params, reply))
        leaving = asyncio.create_task(gone(receive))
        await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if work.done():
            return work.result()
        work.cancel()
        await asyncio.wait({work})
        return None

    async def _call(self, params: Mapping[str, Any], reply: Reply) -> dict[str, Any]:
        name = str(params.get("name")).removeprefix(self._prefix)
        token = members(params.get("_meta")).get("progressToken")
        arguments = members(params.get("arguments"))
        try:
            return await echo.call(name, arguments, ModernTalk(token, reply), self._book)
        except (echo.NoSuchTool, KeyError) as error:
            raise Refused(400, -32602, f"cannot call {name!r}: {error}") from None


def _check(message: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    """The headers must repeat the body."""
    params = members(message.get("params"))
    pairs = {
        "mcp-method": message.get("method"),
        "mcp-protocol-version": members(params.get("_meta")).get(f"{_RESERVED}protocolVersion"),
    }
    if message.get("method") == "tools/call":
        pairs["mcp-name"] = params.get("name")
    for name, said in pairs.items():
        if headers.get(name) != said:
            raise Refused(400, -32020, f"{name} is {headers.get(name)!r}, the body says {said!r}")


async def _listen(request_id: Any, receive: Receive, reply: Reply) -> None:
    """Acknowledge, and keep the stream until the client goes; the tools never change."""
    marks = {f"{_RESERVED}subscriptionId": request_id}
    params = {"notifications": {"toolsListChanged": True}, "_meta": marks}
    method = "notifications/subscriptions/acknowledged"
    await reply.tell({"jsonrpc": "2.0", "method": method, "params": params})
    leaving = asyncio.create_task(gone(receive))
    while not (await asyncio.wait({leaving}, timeout=KEEP_ALIVE_S))[0]:
        await reply.comment()


def main(port: str, prefix: str, public_key: str | None = None, audience: str = "") -> None:
    verifier = None if public_key is None else Verifier(Path(public_key), audience)
    uvicorn.run(
        ModernEcho(prefix, verifier),
        port=int(port),
        log_level="error",
        loop="uvloop",
        http="httptools",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
