"""A crew of two with a shop behind it, started once a module that leaves both at work."""

import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.backends.redis_server import RedisServer
from tests.conftest import find_free_port

from .crew import ROOT, Crew, Shop, crew_in, shop_at


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


@dataclass
class Work:
    crew: Crew
    shop: Shop


def everything() -> dict[str, Any]:
    """The entry of the fixture server, of the handshake era, whose questions wait in a process."""
    return {
        "command": sys.executable,
        "args": ["-m", "everything", "--transport", "stdio", "--era", "handshake"],
        "env": {"PYTHONPATH": str(ROOT / "tests")},
        "readable": [str(ROOT / "tests" / "everything")],
        "timeoutS": 20,
    }


@pytest.fixture(scope="module")
async def work(
    anyio_backend: Any, redis_process: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Work]:
    folder: Path = tmp_path_factory.mktemp("crew")
    redis_process.fresh()
    shop, port = Shop(), find_free_port()
    async with (
        shop_at(port, folder / "data", shop),
        crew_in(folder, port, FLOTILLA_REDIS_URL=redis_process.url) as crew,
    ):
        yield Work(crew, shop)


@pytest.fixture(scope="module")
async def work_with_programs(
    anyio_backend: Any, redis_process: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Work]:
    """As `work`, with an external server whose program runs beside the hub."""
    folder: Path = tmp_path_factory.mktemp("crew")
    redis_process.fresh()
    shop, port = Shop(), find_free_port()
    async with (
        shop_at(port, folder / "data", shop),
        crew_in(
            folder, port, external={"every": everything()}, FLOTILLA_REDIS_URL=redis_process.url
        ) as crew,
    ):
        await crew.connected("every")
        yield Work(crew, shop)
