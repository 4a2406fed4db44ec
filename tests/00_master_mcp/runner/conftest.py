"""A hub in this process and a runner in another, with real programs."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import find_free_port

from ..servers.estate import Estate, estate_of, opened_up
from .lodging import RunnerProcess

OpenEstate = Callable[..., AbstractAsyncContextManager[Estate]]
SECRET = "canary-of-the-runner-4711"


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    # The event loop of the hub's own process.
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a test's programs may lie: every user can pass down to it."""
    return opened_up(tmp_path)


@asynccontextmanager
async def running_in(folder: Path, **env: str) -> AsyncGenerator[RunnerProcess]:
    process = RunnerProcess(folder, find_free_port(), {"RUNNERS_SECRET": SECRET, **env})
    await process.start()
    yield process
    await process.kill()


@pytest.fixture
def told_runner() -> dict[str, str]:
    """What else stands in the environment of `runner`; tests parametrise it."""
    return {}


@pytest.fixture
async def runner(
    anyio_backend: Any, folder: Path, told_runner: dict[str, str]
) -> AsyncGenerator[RunnerProcess]:
    """One that runs, and that alone knows a secret."""
    async with running_in(folder, **told_runner) as process:
        yield process


@pytest.fixture(scope="session")
async def lasting_runner(
    anyio_backend: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[RunnerProcess]:
    """As `runner`, for all tests that leave it as it is: its start takes seconds."""
    async with running_in(opened_up(tmp_path_factory.mktemp("lodging"))) as process:
        yield process


@pytest.fixture
def open_estate(start_fleet_in: Any, runner: RunnerProcess) -> OpenEstate:
    """Start a hub that has its programs in the runner, with entries of `mcp.json`."""

    @asynccontextmanager
    async def opened(**external: Any) -> AsyncGenerator[Estate]:
        async with (
            start_fleet_in(runner.folder, external=external, runner=runner.url) as fleet,
            estate_of(fleet) as estate,
        ):
            yield estate

    return opened
