"""A bare byte gateway: it authenticates nothing, records nothing and only carries bytes.

usage: python -m wire.gateway PORT UPSTREAM_URL

What any gateway must cost at least, with the same server and client libraries as the hub.
"""

import sys
from collections.abc import AsyncIterator

import aiohttp
import uvicorn
from starlette.types import Receive, Scope, Send

_HOP = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection"})
_BACK = ("content-type", "content-length", "mcp-session-id")


class Gateway:
    """The ASGI application, over one pool of connections."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        first = await receive()
        whole = not first.get("more_body", False)
        body = first["body"] if whole else _stream(first["body"], receive)
        headers = [(k.decode(), v.decode()) for k, v in scope["headers"] if k not in _HOP]
        async with self._pool().request(
            scope["method"], self._url, data=body, headers=headers
        ) as upstream:
            back = [
                (name.encode(), upstream.headers[name].encode())
                for name in _BACK
                if name in upstream.headers
            ]
            start = {"type": "http.response.start", "status": upstream.status}
            await send({**start, "headers": back})
            async for chunk in upstream.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
            )
        return self._session


async def _stream(first: bytes, receive: Receive) -> AsyncIterator[bytes]:
    yield first
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        yield message.get("body", b"")


if __name__ == "__main__":
    uvicorn.run(
        Gateway(sys.argv[2]),
        port=int(sys.argv[1]),
        log_level="error",
        loop="uvloop",
        http="httptools",
        lifespan="off",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
