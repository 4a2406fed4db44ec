"""A place for programs to live in; at the end of a test none of them is left."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from .living import Life


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def life() -> AsyncGenerator[Life]:
    living = Life()
    yield living
    await living.end()


@pytest.fixture(scope="module")
async def lasting_life(anyio_backend: Any) -> AsyncGenerator[Life]:
    """With a modern program, for all tests that leave it alive: its start takes seconds."""
    living = Life()
    await living.everything("modern")
    await living.opened(living.modern)
    yield living
    await living.end()


@pytest.fixture
async def patient_life() -> AsyncGenerator[Life]:
    """Waits for the answer to a probe longer than a program takes to start on a busy machine."""
    living = Life(probe_s=30)
    yield living
    await living.end()


@pytest.fixture
async def short_life() -> AsyncGenerator[Life]:
    """Reads lines of up to 100,000 bytes."""
    living = Life(max_line_bytes=100_000)
    yield living
    await living.end()
