"""A hub in this process and a runner in another, with real programs."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

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


@pytest.fixture
async def runner(
    anyio_backend: Any, folder: Path, free_port: Callable[[], int]
) -> AsyncGenerator[RunnerProcess]:
    """One that runs, and that alone knows a secret."""
    process = RunnerProcess(folder, free_port(), {"RUNNERS_SECRET": SECRET})
    await process.start()
    yield process
    await process.kill()


@pytest.fixture
def open_estate(start_fleet_in: Any, folder: Path, runner: RunnerProcess) -> OpenEstate:
    """Start a hub that has its programs in the runner, with entries of `mcp.json`."""

    @asynccontextmanager
    async def opened(**external: Any) -> AsyncGenerator[Estate]:
        async with (
            start_fleet_in(folder, external=external, runner=runner.url) as fleet,
            estate_of(fleet) as estate,
        ):
            yield estate

    return opened
