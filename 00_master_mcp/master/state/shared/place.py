"""Where Redis is, read from its URL; no password of it ever comes out in a text."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    RedisSSLContext,
    SSLConnection,
    parse_url,
)

# Neither the text of the URL nor that of the error: either may hold a password that is not quoted.
_NOT_A_URL = "must be like redis://:password@host:6379/0, rediss://host:6379/0 or unix:///path"

Stamp = tuple[int, int, int] | None


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
        connection=_of_one_context(lambda: kind(**options)),
        database=int(given.get("db") or 0),
        where=given.get("path") or f"{given['host']}:{given.get('port', 6379)}",
        secrets=(given["password"],) if given.get("password") else (),
    )


def _of_one_context(make: Callable[[], AbstractConnection]) -> Callable[[], AbstractConnection]:
    """What `make` makes; those by TLS share one context until a file that it was read from changes.

    To read all that the system trusts takes some 20 ms, and the whole hub stands still meanwhile.
    """
    shared: RedisSSLContext | None = None
    read: list[Stamp] = []

    def connection() -> AbstractConnection:
        nonlocal shared, read
        made = make()
        if isinstance(made, SSLConnection):
            now = _stamps(made)
            if shared is None or now != read:
                shared, read = made.ssl_context, now
            made.ssl_context = shared
        return made

    return connection


def _stamps(connection: SSLConnection) -> list[Stamp]:
    """Others when a certificate was replaced."""
    of, system = connection.ssl_context, ssl.get_default_verify_paths()
    files = (of.certfile, of.keyfile, of.ca_certs, of.ca_path, system.cafile, system.capath)
    return [_stamp(file) for file in files if file]


def _stamp(file: str) -> Stamp:
    try:
        seen = Path(file).stat()
    except OSError:
        return None
    return seen.st_mtime_ns, seen.st_ino, seen.st_size
