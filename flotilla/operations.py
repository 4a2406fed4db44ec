"""What a spoke does for the fleet itself or for its owner: never listed, never a tool, no MCP.

The hub calls it by `POST /operations/<name>` with a token that is bound to the operation and to the
body. A client of the hub has no way to one; the owner has, through the hub's own interface.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from flotilla.model import Model

PATH = "/operations"
HUB_ROLE = "hub"
"""The hub asks for itself."""
OWNER_ROLE = "owner"
"""The hub asks for the owner of the fleet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: `run` takes a `takes` and answers a Model; its errors are FlotillaErrors.

    `role` says who alone may have it done: HUB_ROLE or OWNER_ROLE.
    """

    name: str
    takes: type[Model]
    run: Callable[[Any], Awaitable[Model]]
    role: str


def scope_of(operation: str) -> str:
    """What stands in a token in the place of a tool's name."""
    return f"operation:{operation}"
