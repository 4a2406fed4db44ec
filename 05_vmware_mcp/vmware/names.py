"""How vCenters and objects are named. Pure.

vSphere keeps `%`, `/` and `\\` in a name as `%25`, `%2f` and `%5c`. Source: vSphere Web Services
API reference, ManagedEntity.name.
"""

import re
from typing import Annotated

from pydantic import Field

VCenterName = Annotated[
    str | None,
    Field(
        max_length=64,
        description="Alias of the vCenter; needed where there are several, which the service's "
        "instructions name.",
    ),
]

MoId = Annotated[str, Field(min_length=1, max_length=255, pattern="^[!#-%(-;=?-~]+$")]
"""The ID of an object at its vCenter: `vm-1042`; an ESXi host gives paths for some.

Without the marks of XML: pyVmomi writes an ID into its request as it is, so that with them a reader
could put any other question, and any command, into ours.
"""

_ESCAPED = re.compile("%(25|2f|5c)", re.IGNORECASE)
_SPECIAL = re.compile(r"[%/\\]")
_MARKUP = re.compile(r"[<>&\x00-\x1f]")


def is_plain(mo_id: str) -> bool:
    """Whether an ID stays an ID where it is written between tags."""
    return _MARKUP.search(mo_id) is None


def decoded(name: str) -> str:
    """A name as a person wrote it, from vCenter's."""
    if "%" not in name:
        return name
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)


def encoded(name: str) -> str:
    """A name as vCenter keeps it."""
    return _SPECIAL.sub(lambda found: f"%{ord(found[0]):02x}", name)
