"""Hubs with external servers, in this process; their programs are real."""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from master.external import launch
from master.external.child import running

from .estate import Estate, estate_of, opened_up, puppet

OpenEstate = Callable[..., AbstractAsyncContextManager[Estate]]


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    # The event loop of the hub's own process.
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="module", autouse=True)
def short_grace() -> Generator[None]:
    """A program that does not heed its end is waited for half a second, twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "running", partial(running, grace_s=0.5))
        yield


@pytest.fixture(scope="module")
def open_estate(start_fleet_in: Any) -> OpenEstate:
    """Start a hub in a folder, with entries of `mcp.json`; what is kept there outlives it."""

    @asynccontextmanager
    async def opened(folder: Path, **external: Any) -> AsyncGenerator[Estate]:
        async with (
            start_fleet_in(opened_up(folder), external=external) as fleet,
            estate_of(fleet) as estate,
        ):
            yield estate

    return opened


@pytest.fixture(scope="module")
async def module_estate(
    anyio_backend: Any, open_estate: OpenEstate, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Estate]:
    folder = opened_up(tmp_path_factory.mktemp("estate"))
    told = {
        "calm": puppet(
            folder,
            env={"GREETING": "hello", "API_TOKEN": "literal-secret-value"},
            description="A puppet.",
        ),
        "off": puppet(folder, disabled=True),
    }
    async with open_estate(folder, **told) as estate:
        await estate.reached("calm", "running")
        yield estate


@pytest.fixture
async def estate(module_estate: Estate) -> AsyncGenerator[Estate]:
    """A hub with a puppet that nobody harms and one that is off; what a test adds goes with it."""
    yield module_estate
    for name in set(await module_estate.names()) - {"calm", "off"}:
        await module_estate.remove(name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a test's programs may lie: every user can pass down to it."""
    return opened_up(tmp_path)
