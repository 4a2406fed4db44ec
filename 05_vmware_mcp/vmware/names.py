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

MoId = Annotated[str, Field(min_length=1, max_length=255, pattern="^[!-~]+$")]
"""The ID of an object at its vCenter: `vm-1042`; an ESXi host gives paths for some."""

_ESCAPED = re.compile("%(25|2f|5c)", re.IGNORECASE)
_SPECIAL = re.compile(r"[%/\\]")


def decoded(name: str) -> str:
    """A name as a person wrote it, from vCenter's."""
    if "%" not in name:
        return name
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)


def encoded(name: str) -> str:
    """A name as vCenter keeps it."""
    return _SPECIAL.sub(lambda found: f"%{ord(found[0]):02x}", name)
