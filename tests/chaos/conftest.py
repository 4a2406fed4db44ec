"""What the chaos tests stand on: processes of real spokes, one for all tests, and hubs for each."""

import gc
import urllib.request
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import structlog.testing

from tests.backends.postgres_server import Postgres
from tests.backends.redis_server import RedisServer

from .house import Ground, SpokeProcess, Spokes

START_S = 30.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs Redis and PostgreSQL waits for the long run: they take as long as ten tests."""
    here = Path(__file__).parent
    for item in items:
        asked = getattr(item, "fixturenames", ())
        if here in item.path.parents and ("cluster" in asked or "[cluster" in item.name):
            item.add_marker(pytest.mark.real)


def _await_ready(process: SpokeProcess) -> None:
    """Return once every spoke of the process is ready; outside any loop, so it polls."""
    give_up_at = monotonic() + START_S
    for port in process.ports.values():
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5):
                    break
            except OSError as error:
                assert process.process.poll() is None, process.log.read_text()
                assert monotonic() < give_up_at, f"{error}: {process.log.read_text()}"
                sleep(0.02)


@pytest.fixture(scope="session")
def spokes(tmp_path_factory: pytest.TempPathFactory) -> Spokes:
    return Spokes(tmp_path_factory.mktemp("chaos"))


@pytest.fixture(scope="session")
def ports(spokes: Spokes) -> Generator[dict[str, int]]:
    """Where the spokes listen that every test shares: the trial by itself, two more together."""
    with ExitStack() as stack:
        started = [
            stack.enter_context(spokes.process("trial")),
            stack.enter_context(spokes.process("linux_cli", "cmdb")),
        ]
        for each in started:
            _await_ready(each)
        yield {name: port for each in started for name, port in each.ports.items()}


@pytest.fixture(scope="session", autouse=True)
def _what_is_there_already() -> Generator[None]:  # pyright: ignore[reportUnusedFunction]
    """Let `Footprint` look past all that was there before: it is most of what there is."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def logs() -> Generator[list[Any]]:
    """What is logged in this process, instead of its being written."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def ground(spokes: Spokes, ports: dict[str, int], tmp_path: Path) -> Ground:
    """Where a test opens its hubs: all state in the hub's process, the CMDB in a file."""
    return Ground(spokes, ports, tmp_path)


@pytest.fixture
def cluster(ground: Ground, redis_server: RedisServer, cmdb_on_postgres: int) -> Ground:
    """As `ground`, but hubs share Redis, and the CMDB, which is the neighbour, is in PostgreSQL."""
    ports = {**ground.ports, "cmdb": cmdb_on_postgres}
    return replace(ground, ports=ports, redis_url=redis_server.url, neighbour="cmdb")


@pytest.fixture(params=["embedded", "cluster"])
def backed(request: pytest.FixtureRequest) -> Ground:
    """The one, then the other."""
    return request.getfixturevalue("ground" if request.param == "embedded" else "cluster")


@pytest.fixture(scope="session")
def cmdb_on_postgres(postgres: Postgres, spokes: Spokes) -> Generator[int]:
    """The port of a CMDB whose items are in PostgreSQL."""
    with spokes.process("cmdb", CMDB_DATABASE_URL=postgres.url, CMDB_DATABASE_SCHEMA="chaos") as it:
        _await_ready(it)
        yield it.ports["cmdb"]
