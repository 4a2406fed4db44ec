"""States to run one suite over: of a hub alone, of one in Redis, and of three that share it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import structlog

from flotilla.fleet import HubLimits
from master.state.opened import open_state
from master.state.seam import SharedState

OpenStates = Callable[..., AbstractAsyncContextManager[list[SharedState]]]


@asynccontextmanager
async def states(url: str | None, count: int = 1) -> AsyncIterator[list[SharedState]]:
    async with AsyncExitStack() as stack:
        opened = [open_state(url, HubLimits(cache_mb=1)) for _ in range(count)]
        for each in opened:
            await stack.enter_async_context(each.running())
        yield opened


@pytest.fixture
def open_states() -> OpenStates:
    """`open_states(url, count)`: the states of so many hubs for as long as the block runs."""
    return states


@pytest.fixture(params=["embedded", "redis", "three in redis"])
async def hubs(request: pytest.FixtureRequest) -> AsyncIterator[list[SharedState]]:
    """The states of hubs that share all of it: what one does, the others know."""
    url = None
    if request.param != "embedded":
        url = request.getfixturevalue("redis_server").url
    async with states(url, 3 if request.param == "three in redis" else 1) as opened:
        assert [each.away for each in opened] == [None] * len(opened)
        yield opened
        assert [each.away for each in opened] == [None] * len(opened)


@pytest.fixture
def told() -> Any:
    """What is logged, as `structlog.testing.capture_logs` keeps it."""
    with structlog.testing.capture_logs() as logs:
        yield logs
