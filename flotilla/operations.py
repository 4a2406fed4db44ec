"""What a spoke does for the fleet itself or for its owner: never listed, never a tool, no MCP.

The hub calls it by `POST /operations/<name>` with a token that is bound to the operation and to the
body, and good for one request. A client of the hub has no way to one; the owner has, through the
hub's own interface.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flotilla.errors import (
    ApprovalDenied,
    ApprovalRequired,
    CircuitOpen,
    Conflict,
    InvalidArgument,
    NotAllowed,
    NotConfigured,
    NotFound,
    RateLimited,
    TimedOut,
    TooLarge,
    Unavailable,
    UpstreamError,
)
from flotilla.model import Model

PATH = "/operations"
TIMEOUT_HEADER = "x-flotilla-timeout-ms"
"""For how long the hub waits for the answer, in whole milliseconds."""
NO_OPERATION = "no_operation"
"""The `reason` of the not_found that says that a spoke has no such operation."""
HUB_ROLE = "hub"
"""The hub asks for itself."""
OWNER_ROLE = "owner"
"""The hub asks for the owner of the fleet."""

STATUS: Mapping[str, int] = {
    InvalidArgument.code: 400,
    NotAllowed.code: 403,
    ApprovalRequired.code: 403,
    ApprovalDenied.code: 403,
    NotFound.code: 404,
    Conflict.code: 409,
    TooLarge.code: 413,
    RateLimited.code: 429,
    UpstreamError.code: 502,
    NotConfigured.code: 503,
    Unavailable.code: 503,
    CircuitOpen.code: 503,
    TimedOut.code: 504,
}
"""The HTTP status of an error by its code, where no MCP carries it; 500 for any other."""

_NAME = re.compile(r"[a-z][A-Za-z0-9]*(?:\.[a-z][A-Za-z0-9]*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: `run` takes a `takes` and answers a Model; its errors are FlotillaErrors.

    `role` says who alone may have it done: HUB_ROLE or OWNER_ROLE. Raises ValueError for another
    role, or a name that is not like a tool's.
    """

    name: str
    takes: type[Model]
    run: Callable[[Any], Awaitable[Model]]
    role: str
    reads: bool = False
    """It changes nothing, and so ends at once when whoever asked has gone."""

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ValueError(f"operation {self.name!r}: name it like `rotate` or `things.rotate`")
        if self.role not in (HUB_ROLE, OWNER_ROLE):
            raise ValueError(f"operation {self.name!r}: its role is {HUB_ROLE} or {OWNER_ROLE}")


class Told(Model):
    """An answer that people get to see: the spoke takes the secrets that it knows out of it."""


def is_name(name: str) -> bool:
    """Whether an operation can be called so: it stands in a path and in a token."""
    return len(name) <= 64 and _NAME.fullmatch(name) is not None


def scope_of(operation: str) -> str:
    """What stands in a token in the place of a tool's name; no tool can be called so."""
    return f"operation:{operation}"
