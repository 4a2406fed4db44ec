"""The names of tools: `category.subcategory.action`, and the safe form that every client accepts.

Several model APIs and clients take only `^[a-zA-Z0-9_-]{1,64}$` and drop a whole server over one
name that does not fit, so each tool also has a safe name with the dots replaced by underscores.
"""

import re
from collections.abc import Iterable

MAX_NAME_LENGTH = 64
HUB_NAMESPACE = "master"
EXTERNAL = "ext"
"""The category of other people's servers, `ext.<server>.<tool>`: no service of ours may use it."""

_SPOKE_TOOL = re.compile(r"[a-z][a-z0-9]*\.[a-z][a-z0-9]*\.[a-z][a-zA-Z0-9]*")
_HUB_TOOL = re.compile(r"master(\.[a-z][a-zA-Z0-9]*){1,2}")
_NAMESPACE = re.compile(r"[a-z][a-z0-9]*\.[a-z][a-z0-9]*")
_SERVICE_FOLDER = re.compile(r"(?P<number>\d\d)_(?P<name>[a-z][a-z0-9_]*)_mcp")


class BadName(ValueError):
    """A name that breaks the rules of this module; the message says which and how."""


def check_tool_name(name: str) -> str:
    """Return `name` if it is a canonical tool name of at most 64 characters, else raise BadName."""
    if len(name) > MAX_NAME_LENGTH:
        raise BadName(f"tool name {name!r} has {len(name)} characters; {MAX_NAME_LENGTH} fit")
    if not (_SPOKE_TOOL.fullmatch(name) or _HUB_TOOL.fullmatch(name)):
        raise BadName(
            f"tool name {name!r} is not category.subcategory.action "
            "(lower case, the action in camelCase) nor master.<action>"
        )
    return name


def check_namespace(namespace: str) -> str:
    """Return `namespace` if it is `category.subcategory` or `master`, else raise BadName."""
    if namespace != HUB_NAMESPACE and not _NAMESPACE.fullmatch(namespace):
        raise BadName(f"namespace {namespace!r} is not category.subcategory")
    if namespace.partition(".")[0] == EXTERNAL:
        raise BadName(f"namespace {namespace!r}: {EXTERNAL} is for external servers alone")
    return namespace


def namespace_of(name: str) -> str:
    """The namespace of a canonical name: its first two parts, or `master` for the hub's own."""
    first, _, rest = name.partition(".")
    return HUB_NAMESPACE if first == HUB_NAMESPACE else f"{first}.{rest.partition('.')[0]}"


def safe_name(name: str) -> str:
    """Dots become underscores: `os.linux.runCommand` -> `os_linux_runCommand`."""
    return name.replace(".", "_")


def check_distinct(names: Iterable[str]) -> None:
    """Raise BadName when two canonical names are equal or have the same safe name."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(safe_name(name), name)
        if other is not name:
            what = "is declared twice" if other == name else f"and {other!r} share a safe name"
            raise BadName(f"tool name {name!r} {what}")


def service_of_folder(folder: str) -> tuple[int, str]:
    """`01_linux_cli_mcp` -> `(1, "linux_cli")`; BadName when the folder is not a service's."""
    match = _SERVICE_FOLDER.fullmatch(folder)
    if match is None:
        raise BadName(f"folder {folder!r} is not NN_<name>_mcp")
    return int(match["number"]), match["name"]
