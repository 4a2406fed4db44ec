"""Which errors say that the database is away, and not that a statement was wrong."""

from collections.abc import Generator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from flotilla.errors import Unavailable

_SQLITE_AWAY = frozenset(
    [
        "SQLITE_BUSY",
        "SQLITE_LOCKED",
        "SQLITE_IOERR",
        "SQLITE_CANTOPEN",
        "SQLITE_FULL",
        "SQLITE_READONLY",
        "SQLITE_INTERRUPT",
        "SQLITE_PROTOCOL",
        "SQLITE_NOTADB",
        "SQLITE_CORRUPT",
    ]
)
# Connection lost, rolled back by the server, out of resources, shutting down, lock not granted.
_POSTGRESQL_AWAY = ("08", "40", "53", "57", "55P03", "58", "28", "3D")


@contextmanager
def translated(called: str, key: str) -> Generator[None]:
    """Unavailable instead of the drivers' ways to say that the database is away.

    `called` is the database in words, `key` the setting that names it.
    """
    try:
        yield
    except DBAPIError as error:
        if not is_away(error):
            raise
        raise _away(error, called, key) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, PoolTimeout, OSError) as error:
        raise _away(error, called, key) from error


def _away(error: Exception, called: str, key: str) -> Unavailable:
    kind = type(getattr(error, "orig", None) or error).__name__
    return Unavailable(
        f"{called} does not answer ({kind})",
        hint=f"Try again; if it lasts, look at the database and {key}.",
    )


def is_away(error: DBAPIError) -> bool:
    """Whether the error is the database's state and not the statement's fault."""
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    code = getattr(error.orig, "sqlite_errorname", None)
    if isinstance(code, str):
        return any(code.startswith(away) for away in _SQLITE_AWAY)
    state = getattr(error.orig, "sqlstate", None)
    return isinstance(state, str) and state.startswith(_POSTGRESQL_AWAY)
