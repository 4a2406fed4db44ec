"""A real PostgreSQL server of our own, in a folder of its own, on a free port of loopback."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import find_free_port
from tools.memory_folder import memory_folder

SERVER_USER = "postgres"
PASSWORD = "canary-of-postgres"


class Postgres:
    """A server in a folder of its own; `start` and `stop` may be called again and again."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self.port = find_free_port()
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
    # Every test has a database of its own, of hundreds of files.
    with tempfile.TemporaryDirectory(prefix="flotilla-pg-", dir=memory_folder()) as folder:
        server = Postgres(programs, Path(folder))
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
