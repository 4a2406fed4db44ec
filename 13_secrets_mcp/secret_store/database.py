"""The spoke's own database: keys, what is known of secrets, leases and the trail.

The embedded backend keeps the sealed values here too.
"""

from pathlib import Path

from flotilla.database.database import Database
from flotilla.database.place import Place, read_place, sqlite_place
from secret_store import migrations

FILE_NAME = "secrets.sqlite3"
_KEY = "SECRETS_DATABASE_URL"


def place_in(folder: Path, schema: str) -> Place:
    """The embedded database in `folder`."""
    return sqlite_place(str(folder / FILE_NAME), schema, _KEY)


def place_of(url: str, schema: str) -> Place:
    """The place that a URL names; Misconfigured where it is none of ours."""
    return read_place(url, schema, _KEY)


def database_at(place: Place) -> Database:
    return Database(
        place,
        service="secrets",
        called="the secrets' database",
        versions=migrations.VERSIONS,
        pool_size=5,
        connect_timeout_s=5,
        lock_timeout_s=15,
    )
