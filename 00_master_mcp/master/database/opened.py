"""Where a hub's tables are: a file in its data folder, or the database that it is given."""

from pathlib import Path

from flotilla import Misconfigured
from flotilla.database.database import Database
from flotilla.database.place import Place, read_place, sqlite_place
from master.database.migrations import VERSIONS

SCHEMA = "flotilla_hub"
KEY = "FLOTILLA_DATABASE_URL"
FILE_NAME = "hub.sqlite3"
READERS = 4
CONNECT_TIMEOUT_S = 2.0
"""A hub starts without a database that does not answer, so it does not wait for it for long."""
LOCK_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 5.0


def place_of(database_url: str | None, folder: Path) -> Place:
    """The place; Misconfigured where the URL is not one of PostgreSQL."""
    if database_url is None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return sqlite_place(str(folder.resolve() / FILE_NAME), SCHEMA, KEY)
    place = read_place(database_url, SCHEMA, KEY)
    if not place.is_postgresql:
        raise Misconfigured(f"{KEY}: hubs share a PostgreSQL, not a {place.url.drivername}")
    return place


def open_database(place: Place, *, lock_timeout_s: float = LOCK_TIMEOUT_S) -> Database:
    """The hub's database, to be entered by `opened()`; the first use makes its tables."""
    return Database(
        place,
        service="hub",
        called="the hub's database",
        versions=VERSIONS,
        pool_size=READERS,
        connect_timeout_s=CONNECT_TIMEOUT_S,
        lock_timeout_s=lock_timeout_s,
        answer_timeout_s=ANSWER_TIMEOUT_S,
    )
