"""Names and resource IDs of Resource Manager: read, checked and written. Pure.

Source: Azure Resource Manager, "Naming rules and restrictions", "Template functions: resourceId".
"""

import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from pydantic import Field

from flotilla import InvalidArgument

_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9.-]{0,79}")
_NAME = re.compile(r"[\w()$@:,+ .\[\]-]{1,260}")

GroupName = Annotated[
    str,
    Field(
        pattern=r"^[\w().-]{0,89}[\w()-]$",
        description="The name of a resource group, as listResourceGroups has it.",
    ),
]
ResourceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,78}[A-Za-z0-9_]?$")]
ResourceIdText = Annotated[
    str,
    Field(
        max_length=1024,
        pattern=r"^/subscriptions/.+",
        description="The whole resource ID: /subscriptions/.../resourceGroups/.../providers/...",
    ),
]
Location = Annotated[
    str, Field(pattern=r"^[a-z0-9]{2,40}$", description="A region by its short name: `westeurope`.")
]


@dataclass(frozen=True, slots=True)
class ResourceId:
    """`/subscriptions/S[/resourceGroups/G][/providers/N/T/name[/T/name...]]`."""

    subscription: str
    group: str | None
    type: str
    """`Microsoft.Compute/virtualMachines`; `Microsoft.Resources/resourceGroups` of a group."""
    name: str
    path: str
    """Ready for a URL."""
    text: str


def is_guid(text: str) -> bool:
    return _GUID.fullmatch(text) is not None


def parsed(text: str) -> ResourceId:
    """The resource that the ID means; InvalidArgument for what is none."""
    parts = text.split("/")
    if len(parts) < 3 or parts[0] or parts[1].lower() != "subscriptions" or len(parts) % 2 == 0:
        raise _no_id(text)
    if not is_guid(parts[2]):
        raise _no_id(text)
    group, kind, name = None, "Microsoft.Resources/subscriptions", parts[2]
    rest = parts[3:]
    if rest and rest[0].lower() == "resourcegroups":
        group, kind, name = _named(rest[1], text), "Microsoft.Resources/resourceGroups", rest[1]
        rest = rest[2:]
    while rest:
        if rest[0].lower() != "providers" or len(rest) < 4 or not _TYPE.fullmatch(rest[1]):
            raise _no_id(text)
        kind, rest = rest[1], rest[2:]
        while rest and rest[0].lower() != "providers":
            if len(rest) < 2 or not _TYPE.fullmatch(rest[0]):
                raise _no_id(text)
            kind, name, rest = f"{kind}/{rest[0]}", _named(rest[1], text), rest[2:]
    path = "/".join(quote(part, safe="") for part in parts)
    return ResourceId(parts[2].lower(), group, kind, name, path, text)


def group_id(subscription: str, group: str) -> str:
    return f"/subscriptions/{subscription}/resourceGroups/{group}"


def resource_id(subscription: str, group: str, kind: str, name: str) -> str:
    """The ID of a resource of that type (`Microsoft.Compute/virtualMachines`)."""
    return f"{group_id(subscription, group)}/providers/{kind}/{name}"


def path_of(text: str) -> str:
    """An ID that we put together ourselves, ready for a URL."""
    return quote(text, safe="/")


def same(one: str, other: str) -> bool:
    """Whether two IDs, names or types mean the same: Resource Manager does not tell case apart."""
    return one.casefold() == other.casefold()


def group_in(text: str) -> str | None:
    """The resource group that an ID speaks of, if any; for IDs that Azure gave."""
    parts = text.split("/")
    return parts[4] if len(parts) > 4 and parts[3].lower() == "resourcegroups" else None


def last_of(text: str) -> str:
    """The name at the end of an ID that Azure gave."""
    return text.rstrip("/").rsplit("/", 1)[-1]


def _named(text: str, whole: str) -> str:
    if not _NAME.fullmatch(text) or text in (".", ".."):
        raise _no_id(whole)
    return text


def _no_id(text: str) -> InvalidArgument:
    return InvalidArgument(
        f"{text[:200]!r} is no resource ID",
        hint="Pass `id` of a list tool unchanged: /subscriptions/<ID>/resourceGroups/...",
    )
