"""Arguments that are secrets: the only ones in which a `secret://` handle may stand."""

from typing import Annotated

from pydantic import Field

MARK = "x-flotilla-secret"
"""Of a schema: its value is a secret. The hub puts the value in the place of a handle there, on the
way to the spoke; logs, audit rows and approvals never show it."""
HANDLE = "secret://"
"""How a handle begins."""

SecretText = Annotated[
    str,
    Field(
        min_length=1,
        max_length=65_536,
        json_schema_extra={MARK: True, "format": "password", "writeOnly": True},
    ),
]
"""A parameter of a tool that takes a secret, or the handle of one."""
