"""The hub and the servers behind it, started once, and every way to them."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from tests.conftest import plain_http
from tests.everything import serving
from tests.ports import find_free_port

from .house import House
from .ways import PIPED, PIPES, SHORTLY, SOUTHS, WAYS, Way


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        called = getattr(item, "callspec", None)
        way = None if called is None else called.params.get("way")
        if isinstance(way, Way) and str(way) not in SHORTLY and here in item.path.parents:
            item.add_marker(pytest.mark.real)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    # The event loop of the hub's own process.
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
async def house(
    anyio_backend: Any, start_fleet_in: Any, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[House]:
    folder: Path = tmp_path_factory.mktemp("house")
    async with AsyncExitStack() as open_:
        served = {
            south.name: await open_.enter_async_context(serving(south.transport, south.era))
            for south in SOUTHS
        }
        external = {south.name: south.entry(served[south.name].url) for south in SOUTHS}
        external |= {south.name: south.entry() for south in PIPES}
        fleet = await open_.enter_async_context(start_fleet_in(folder, external=external))
        await connected(fleet, *external)
        yield House(fleet, served)


@pytest.fixture(scope="module")
def free_port_once() -> int:
    return find_free_port()


async def connected(fleet: Any, *servers: str) -> None:
    """Return once the hub is connected to these servers."""
    wanted = {f'mcp_service_health{{service="{server}"}} 1.0' for server in servers}
    async with httpx2.AsyncClient(verify=plain_http()) as http:
        with anyio.fail_after(30):
            while not wanted <= set((await http.get(f"{fleet.url}/metrics")).text.splitlines()):
                await anyio.sleep(0.01)


@pytest.fixture(params=[*WAYS, *PIPED], ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    return request.param
