"""One world for all tests of this folder; each finds it empty."""

from collections.abc import AsyncGenerator

import pytest

from tests.conftest import StartFleet

from .world import World, world_in


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Of the session, so that one fleet can serve all tests."""
    return "asyncio"


@pytest.fixture(scope="session")
async def opened(
    anyio_backend: str, start_fleet_in: StartFleet, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[World]:
    async with world_in(tmp_path_factory.mktemp("providers"), start_fleet_in) as world:
        yield world


@pytest.fixture
async def world(opened: World) -> World:
    await opened.begin_anew()
    return opened
