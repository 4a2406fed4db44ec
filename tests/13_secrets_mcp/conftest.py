"""One suite over both databases: an embedded file, and a real PostgreSQL server of our own."""

import io
import logging
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
import structlog

from flotilla import CommonSettings, Context, Deadline, FlotillaError, Principal, Spoke
from flotilla.logs import set_up_logs
from flotilla.operations import HUB_ROLE
from flotilla.redaction import Redactor
from flotilla.toolbox import error_code_of
from secret_store import build
from secret_store.settings import Settings
from secret_store.stamps import Clock
from secret_store.vault.settings import VaultSettings
from tests.backends.postgres_server import Postgres
from tests.backends.vault_program import vault_program as vault_program
from tests.called_tools import CalledTools

CANARY = "canary-7f3e9a51c2-value"
USER = "os.linux.runCommand"
"""A tool that is allowed to use a secret in these tests."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty store, on one database and then on the other."""
    if request.param == "sqlite":
        return Settings(database_url=f"sqlite:///{tmp_path}/secrets.sqlite3")
    server: Postgres = request.getfixturevalue("postgres")
    # A schema of its own: nothing to clean between tests.
    return Settings(database_url=server.url, database_schema=f"secrets_{secrets.token_hex(6)}")


@pytest.fixture
def embedded(tmp_path: Path) -> Settings:
    """Settings of an empty store in a file, for what the database has no part in."""
    return Settings(database_url=f"sqlite:///{tmp_path}/secrets.sqlite3")


class Watch:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.at

    def pass_s(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Store:
    """The spoke as hub, owner and clients have it, with real schemas and errors."""

    def __init__(self, spoke: Spoke, watch: Watch, who: Principal | None = None) -> None:
        self.spoke = spoke
        self.watch = watch
        self.who = who or Principal("ann", ("operator",))
        self.tools = CalledTools(spoke.tools, Redactor(spoke.secrets))
        self._operations = {each.name: each for each in spoke.operations}

    def as_principal(self, name: str, *roles: str) -> "Store":
        return Store(self.spoke, self.watch, Principal(name, roles))

    async def raw(
        self, tool: str, /, *, deadline_s: float = 60, **arguments: Any
    ) -> dict[str, Any]:
        context = Context(
            principal=self.who,
            correlation_id=f"corr-{tool}",
            deadline=Deadline.after(deadline_s),
            approved=True,
        )
        return await self.tools.call(f"security.secrets.{tool}", arguments, context)

    async def __call__(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        result = await self.raw(tool, **arguments)
        assert not result["isError"], result["content"][0]["text"]
        return result["structuredContent"]

    async def refused(self, code: str, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """The error object of a call that must fail with that code."""
        result = await self.raw(tool, **arguments)
        assert error_code_of(result) == code, result
        return result["_meta"]["io.flotilla/error"]

    async def ask(self, operation: str, /, **body: Any) -> Any:
        """What hub or owner is answered, as JSON."""
        found = self._operations[operation]
        done = await found.run(found.takes.model_validate(body))
        return done.model_dump(mode="json", by_alias=True)

    async def no(self, operation: str, /, **body: Any) -> FlotillaError:
        """The error of an operation that must fail."""
        with pytest.raises(FlotillaError) as caught:
            await self.ask(operation, **body)
        return caught.value

    def roles(self) -> dict[str, bool]:
        """The operations, and whether each is the hub's."""
        return {name: each.role == HUB_ROLE for name, each in self._operations.items()}

    async def write(self, path: str = "db/password", value: str = CANARY, **rules: Any) -> Any:
        return await self.ask("write", path=path, value=value, allow=rules or {"tools": [USER]})

    async def lease(self, path: str = "db/password", tool: str = USER, **more: Any) -> Any:
        return await self("leaseSecret", path=path, tool=tool, **more)

    async def resolve(self, handle: str, tool: str = USER, principal: str | None = None) -> Any:
        return await self.ask(
            "resolve", handle=handle, tool=tool, principal=principal or self.who.name
        )

    async def trail(self, **filters: Any) -> list[dict[str, Any]]:
        return (await self("queryAudit", limit=500, **filters))["items"]


@asynccontextmanager
async def opened_store(
    settings: Settings, folder: Path, vault: VaultSettings | None = None
) -> AsyncIterator[Store]:
    watch = Watch()
    spoke = build(settings, CommonSettings(data_dir=folder), Clock(watch), vault)
    async with spoke.lifespan():
        yield Store(spoke, watch)


@pytest.fixture
async def store(settings: Settings, fresh: Path, tmp_path: Path) -> AsyncIterator[Store]:
    assert settings.database_url is not None
    if settings.database_url.startswith("sqlite"):
        shutil.copytree(fresh, tmp_path, dirs_exist_ok=True)
    async with opened_store(settings, tmp_path) as ready:
        yield ready


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a new store, made once: making tables and keys costs more than most tests."""
    folder = tmp_path_factory.mktemp("fresh")

    async def make() -> None:
        settings = Settings(database_url=f"sqlite:///{folder}/secrets.sqlite3")
        async with opened_store(settings, folder) as store:
            assert await store.spoke.ready() is None

    anyio.run(make)
    return folder


@pytest.fixture
async def small(embedded: Settings, fresh: Path, tmp_path: Path) -> AsyncIterator[Store]:
    """A store in a file."""
    shutil.copytree(fresh, tmp_path, dirs_exist_ok=True)
    async with opened_store(embedded, tmp_path) as ready:
        yield ready


@pytest.fixture
def heard() -> Iterator[io.StringIO]:
    """All that is logged meanwhile, as the fleet logs it, but not redacted."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    log = io.StringIO()
    set_up_logs("DEBUG", Redactor(), log)
    yield log
    structlog.configure(**before)
    root.handlers[:] = handlers
    root.setLevel(level)


Opened = Callable[..., AbstractAsyncContextManager[Store]]


@pytest.fixture
def opened() -> Opened:
    """`opened(settings, folder[, vault])`: a store for as long as the block runs."""
    return opened_store
