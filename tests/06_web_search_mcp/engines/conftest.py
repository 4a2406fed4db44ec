"""The engines of ddgs as web_search.yaml makes them, and an internet on loopback that they meet."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.backends.web_search.engine_pages import HOSTS
from tests.backends.web_search.internet import Internet
from web_search.configured import engines_of
from web_search.engine import Engine
from web_search.settings import Settings


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the certificates of the internet are, made once."""
    return tmp_path_factory.mktemp("authority")


@pytest.fixture
async def internet(authority: Path) -> AsyncIterator[Internet]:
    async with Internet(authority, dict(HOSTS)).running() as net:
        yield net


@pytest.fixture
def named(internet: Internet, tmp_path: Path) -> Callable[[str], Engine]:
    """An engine by its name, that goes out through the internet's proxy."""
    (tmp_path / "web_search.yaml").write_text(f"ca_file: {internet.trusted}\n")
    engines, _ = engines_of(Settings(proxy=internet.proxy), tmp_path)
    return {engine.name: engine for engine in engines}.__getitem__
