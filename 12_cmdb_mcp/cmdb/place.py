"""Where the items are kept: a database URL, read and checked. Pure."""

from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from flotilla import Misconfigured

FILE_NAME = "cmdb.sqlite3"
_POSTGRESQL = ("postgresql", "postgres", "postgresql+asyncpg")
_SQLITE = ("sqlite", "sqlite+aiosqlite")


@dataclass(frozen=True, slots=True)
class Place:
    """A database that the store can open; `url` names the driver that is used."""

    url: URL = field(repr=False)
    schema: str

    @property
    def is_postgresql(self) -> bool:
        return self.url.get_backend_name() == "postgresql"

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.url.password,) if self.url.password else ()


def file_place(folder: Path, schema: str) -> Place:
    """The embedded database in `folder`."""
    return Place(URL.create("sqlite+aiosqlite", database=str(folder / FILE_NAME)), schema)


def place_of(url: str, schema: str) -> Place:
    """The place that a URL names; Misconfigured where it is none of ours."""
    try:
        given = make_url(url)
    except (ArgumentError, ValueError):
        raise Misconfigured("CMDB_DATABASE_URL: not a database URL") from None
    if given.drivername in _SQLITE and given.database not in (None, "", ":memory:"):
        return Place(given.set(drivername="sqlite+aiosqlite"), schema)
    if given.drivername in _POSTGRESQL:
        return Place(_for_asyncpg(given), schema)
    raise Misconfigured(
        f"CMDB_DATABASE_URL: {given.drivername} is not served; "
        "use postgresql://user@host/database or sqlite:////absolute/path"
    )


def _for_asyncpg(given: URL) -> URL:
    # What every other PostgreSQL client calls sslmode, asyncpg calls ssl.
    query = dict(given.query)
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    return given.set(drivername="postgresql+asyncpg", query=query)
