"""Where a service keeps what must last: a database URL, read and checked. Pure."""

from dataclasses import dataclass, field

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from flotilla.settings import Misconfigured

_POSTGRESQL = ("postgresql", "postgres", "postgresql+asyncpg")
_SQLITE = ("sqlite", "sqlite+aiosqlite")


@dataclass(frozen=True, slots=True)
class Place:
    """A database that can be opened; `url` names the driver that is used, `key` the setting."""

    url: URL = field(repr=False)
    schema: str
    key: str

    @property
    def is_postgresql(self) -> bool:
        return self.url.get_backend_name() == "postgresql"

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.url.password,) if self.url.password else ()


def sqlite_place(file: str, schema: str, key: str) -> Place:
    """The embedded database in that file."""
    return Place(URL.create("sqlite+aiosqlite", database=file), schema, key)


def read_place(url: str, schema: str, key: str) -> Place:
    """The place that the URL of a setting names; Misconfigured where it is none of ours."""
    try:
        given = make_url(url)
    except (ArgumentError, ValueError):
        raise Misconfigured(f"{key}: not a database URL") from None
    if given.drivername in _SQLITE and given.database not in (None, "", ":memory:"):
        return Place(given.set(drivername="sqlite+aiosqlite"), schema, key)
    if given.drivername in _POSTGRESQL:
        return Place(_for_asyncpg(given), schema, key)
    raise Misconfigured(
        f"{key}: {given.drivername} is not served; "
        "use postgresql://user@host/database or sqlite:////absolute/path"
    )


def _for_asyncpg(given: URL) -> URL:
    # What every other PostgreSQL client calls sslmode, asyncpg calls ssl.
    query = dict(given.query)
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    return given.set(drivername="postgresql+asyncpg", query=query)
