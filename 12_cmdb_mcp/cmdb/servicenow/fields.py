"""Which tables and fields of ServiceNow may be spoken of at all. Pure."""

import re
from collections.abc import Iterable, Sequence

from flotilla import InvalidArgument, NotAllowed

MAX_STEPS = 2
"""References that a dot-walked field follows."""

_NAME = r"[a-z][a-z0-9_]{0,79}"
_FIELD = re.compile(rf"{_NAME}(?:\.{_NAME}){{0,{MAX_STEPS}}}")
_TABLE = re.compile(_NAME)
_SECRET = re.compile(
    r"passw|passphrase|secret|token|credential|private_?key|api_?key|community_string|"
    r"(?:^|_)(?:pwd|pin|pass)(?:_|$)"
)
# The end of a walk lies in a table that the allow-list may not name: only what identifies a record
# there, or describes a CI, is read through it.
_WALKED = (
    "sys_id name sys_class_name number display_name label value short_description ip_address "
    "serial_number asset_tag fqdn mac_address os os_version version operational_status "
    "install_status environment used_for city country street parent_descriptor "
    "child_descriptor manufacturer model_id location"
)
WALKED = frozenset(_WALKED.split())


def check_field(field: str) -> None:
    """Raise InvalidArgument for what is no field's name, NotAllowed for one that is kept back."""
    if not _FIELD.fullmatch(field):
        raise InvalidArgument(
            f"{field[:80]!r} is no field of ServiceNow",
            hint="Lower case letters, digits and _; at most "
            f"{MAX_STEPS} references are followed with dots: location.name.",
        )
    *walked, last = field.split(".")
    if any(is_secret(name) for name in (*walked, last)):
        raise NotAllowed(
            f"the field {field!r} may hold a secret and is never read",
            details={"reason": "secret_field"},
        )
    if walked and last not in WALKED:
        raise NotAllowed(
            f"{last!r} is not read through a reference",
            hint=f"Through a reference there are: {', '.join(sorted(WALKED))}.",
            details={"reason": "dot_walk"},
        )


def is_secret(name: str) -> bool:
    """Whether a field of that name is one of those that hold passwords, keys and the like."""
    return _SECRET.search(name) is not None


def check_not_hidden(fields: Iterable[str], hidden: frozenset[str]) -> None:
    """Raise NotAllowed for a field of which ServiceNow's dictionary says that it is a password."""
    for field in fields:
        if not hidden.isdisjoint(field.split(".")):
            raise NotAllowed(
                f"the field {field!r} is a password in ServiceNow and is never read",
                details={"reason": "secret_field"},
            )


def check_table(table: str, allowed: Sequence[str]) -> None:
    """Raise InvalidArgument for what is no table's name, NotAllowed outside the allow-list.

    An entry of the list is a name, or the beginning of names with a `*` at its end.
    """
    if not _TABLE.fullmatch(table):
        raise InvalidArgument(
            f"{table[:80]!r} is no table of ServiceNow", hint="Say the like of cmdb_ci_server."
        )
    for one in allowed:
        if table == one or (one.endswith("*") and table.startswith(one[:-1])):
            return
    raise NotAllowed(
        f"the table {table!r} is not among those that the owner lets this service read",
        hint=f"Allowed (tables in servicenow.yaml): {', '.join(allowed)}.",
        details={"reason": "table"},
    )
