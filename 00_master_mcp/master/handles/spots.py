"""Which arguments of a call are secrets, as the tool's own service declares them. Pure."""

from collections.abc import Mapping
from typing import Any, cast

from flotilla import InvalidArgument
from flotilla.secret_places import Path, SecretWalk
from flotilla.secret_text import HANDLE
from master.entry import Entry

HIDDEN = "(secret)"


def secret_places(entry: Entry, arguments: Mapping[str, Any]) -> frozenset[Path]:
    """The places of these arguments that the tool declares secret, filled in by whatever.

    None of an external server's: what it says of its tools counts for nothing.
    """
    if not entry.takes_secrets:
        return frozenset()
    return frozenset(SecretWalk(entry.listed.get("inputSchema")).places(arguments))


def revealing_places(entry: Entry, arguments: Mapping[str, Any]) -> frozenset[Path]:
    """The places where a handle may give way to its value; the same but in doubt.

    InvalidArgument where the arguments are too many to tell.
    """
    if not entry.takes_secrets:
        return frozenset()
    walk = SecretWalk(entry.listed.get("inputSchema"))
    found = frozenset(walk.places(arguments))
    if walk.gave_up:
        raise InvalidArgument(
            "the arguments are too many to find the secrets among them", hint="Send fewer at once."
        )
    return found


def without_secrets(entry: Entry, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments as anybody may read them: handles stay, other secrets are `(secret)`."""
    places = secret_places(entry, arguments)
    return _masked(arguments, (), places) if places else arguments


def is_handle(value: object) -> bool:
    return isinstance(value, str) and value.startswith(HANDLE)


def _masked(value: Any, at: Path, places: frozenset[Path]) -> Any:
    if at in places:
        return value if is_handle(value) else HIDDEN
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        return {name: _masked(each, (*at, name), places) for name, each in members.items()}
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [_masked(each, (*at, index), places) for index, each in enumerate(items)]
    return value
