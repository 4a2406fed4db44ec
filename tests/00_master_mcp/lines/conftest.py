"""A place for programs to live in; at the end of a test none of them is left."""

from collections.abc import AsyncGenerator

import pytest

from .living import Life


@pytest.fixture
async def life() -> AsyncGenerator[Life]:
    living = Life()
    yield living
    await living.end()


@pytest.fixture
async def short_life() -> AsyncGenerator[Life]:
    """Reads lines of up to 100,000 bytes."""
    living = Life(max_line_bytes=100_000)
    yield living
    await living.end()
