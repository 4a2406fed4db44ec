"""One suite over both databases: an embedded file, and a real PostgreSQL server of our own."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cmdb import build
from cmdb.settings import Settings
from flotilla import CommonSettings, Context, Deadline, Principal, Spoke
from flotilla.redaction import Redactor
from flotilla.toolbox import Toolbox, error_code_of

SERVER_USER = "postgres"
PASSWORD = "canary-of-the-cmdb"


class Postgres:
    """A server in a folder of its own; `start` and `stop` may be called again and again."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        # PostgreSQL refuses to run as root.
        self._as_user = ["runuser", "-u", SERVER_USER, "--"] if os.getuid() == 0 else []
        self.url = f"postgresql://{SERVER_USER}:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def _run(self, program: str, *arguments: str) -> None:
        argv = [*self._as_user, str(self._programs / program), *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=self._folder)
        assert done.returncode == 0, done.stdout + done.stderr

    def create(self) -> None:
        if self._as_user:
            shutil.chown(self._folder, SERVER_USER)
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run(
            "initdb", "-D", str(self._folder / "data"), "-U", SERVER_USER, "-A", "scram-sha-256",
            "--pwfile", str(secret), "-E", "UTF8", "--no-locale", "--no-sync",
        )  # fmt: skip

    def start(self, *, again: bool = False) -> None:
        """Start the server; `again` is content when it runs already."""
        if again and self._runs():
            return
        options = f"-p {self.port} -k {self._folder} -c fsync=off -c max_connections=60"
        log = str(self._folder / "log")
        self._run(
            "pg_ctl", "-D", str(self._folder / "data"), "-l", log, "-o", options, "-w", "start"
        )

    def _runs(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "-w", "stop")


def server_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    on_path = shutil.which("pg_ctl")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    programs = server_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed here (apt package postgresql)")
    if os.getuid() == 0 and SERVER_USER not in {user.pw_name for user in pwd.getpwall()}:
        pytest.skip("there is no user postgres, and PostgreSQL does not run as root")
    with tempfile.TemporaryDirectory(prefix="cmdb-pg-") as folder:
        server = Postgres(programs, Path(folder))
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()


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
        self.toolbox = Toolbox(spoke.tools, Redactor(spoke.secrets))

    def as_principal(self, name: str) -> "Cmdb":
        return Cmdb(self.spoke, name)

    async def raw(self, tool: str, *, deadline_s: float = 60, **arguments: Any) -> dict[str, Any]:
        context = Context(
            principal=Principal(self.principal),
            correlation_id=f"corr-{tool}",
            deadline=Deadline.after(deadline_s),
            approved=True,
        )
        return await self.toolbox.call(f"data.cmdb.{tool}", arguments, context)

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


@pytest.fixture
async def cmdb(settings: Settings, tmp_path: Path) -> AsyncIterator[Cmdb]:
    async with opened_cmdb(settings, tmp_path) as ready:
        yield ready


@pytest.fixture
def opened() -> Any:
    """`opened(settings, folder)`: a CMDB for as long as the block runs."""
    return opened_cmdb
