"""Stores of documents to run one suite over: a folder, and a database of a real PostgreSQL."""

import asyncio
import json
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import structlog

from flotilla import CommonSettings
from flotilla.database.place import read_place
from flotilla.fleet import HUB, FleetConfig, ServiceEntry
from master import build
from master.database.opened import SCHEMA
from master.documents.files import FileDocuments
from master.documents.postgres import PostgresDocuments
from master.documents.seam import Documents
from master.settings import Settings
from tests.backends.postgres_server import Postgres
from tests.conftest import InProcessFleet, find_free_port

from ..servers.estate import Estate, estate_of, opened_up

OpenDocuments = Callable[[], Documents]


@pytest.fixture
async def database_url(postgres: Postgres) -> str:
    """An empty database of its own."""
    name = f"hub_{secrets.token_hex(6)}"
    connection = await asyncpg.connect(postgres.url)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    finally:
        await connection.close()
    return postgres.url.removesuffix("/postgres") + f"/{name}"


def documents_at(url: str, **more: Any) -> PostgresDocuments:
    return PostgresDocuments(read_place(url, SCHEMA, "FLOTILLA_DATABASE_URL"), **more)


@pytest.fixture(params=["files", "postgresql"])
def make_documents(request: pytest.FixtureRequest, tmp_path: Path) -> OpenDocuments:
    """Make the documents of one more hub that shares the same store; nothing is open yet."""
    if request.param == "files":
        return lambda: FileDocuments(tmp_path / "hub")
    url = request.getfixturevalue("database_url")
    return lambda: documents_at(url)


@pytest.fixture
async def hubs(make_documents: OpenDocuments) -> AsyncGenerator[list[Documents]]:
    """The documents of three hubs, open."""
    async with AsyncExitStack() as stack:
        made = [make_documents() for _ in range(3)]
        for each in made:
            await stack.enter_async_context(each.running())
        yield made


class Grapevine:
    """News between hubs of one process, each of which has one made by `of`."""

    def __init__(self) -> None:
        self.members: list[Member] = []

    def member(self) -> "Member":
        self.members.append(Member(self))
        return self.members[-1]


class Member:
    def __init__(self, vine: Grapevine) -> None:
        self._vine = vine
        self._hearers: list[tuple[str, Callable[[str], None]]] = []
        self._returns: list[Callable[[], None]] = []

    async def tell(self, topic: str, text: str) -> None:
        loop = asyncio.get_running_loop()
        for other in self._vine.members:
            for heard, hear in other._hearers:
                if other is not self and heard == topic:
                    loop.call_soon(hear, text)

    def on(self, topic: str, hear: Callable[[str], None]) -> None:
        self._hearers.append((topic, hear))

    def on_return(self, hear: Callable[[], None]) -> None:
        self._returns.append(hear)

    def returned(self) -> None:
        for each in self._returns:
            each()


@pytest.fixture
def grapevine() -> Grapevine:
    return Grapevine()


@pytest.fixture
def told() -> Any:
    """What is logged, as `structlog.testing.capture_logs` keeps it."""
    with structlog.testing.capture_logs() as logs:
        yield logs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where programs of external servers may lie: every user can pass down to it."""
    return opened_up(tmp_path)


OpenHub = Callable[..., AbstractAsyncContextManager[Estate]]


@pytest.fixture
def open_hub(folder: Path, database_url: str) -> OpenHub:
    """`open_hub(name, redis_url, **external)`: a hub with data of its own and the shared database;
    `external` are the entries of its mcp.json."""

    @asynccontextmanager
    async def opened(
        name: str, redis_url: str | None = None, **external: Any
    ) -> AsyncGenerator[Estate]:
        home = folder / name
        home.mkdir(exist_ok=True)
        (home / "mcp.json").write_text(json.dumps({"mcpServers": external}))
        entry = ServiceEntry(number=0, port=find_free_port(), namespaces=("master",))
        common = CommonSettings(data_dir=opened_up(home) / "data", shutdown_grace_s=5)
        fleet = InProcessFleet(FleetConfig({HUB: entry}, {}), common)
        settings = Settings(
            mcp_config=home / "mcp.json", database_url=database_url, redis_url=redis_url
        )
        await fleet.start(HUB, lambda: build(settings, common, fleet.fleet))
        try:
            async with estate_of(fleet) as estate:
                yield estate
        finally:
            await fleet.stop(HUB)

    return opened
