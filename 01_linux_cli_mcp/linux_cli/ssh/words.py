"""Words for a POSIX shell, so that each arrives byte for byte as it was given. Pure.

A script is ASCII lines without any byte that a login shell, a locale or `read` could change:
printable words stand in single quotes, all other bytes go through printf (POSIX.1-2017, XCU 2.2 and
printf).
"""

from collections.abc import Sequence

from flotilla import InvalidArgument

_PLAIN = frozenset(range(0x20, 0x7F))
_AS_IS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 _./:=,@+")

NEWLINE = "N"
"""The shell variable that holds a line break; each script begins by setting it."""


def word(value: str | bytes) -> str:
    """One shell word, on one line, that expands to exactly these bytes.

    InvalidArgument for a NUL, which no argument of a program can hold.
    """
    raw = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
    if 0 in raw:
        raise InvalidArgument("an argument of a program cannot hold a NUL byte")
    if all(byte in _PLAIN for byte in raw):
        return "'" + raw.decode("ascii").replace("'", "'\\''") + "'"
    # A command substitution loses the line breaks at its end.
    body = raw.rstrip(b"\n")
    breaks = f'"${NEWLINE}"' * (len(raw) - len(body))
    if not body:
        return breaks
    written = "".join(chr(byte) if byte in _AS_IS else f"\\{byte:03o}" for byte in body)
    return f"\"$(printf '{written}')\"{breaks}"


def words(values: Sequence[str | bytes]) -> str:
    return " ".join(word(value) for value in values)
