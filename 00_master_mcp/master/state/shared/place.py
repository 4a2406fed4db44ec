"""Where Redis is, read from its URL; no password of it ever comes out in a text."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, parse_url

# Neither the text of the URL nor that of the error: either may hold a password that is not quoted.
_NOT_A_URL = "must be like redis://:password@host:6379/0, rediss://host:6379/0 or unix:///path"


@dataclass(frozen=True)
class Place:
    """`connection` makes one that is not yet connected; `database` is its number."""

    connection: Callable[[], AbstractConnection] = field(repr=False)
    database: int
    where: str
    """For people: host and port, or a path."""
    secrets: tuple[str, ...] = field(repr=False)


def place_of(url: str) -> Place:
    """ValueError, without a word of the URL, where it cannot be one of Redis."""
    try:
        given = {**cast("dict[str, Any]", parse_url(url))}
        parts = urlsplit(url)
        is_whole = bool(given.get("path") if parts.scheme == "unix" else parts.hostname)
        number = parts.path.strip("/") if parts.scheme != "unix" else ""
        if not is_whole or (number and not number.isdecimal()):
            raise ValueError(_NOT_A_URL)
        kind = cast("type[AbstractConnection]", given.pop("connection_class", Connection))
        # Times are kept here; what the driver says of itself costs a round trip.
        options: dict[str, Any] = {
            **given,
            "socket_timeout": None,
            "protocol": 2,
            "driver_info": None,
        }
        kind(**options)
    except (ValueError, TypeError, AttributeError, KeyError):
        raise ValueError(_NOT_A_URL) from None
    return Place(
        connection=lambda: kind(**options),
        database=int(given.get("db") or 0),
        where=given.get("path") or f"{given['host']}:{given.get('port', 6379)}",
        secrets=(given["password"],) if given.get("password") else (),
    )
