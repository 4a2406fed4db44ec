"""Real sshd servers on loopback, and the spoke over an inventory that names them."""

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from flotilla import CommonSettings, Context, Deadline, Principal, Spoke
from linux_cli import build
from linux_cli.settings import Settings
from linux_cli.ssh.pins import Pin, Pins
from tests.backends.sshd_server import Sshd
from tests.backends.sshd_server import client_key as client_key
from tests.backends.sshd_server import running as running
from tests.backends.sshd_server import sshd_at as sshd_at
from tests.called_tools import CalledTools

Call = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture(scope="session")
def target(
    sshd_at: str, client_key: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sshd]:
    """A server that tests share and leave as it is."""
    with running(Sshd(sshd_at, tmp_path_factory.mktemp("sshd"), client_key)) as server:
        yield server


@pytest.fixture
def own_target(sshd_at: str, client_key: Path, tmp_path: Path) -> Iterator[Sshd]:
    """A server that a test may stop, pause and change; not started yet."""
    server = Sshd(sshd_at, tmp_path / "sshd", client_key)
    try:
        yield server
    finally:
        server.stop()


@dataclass
class Site:
    """A spoke's data and configuration, before it is built."""

    folder: Path
    key: Path
    hosts: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    settings: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def common(self) -> CommonSettings:
        return CommonSettings(data_dir=self.folder / "data", config_dir=self.folder / "config")

    @property
    def pins_file(self) -> Path:
        return self.folder / "data" / "linux_cli" / "host_keys.json"

    def add(self, alias: str, server: Sshd, *, trusted: bool = True, **more: Any) -> None:
        self.hosts[alias] = {
            "address": "127.0.0.1",
            "port": server.port,
            "user": server.user,
            "key": str(self.key),
            **more,
        }
        if trusted:
            self.trust(alias, server.fingerprint)

    def trust(self, alias: str, fingerprint: str) -> None:
        pin = Pin(algorithm="ssh-ed25519", fingerprint=fingerprint, trusted_at=datetime.now(UTC))
        Pins(self.pins_file).put(alias, pin)

    def build(self) -> Spoke:
        config = self.folder / "config"
        config.mkdir(exist_ok=True)
        (config / "hosts.yaml").write_text(yaml.safe_dump({"hosts": self.hosts}, sort_keys=False))
        return build(Settings(**self.settings), self.common)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Call]:
        """The spoke runs within; calls go by `os.linux` action, or by a whole name."""
        spoke = self.build()
        async with spoke.lifespan():
            yield calls_of(spoke)


def calls_of(spoke: Spoke) -> Call:
    tools = CalledTools(spoke.tools)

    async def call(action: str, /, timeout_s: float = 20, **arguments: Any) -> dict[str, Any]:
        name = action if "." in action else f"os.linux.{action}"
        context = Context(
            principal=Principal("ada"),
            correlation_id="test",
            deadline=Deadline.after(timeout_s),
            approved=True,
        )
        result = await tools.call(name, arguments, context)
        if result["isError"]:
            error: Mapping[str, Any] = result["_meta"]["io.flotilla/error"]
            assert error["code"] != "internal", error
            return {"error": error["code"], "message": error["message"], "details": error}
        return result["structuredContent"]

    return call


@pytest.fixture
def site(tmp_path: Path, client_key: Path) -> Site:
    (tmp_path / "data").mkdir()
    return Site(tmp_path, client_key)


@pytest.fixture(params=[pytest.param("local", marks=pytest.mark.real), "ssh"])
def place(request: pytest.FixtureRequest, site: Site) -> str:
    """The alias of a host: what is asked of one is asked of every kind.

    Of `local` in the long run alone, as most of it is in the tests beside these, too.
    """
    if request.param == "ssh":
        site.add("there", request.getfixturevalue("target"))
        return "there"
    return "local"


def lives(pid: int | str) -> bool:
    """Whether a process runs; one that waits for its parent's notice does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@contextmanager
def umask(mask: int) -> Iterator[None]:
    old = os.umask(mask)
    try:
        yield
    finally:
        os.umask(old)
