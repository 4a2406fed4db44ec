"""How secrets and handles are called. Pure."""

import re
import secrets
from hashlib import sha256
from typing import Annotated

from pydantic import Field

from flotilla import InvalidArgument
from flotilla.secret_text import HANDLE

MAX_PATH = 200
_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$"
# No part begins with a dot, so none is `.` or `..`; plain ASCII, so no two look alike.
_PATH = re.compile(_PATTERN.strip("^$"))
_HANDLE = re.compile(re.escape(HANDLE) + r"[0-9a-f]{32}")

SecretPath = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_PATH,
        pattern=_PATTERN,
        description="Where the secret is, say db/production/password.",
    ),
]
Prefix = Annotated[
    str,
    Field(
        max_length=MAX_PATH,
        pattern=r"^[A-Za-z0-9_./-]*$",
        description="Only paths that begin so, say db/production/.",
    ),
]


def check_path(path: str) -> None:
    """Raise InvalidArgument for what is no path of a secret; it is not quoted, it may be one."""
    if len(path) > MAX_PATH or not _PATH.fullmatch(path):
        raise InvalidArgument(
            "the path is not one of a secret",
            hint="Parts of letters, digits, _, . and -, none beginning with . or -, joined by /; "
            f"{MAX_PATH} characters at most.",
        )


def new_handle() -> str:
    """A handle that nobody guesses: 128 random bits."""
    return f"{HANDLE}{secrets.token_hex(16)}"


def handle_digest(handle: str) -> str | None:
    """What is kept of a handle, from which it cannot be told; None for what is no handle."""
    return sha256(handle.encode()).hexdigest() if _HANDLE.fullmatch(handle) else None


def new_lease_id() -> str:
    return f"lease_{secrets.token_hex(10)}"
