"""One suite over both databases: an embedded file, and a real PostgreSQL server of our own."""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cmdb import build
from cmdb.settings import Settings
from flotilla import CommonSettings, Context, Deadline, Principal, Spoke
from flotilla.redaction import Redactor
from flotilla.toolbox import error_code_of
from tests.backends.postgres_server import Postgres
from tests.called_tools import CalledTools

QUICKLY_ON_BOTH = ("test_items", "test_reconcile", "test_store", "test_search")
"""What the short run tries on PostgreSQL too; the long one tries everything there."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        slow = "[postgresql" in item.name and item.path.stem not in QUICKLY_ON_BOTH
        if slow and here in item.path.parents:
            item.add_marker(pytest.mark.real)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty CMDB, on one database and then on the other."""
    if request.param == "sqlite":
        return Settings(database_url=f"sqlite:///{tmp_path}/cmdb.sqlite3")
    server: Postgres = request.getfixturevalue("postgres")
    # A schema of its own: nothing to clean between tests.
    return Settings(database_url=server.url, database_schema=f"cmdb_{secrets.token_hex(6)}")


class Cmdb:
    """Calls the tools as a client would, with real schemas and errors."""

    def __init__(self, spoke: Spoke, principal: str = "alice") -> None:
        self.spoke = spoke
        self.principal = principal
        self.tools = CalledTools(spoke.tools, Redactor(spoke.secrets))

    def as_principal(self, name: str) -> "Cmdb":
        return Cmdb(self.spoke, name)

    async def raw(self, tool: str, *, deadline_s: float = 60, **arguments: Any) -> dict[str, Any]:
        context = Context(
            principal=Principal(self.principal),
            correlation_id=f"corr-{tool}",
            deadline=Deadline.after(deadline_s),
            approved=True,
        )
        return await self.tools.call(f"data.cmdb.{tool}", arguments, context)

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.raw(tool, **arguments)
        assert not result["isError"], result["content"][0]["text"]
        return result["structuredContent"]

    async def refused(self, code: str, tool: str, **arguments: Any) -> dict[str, Any]:
        """The error object of a call that must fail with that code."""
        result = await self.raw(tool, **arguments)
        assert error_code_of(result) == code, result
        return result["_meta"]["io.flotilla/error"]

    async def item(self, name: str, ci_class: str = "server", **attributes: Any) -> str:
        made = await self("createItem", ciClass=ci_class, name=name, attributes=attributes)
        return made["id"]

    async def relate(self, source: str, kind: str, target: str) -> str:
        return (await self("createRelation", sourceId=source, type=kind, targetId=target))["id"]


@asynccontextmanager
async def opened_cmdb(settings: Settings, tmp_path: Path) -> AsyncIterator[Cmdb]:
    spoke = build(settings, CommonSettings(data_dir=tmp_path))
    async with spoke.lifespan():
        yield Cmdb(spoke)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedded file as the migrations leave it: to make one takes longer than many a test."""
    file = tmp_path_factory.mktemp("migrated") / "cmdb.sqlite3"

    async def make() -> None:
        async with opened_cmdb(Settings(database_url=f"sqlite:///{file}"), file.parent):
            pass

    asyncio.run(make())
    assert not file.with_name(f"{file.name}-wal").exists(), "all of it is in the file itself"
    return file


@pytest.fixture
async def cmdb(settings: Settings, migrated: Path, tmp_path: Path) -> AsyncIterator[Cmdb]:
    file = (settings.database_url or "").removeprefix("sqlite:///")
    if file != settings.database_url:
        shutil.copy(migrated, file)
    async with opened_cmdb(settings, tmp_path) as ready:
        yield ready


@pytest.fixture
def opened() -> Any:
    """`opened(settings, folder)`: a CMDB for as long as the block runs."""
    return opened_cmdb
