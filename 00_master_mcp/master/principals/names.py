"""How principals and roles may be called. Pure."""

import re
from collections.abc import Iterable

from flotilla import InvalidArgument
from flotilla.operations import HUB_ROLE, OWNER_ROLE

RESERVED = frozenset({"admin", "owner", "hub"})
"""The principals that there are without a token in the table."""
ID_PREFIX = "tok_"
MAX_ROLES = 16

# No colon, so that none is ever one of a provider's people; no capitals, so that no two look alike.
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,62}")
_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_NO_ROLES = frozenset({HUB_ROLE, OWNER_ROLE})
"""By which a spoke knows the hub itself and the owner."""


def checked_name(name: str) -> str:
    """A name for a new principal; InvalidArgument says why it cannot be one."""
    if _NAME.fullmatch(name) is None:
        raise InvalidArgument(
            f"{name[:80]!r} is no name for a principal",
            hint="Small letters, digits and . _ @ -, at most 63, a letter or digit first.",
        )
    if name in RESERVED or name.startswith(ID_PREFIX):
        raise InvalidArgument(f"the name {name!r} is the hub's own", hint="Choose another one.")
    return name


def checked_roles(roles: Iterable[str]) -> tuple[str, ...]:
    """Roles that a principal may be given, each once; InvalidArgument for one that it may not."""
    chosen = tuple(dict.fromkeys(roles))
    if not 1 <= len(chosen) <= MAX_ROLES:
        raise InvalidArgument(f"a principal has 1 to {MAX_ROLES} roles", hint="Say --role viewer.")
    for role in chosen:
        if not is_role(role):
            raise InvalidArgument(
                f"{role[:80]!r} is no role that can be given",
                hint="Small letters, digits, _ and -, at most 32; never 'owner' or 'hub'.",
            )
    return chosen


def is_role(role: str) -> bool:
    """Whether a principal of the table or of a provider may have it."""
    return _ROLE.fullmatch(role) is not None and role not in _NO_ROLES
