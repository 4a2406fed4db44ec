"""Any aiohttp application over TLS on loopback, with an authority of its own and faults on demand.

    server = TlsServer(application, folder)
    async with server.running():
        server.url                      # https://127.0.0.1:<port>
        server.trusted                  # PEM file of the authority that vouches for it
        server.faults.hang("/virtualMachines")      # no answer until it is let go, or the end
        server.faults.throttle("/virtualMachines", retry_after="1", times=1)     # 429
        server.faults.fail("/disks", 503, retry_after=None, times=2)
        server.faults.drop("/virtualMachines")      # half of the body, then the connection is cut
        server.faults.garble("/virtualMachines")    # 200, JSON, broken in the middle
        server.faults.clear()
        server.asked                    # what it was asked: method, path with query, headers, body

It serves in the loop of whoever starts it: a client that blocks must do so on a thread.
"""

import asyncio
import json
import re
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from aiohttp import web

from flotilla.certificates import make_certificates
from flotilla.tls import CERTIFICATE, KEY, TRUSTED

Kind = Literal["hang", "status", "drop", "garble"]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Fault:
    """What happens to requests whose `METHOD /path?query` has `pattern` in it."""

    kind: Kind
    pattern: re.Pattern[str]
    times: int | None
    status: int = 429
    retry_after: str | None = None


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Faults:
    """The faults that wait for a request; each holds for `times` requests, None for all."""

    waiting: list[Fault] = field(default_factory=list[Fault])
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    body_of_status: Callable[[int], bytes] = field(
        default=lambda status: json.dumps({"error": {"code": str(status)}}).encode()
    )
    """How the provider says an error; the application's author knows."""

    def hang(self, pattern: str, times: int | None = None) -> None:
        self.waiting.append(Fault("hang", re.compile(pattern), times))

    def throttle(self, pattern: str, retry_after: str = "1", times: int | None = 1) -> None:
        self.waiting.append(Fault("status", re.compile(pattern), times, 429, retry_after))

    def fail(
        self, pattern: str, status: int, retry_after: str | None = None, times: int | None = 1
    ) -> None:
        self.waiting.append(Fault("status", re.compile(pattern), times, status, retry_after))

    def drop(self, pattern: str, times: int | None = 1) -> None:
        self.waiting.append(Fault("drop", re.compile(pattern), times))

    def garble(self, pattern: str, times: int | None = 1) -> None:
        self.waiting.append(Fault("garble", re.compile(pattern), times))

    def clear(self) -> None:
        """No more faults; what hangs is answered."""
        self.waiting.clear()
        self.let_go.set()
        self.let_go = asyncio.Event()

    def taken(self, request: web.Request) -> Fault | None:
        text = f"{request.method} {request.path_qs}"
        for fault in self.waiting:
            if fault.pattern.search(text):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.waiting.remove(fault)
                return fault
        return None


class TlsServer:
    """`application` as https on a free port of 127.0.0.1; certificates are made in `folder`."""

    def __init__(self, application: web.Application, folder: Path) -> None:
        self.faults = Faults()
        self.asked: list[Asked] = []
        self.url = ""
        make_certificates(folder, "client", ["server"], names=["127.0.0.1", "localhost"])
        self.trusted = folder / "client" / TRUSTED
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own = folder / "server"
        self._context.load_cert_chain(own / CERTIFICATE, own / KEY)
        self._application = application
        application.middlewares.append(self._between)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["TlsServer"]:
        runner = web.AppRunner(self._application, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._context)
        await site.start()
        port: int = runner.addresses[0][1]
        self.url = f"https://127.0.0.1:{port}"
        try:
            yield self
        finally:
            self.faults.clear()
            await runner.cleanup()

    @web.middleware
    async def _between(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(Asked(request.method, request.path_qs, dict(request.headers), body))
        fault = self.faults.taken(request)
        if fault is None:
            return await handler(request)
        if fault.kind == "hang":
            await self.faults.let_go.wait()
            return await handler(request)
        if fault.kind == "status":
            after = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
            told = self.faults.body_of_status(fault.status)
            return web.Response(
                status=fault.status, body=told, headers=after, content_type="application/json"
            )
        whole = await handler(request)
        told = whole.body if isinstance(whole, web.Response) else None
        half = told[: max(1, len(told) // 2)] if isinstance(told, bytes) else b'{"items": ['
        if fault.kind == "garble":
            return web.Response(status=200, body=half, content_type="application/json")
        cut = web.StreamResponse(headers={"Content-Type": "application/json"})
        cut.content_length = len(half) * 2 + 2
        await cut.prepare(request)
        await cut.write(half)
        if request.transport is not None:
            request.transport.abort()
        return cut
