"""Servers and clients that speak bytes, an authority of the tests' own, and a gate between them."""

import asyncio
import base64
import ipaddress
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.listening import stop_listening
from tests.web_site import Names as Names
from web_browsing.gate.proxy import Proxy
from web_browsing.gate.rules import Rules
from web_browsing.gate.upstream import Times
from web_browsing.gate.visitor import Judge, Visitor

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
WITHIN_S = 5


class Authority:
    """Vouches for test servers, truly or not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        until = datetime.now(UTC) + timedelta(days=1)
        public = self._key.public_key()
        certificate = (
            self._unsigned(self._name, public, until, is_ca=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / "authority.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def context(
        self, *names: str, expired: bool = False, self_signed: bool = False
    ) -> ssl.SSLContext:
        """For a server that has these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        until = datetime.now(UTC) + (timedelta(hours=-1) if expired else timedelta(days=1))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        issuer, by = (subject, key) if self_signed else (self._name, self._key)
        certificate = (
            self._unsigned(subject, key.public_key(), until, is_ca=False, issuer=issuer)
            .add_extension(x509.SubjectAlternativeName(list(map(_alternative, names))), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), False
            )
            .sign(by, hashes.SHA256())
        )
        file = self.folder / "server.pem"
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _unsigned(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        until: datetime,
        *,
        is_ca: bool,
        issuer: x509.Name | None = None,
    ) -> x509.CertificateBuilder:
        signing = x509.KeyUsage(True, False, False, False, False, is_ca, is_ca, False, False)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - timedelta(days=2))
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
            .add_extension(signing, critical=True)
        )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@dataclass
class Connection:
    """One that a site was reached by."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def request(self) -> bytes:
        """The next one, with the body that its Content-Length tells of; b"" at the end."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return head + await self.reader.readexactly(int(line.split(b":")[1]))
        return head

    async def gone(self) -> None:
        """Return once the other side has closed it."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass


Serve = Callable[[Connection], Awaitable[None]]


@dataclass
class Site:
    """A server on loopback that answers with bytes."""

    serve: Serve
    port: int = 0
    requests: list[bytes] = field(default_factory=list[bytes])
    connections: list[Connection] = field(default_factory=list[Connection])

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        self.connections.append(connection)
        try:
            await self.serve(connection)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            connection.closed.set()


@dataclass
class Caller:
    """One who uses the gate by hand."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, head: bool = False) -> tuple[int, dict[str, str], bytes]:
        """The next answer: status, headers by lower-case name, body as its framing has it."""
        with anyio.fail_after(WITHIN_S):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(lines[0].split()[1])
            pairs = (line.partition(":") for line in lines[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            if head or status in {101, 204, 304}:
                return status, headers, b""
            if headers.get("transfer-encoding") == "chunked":
                return status, headers, await self._chunks()
            if "content-length" in headers:
                size = int(headers["content-length"])
                return status, headers, await self.reader.readexactly(size)
            return status, headers, await self.reader.read()

    async def ask(self, data: bytes, *, head: bool = False) -> tuple[int, dict[str, str], bytes]:
        await self.send(data)
        return await self.answer(head=head)

    async def end(self) -> bytes:
        """All that still comes, until the connection ends."""
        with anyio.fail_after(WITHIN_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def into(self, authority: str) -> int:
        """CONNECT, and its status."""
        return (await self.ask(connect(authority), head=True))[0]

    async def secure(self, name: str, context: ssl.SSLContext) -> None:
        await self.writer.start_tls(context, server_hostname=name)

    def close(self) -> None:
        self.writer.close()

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readuntil(b"\r\n")
        return body


def connect(authority: str, more: str = "") -> bytes:
    return f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{more}\r\n".encode()


def unverified() -> ssl.SSLContext:
    """A browser that was told to trust the gate's key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


@dataclass
class Entrance:
    """A visitor's socket, and connections to it."""

    visitor: Visitor
    proxy: Proxy
    port: int
    callers: list[Caller] = field(default_factory=list[Caller])

    async def call(self) -> Caller:
        caller = Caller(*await asyncio.open_connection("127.0.0.1", self.port, limit=2**20))
        self.callers.append(caller)
        return caller

    async def call_into(self, authority: str) -> Caller:
        """A tunnel in TLS, as a browser opens it."""
        caller = await self.call()
        assert await caller.into(authority) == 200
        await caller.secure(authority.rpartition(":")[0], unverified())
        return caller

    def reasons(self) -> list[str]:
        return [each.reason for each in self.visitor.refusals]


SITE = "site.test"


class Gated:
    """Opens sites and the gate to them; `site.test` is 127.0.0.1 and let through at their ports."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.names = Names({SITE: [["127.0.0.1"]]})

    @asynccontextmanager
    async def site(
        self,
        serve: Serve,
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> AsyncGenerator[Site]:
        site = Site(serve)
        server = await asyncio.start_server(site.take, host, port, ssl=tls)
        site.port = server.sockets[0].getsockname()[1]
        try:
            yield site
        finally:
            await stop_listening(server)
            for each in site.connections:
                each.writer.transport.abort()
            with anyio.fail_after(WITHIN_S):
                for each in site.connections:
                    await each.closed.wait()

    @asynccontextmanager
    async def gate(
        self,
        *sites: Site,
        judge: Judge | None = None,
        times: Times | None = None,
        names: Names | None = None,
        exempt: Sequence[str] = (),
        ports: Sequence[int] = (80, 443),
        proxy: Proxy | None = None,
        **visitor: Any,
    ) -> AsyncGenerator[Entrance]:
        allowed = [f"{SITE}:{site.port}" for site in sites] + list(exempt)
        proxy = proxy or Proxy(
            Rules.of(ports, allowed),
            ca_file=self.authority.file,
            resolve=names or self.names,
            times=times,
        )
        listening = socket.create_server(("127.0.0.1", 0))
        entrance = Entrance(
            Visitor("tests", judge=judge, **visitor), proxy, listening.getsockname()[1]
        )
        async with proxy.serving(entrance.visitor, listening):
            try:
                yield entrance
            finally:
                for each in entrance.callers:
                    each.close()


async def answering(connection: Connection) -> None:
    """200 and `hi` to every request."""
    while await connection.request():
        connection.writer.write(OK)


def recording(*answers: bytes) -> tuple[Serve, list[bytes]]:
    """Answers requests with these in turn, the last one for good; and what it was asked."""
    asked: list[bytes] = []
    left = list(answers) or [OK]

    async def serve(connection: Connection) -> None:
        while request := await connection.request():
            asked.append(request)
            connection.writer.write(left.pop(0) if len(left) > 1 else left[0])

    return serve, asked


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def gated(authority: Authority) -> Gated:
    return Gated(authority)


def basic(token: str) -> str:
    coded = base64.b64encode(f"anybody:{token}".encode()).decode()
    return f"Proxy-Authorization: Basic {coded}\r\n"
