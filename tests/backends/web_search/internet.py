"""A piece of internet on loopback: hosts by name over TLS, reached through an HTTP proxy.

    net = Internet(folder)
    net.hosts["html.duckduckgo.com"] = handler        # any aiohttp handler
    async with net.running():
        net.proxy                   # http://127.0.0.1:<port>, which knows no host but these
        net.trusted                 # PEM file of the authority that vouches for all of them
        net.asked                   # what was asked: host, method, path, query, form, cookies

A client is given nothing but a proxy and a PEM file, as behind a company's proxy: all of its own
code runs, its TLS and its browser's manners included. It serves in the loop of whoever starts it:
a client that blocks must do so on a thread.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from flotilla.certificates import make_certificates
from flotilla.tls import CERTIFICATE, KEY, TRUSTED
from tests.listening import stop_listening

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Asked:
    host: str
    method: str
    path: str
    query: Mapping[str, str]
    form: Mapping[str, str]
    cookies: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass
class Internet:
    """Hosts by name, each with one handler; `*.wikipedia.org` stands for all of its kind."""

    folder: Path
    hosts: dict[str, Handler] = field(default_factory=dict[str, Handler])
    asked: list[Asked] = field(default_factory=list[Asked])
    tunnels: list[str] = field(default_factory=list[str])
    """What the proxy was asked to lead to, refused or not: `host:port`."""
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    proxy: str = ""
    _tls_port: int = 0
    _led: set[asyncio.Task[None]] = field(default_factory=set["asyncio.Task[None]"])

    @property
    def trusted(self) -> Path:
        return self.folder / "client" / TRUSTED

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Internet"]:
        make_certificates(self.folder, "client", ["server"], names=sorted(self.hosts))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own = self.folder / "server"
        context.load_cert_chain(own / CERTIFICATE, own / KEY)
        application = web.Application(client_max_size=1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self._tls_port = runner.addresses[0][1]
        server = await asyncio.start_server(self._tunnel, "127.0.0.1", 0)
        self.proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            self.let_go.set()
            await stop_listening(server)
            for task in self._led:
                task.cancel()
            await asyncio.gather(*self._led, return_exceptions=True)
            await runner.cleanup()

    async def hang(self, _request: web.Request) -> web.StreamResponse:
        """A handler that answers only when all ends."""
        await self.let_go.wait()
        return web.Response(status=503)

    def _handler(self, host: str) -> Handler | None:
        return self.hosts.get(host) or self.hosts.get(f"*.{host.partition('.')[2]}")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        host = request.host.partition(":")[0]
        form = await request.post()
        self.asked.append(
            Asked(
                host,
                request.method,
                request.path,
                dict(request.query),
                {key: str(value) for key, value in form.items()},
                dict(request.cookies),
                dict(request.headers),
            )
        )
        handler = self._handler(host)
        return web.Response(status=421) if handler is None else await handler(request)

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._led.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._lead(reader, writer)
        except asyncio.CancelledError:
            # All ends, and whoever hangs on may not take what is still on its way to them.
            writer.transport.abort()
        await _closed(writer)
        self._led.discard(task)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        self.tunnels.append(target)
        host, _, port = target.rpartition(":")
        if method != "CONNECT" or port != "443" or self._handler(host) is None:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._tls_port)
        try:
            writer.write(b"HTTP/1.1 200 Connection Established\r\n\r\n")
            await asyncio.gather(_relay(reader, far_writer), _relay(far_reader, writer))
        except asyncio.CancelledError:
            far_writer.transport.abort()
            raise
        finally:
            await _closed(far_writer)


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while part := await reader.read(64 * 1024):
            writer.write(part)
            await writer.drain()
    writer.close()


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, asyncio.CancelledError):
        await writer.wait_closed()
