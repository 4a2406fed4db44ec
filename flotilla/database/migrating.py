"""Bring a service's tables to the newest shape; safe from empty, again, and from many at once."""

import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

SCRIPTS = Path(__file__).parent / "scripts"
_TURN_S = 0.005
_one_at_a_time = threading.Lock()
"""Of this process, as alembic is: it keeps the connection that it works on in its modules, where
services that share a process would take each other's."""


def upgrade(connection: Connection, versions: Path) -> None:
    """Run what is missing inside the caller's transaction, which holds the write lock.

    `versions` is the folder of the service's migrations. Only within `turn`.
    """
    config = Config()
    for option, folder in (("script_location", SCRIPTS), ("version_locations", versions)):
        config.set_main_option(option, str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@asynccontextmanager
async def turn() -> AsyncGenerator[None]:
    """The only one of this process that migrates, on whichever loop."""
    # An event would belong to one loop.
    while not _one_at_a_time.acquire(blocking=False):  # noqa: ASYNC110
        await anyio.sleep(_TURN_S)
    try:
        yield
    finally:
        _one_at_a_time.release()
