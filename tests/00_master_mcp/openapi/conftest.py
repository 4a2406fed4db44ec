"""A server that records each request to the byte and answers as a test says, and a document."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from master.external.openapi import Document, load
from tests.listening import stop_listening


@dataclass(frozen=True)
class Received:
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) < 2, f"{name} came {len(found)} times"
        return found[0] if found else None


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def in_json(text: str, status: int = 200) -> Reply:
    return Reply(status, text.encode(), {"Content-Type": "application/json"})


class Api:
    """Reads HTTP/1.1 off the socket itself, so that nothing decodes what a test looks at."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answer: Callable[[Received], Reply] = lambda _: Reply(204)
        self.silent = False
        self.url = ""

    @property
    def last(self) -> Received:
        return self.received[-1]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Api"]:
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
            tasks.add(task)

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            await stop_listening(server)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode().split("\r\n")[:-2]
                method, target, _ = first.split(" ")
                pairs = [
                    (name, value.strip()) for name, _, value in (x.partition(":") for x in lines)
                ]
                length = next((int(v) for k, v in pairs if k.lower() == "content-length"), 0)
                self.received.append(
                    Received(method, target, pairs, await reader.readexactly(length))
                )
                if self.silent:
                    await reader.read()
                    return
                reply = self.answer(self.last)
                told = {"Content-Length": str(len(reply.body)), **reply.headers}
                lines_out = "".join(f"{name}: {value}\r\n" for name, value in told.items())
                writer.write(f"HTTP/1.1 {reply.status} X\r\n{lines_out}\r\n".encode())
                writer.write(b"" if method == "HEAD" else reply.body)
                await writer.drain()
                if told.get("Connection") == "close":
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def api() -> AsyncGenerator[Api]:
    async with Api().running() as running:
        yield running


@pytest.fixture
async def other() -> AsyncGenerator[Api]:
    """A second origin."""
    async with Api().running() as running:
        yield running


@pytest.fixture
async def session() -> AsyncGenerator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as opened:
        yield opened


@pytest.fixture(scope="session")
def petstore() -> Document:
    return load((Path(__file__).parent / "petstore.yaml").read_bytes())


@pytest.fixture
def reply() -> Callable[..., Reply]:
    return Reply


@pytest.fixture
def json_reply() -> Callable[..., Reply]:
    return in_json


def _document(paths: dict[str, Any], **more: Any) -> Document:
    import json

    info = {"title": "T", "version": "1"}
    return load(json.dumps({"openapi": "3.1.0", "info": info, "paths": paths, **more}))


@pytest.fixture(scope="session")
def document() -> Callable[..., Document]:
    """Makes a document of paths."""
    return _document
