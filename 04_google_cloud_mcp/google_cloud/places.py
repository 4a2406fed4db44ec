"""Names, zones and addresses as Google writes them. Pure."""

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from flotilla import InvalidArgument

RESOURCE = r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?"
Zone = Annotated[
    str,
    Field(
        pattern=r"^[a-z]+(?:-[a-z0-9]+){1,4}$",
        max_length=63,
        description="A zone such as `europe-west1-b`.",
    ),
]
AnyZone = Annotated[
    str | None,
    Field(
        pattern=r"^[a-z]+(?:-[a-z0-9]+){1,4}$",
        max_length=63,
        description="A zone such as `europe-west1-b`; left out: all of them.",
    ),
]
FoundZone = Annotated[
    str | None,
    Field(
        pattern=r"^[a-z]+(?:-[a-z0-9]+){1,4}$",
        max_length=63,
        description="Its zone; left out: it is looked for in all zones.",
    ),
]
InstanceName = Annotated[
    str, Field(pattern=rf"^(?:{RESOURCE}|[0-9]{{1,20}})$", description="An instance's name or ID.")
]
DiskName = Annotated[
    str, Field(pattern=rf"^(?:{RESOURCE}|[0-9]{{1,20}})$", description="A disk's name or ID.")
]
NewName = Annotated[
    str,
    Field(
        pattern=rf"^{RESOURCE}$",
        description="A name of lower-case letters, digits and dashes, at most 63.",
    ),
]
Labels = Annotated[
    dict[
        Annotated[str, Field(pattern=r"^[^\WA-Z\d_][\w-]{0,62}$")],
        Annotated[str, Field(pattern=r"^[\w-]{0,63}$")],
    ],
    Field(max_length=64),
]

_OPERATION = re.compile(
    r"projects/(?P<project>(?:[a-z0-9.-]{1,60}:)?[a-z][a-z0-9-]{0,61}[a-z0-9])/"
    r"(?P<place>global|zones/[a-z0-9-]{1,63}|regions/[a-z0-9-]{1,63})/"
    r"operations/(?P<name>[A-Za-z0-9_-]{1,128})"
)


def last(url: str) -> str:
    """The last part of an address: the name of what it points at."""
    return url.rsplit("/", 1)[-1]


def relative(url: str) -> str:
    """An address from its project on: `projects/p/zones/z/instances/web-1`."""
    at = url.find("projects/")
    return url[at:] if at >= 0 else url


def operation_place(operation_id: str) -> tuple[str, str, str]:
    """Project, place (`global`, `zones/<zone>`, `regions/<region>`) and name of an operation's ID.

    Raises InvalidArgument for anything else.
    """
    found = _OPERATION.fullmatch(operation_id)
    if found is None:
        raise InvalidArgument(
            "operationId is not one that a tool of this service gave out",
            hint="It is like projects/<project>/zones/<zone>/operations/<name>.",
        )
    return found["project"], found["place"], found["name"]


def moment(text: str) -> datetime | None:
    """A time of Google's in UTC; None for none."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if text else None
    except ValueError:
        return None


def quoted(value: str) -> str:
    """A value in a filter of Google's, where nothing in it can end it."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
