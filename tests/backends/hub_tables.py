"""A hub's embedded database as its first use leaves it: to make its tables takes longer than most
tests of a hub."""

import asyncio
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from flotilla.database.place import Place, sqlite_place
from master.database.opened import FILE_NAME, KEY, SCHEMA, open_database


@cache
def _tables() -> bytes:
    with tempfile.TemporaryDirectory(prefix="flotilla-tables-") as folder:
        file = Path(folder) / FILE_NAME

        async def make() -> None:
            async with open_database(sqlite_place(str(file), SCHEMA, KEY)).opened():
                pass

        with ThreadPoolExecutor(1) as beside:
            beside.submit(asyncio.run, make()).result()
        return file.read_bytes()


def with_tables(folder: Path) -> Place:
    """A database of its own in a file of that folder, which is made; one that is there stays."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / FILE_NAME
    if not file.exists():
        file.touch(mode=0o600)
        file.write_bytes(_tables())
    return sqlite_place(str(file), SCHEMA, KEY)
