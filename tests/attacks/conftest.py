"""What the attacks share: an SSH server that is theirs, and the fleet that they are made on."""

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from tests.backends.sshd_server import Sshd
from tests.backends.sshd_server import client_key as client_key
from tests.backends.sshd_server import running as running
from tests.backends.sshd_server import sshd_at as sshd_at
from tests.conftest import StartFleet

from .web_world import Web
from .world import World, opened_world


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def target(
    sshd_at: str, client_key: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sshd]:
    """A server that the attacks share."""
    with running(Sshd(sshd_at, tmp_path_factory.mktemp("sshd"), client_key)) as server:
        yield server


@pytest.fixture(scope="module")
async def world(
    anyio_backend: str,
    start_fleet_in: StartFleet,
    tmp_path_factory: pytest.TempPathFactory,
    target: Sshd,
    client_key: Path,
) -> AsyncGenerator[World]:
    """The fleet that the attacks of one file are made on."""
    folder = tmp_path_factory.mktemp("world")
    async with opened_world(start_fleet_in, folder, target, client_key) as world:
        yield world


@pytest.fixture
def web(opened: Web) -> Web:
    """The web that a file opened, of which nothing has been heard yet."""
    opened.site.clear()
    opened.inside.clear()
    return opened
