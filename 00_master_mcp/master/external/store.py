"""Changes made while the hub runs, kept in `servers.json` and laid over what `mcp.json` says."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from flotilla import Conflict, InvalidArgument, Misconfigured, NotFound
from master.external.config import ServerEntry, check_server_name, parse_entry
from master.external.statefile import read_state, write_state

Origin = Literal["file", "runtime"]


@dataclass(frozen=True, slots=True)
class Change:
    """What was said of one server at runtime; `disabled` None leaves that to its entry."""

    entry: ServerEntry | None = None
    removed: bool = False
    disabled: bool | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A server as it stands now, and whether its entry comes from the file or from a person."""

    entry: ServerEntry
    origin: Origin


def layered(
    from_file: Mapping[str, ServerEntry], changes: Mapping[str, Change]
) -> dict[str, Known]:
    """The file's servers with the changes laid over them, the file's order first.

    A change to a server that the file no longer has, and that brings no entry of its own, is void.
    """
    found: dict[str, Known] = {}
    for name in (*from_file, *(name for name in changes if name not in from_file)):
        change = changes.get(name, Change())
        entry = change.entry or from_file.get(name)
        if entry is None or (change.removed and change.entry is None):
            continue
        if change.disabled is not None:
            entry = entry.model_copy(update={"disabled": change.disabled})
        found[name] = Known(entry, "file" if change.entry is None else "runtime")
    return found


class ServerStore:
    """The external servers as they are now; each change is on disk before it is told.

    Its methods block for a small file; `services` are the names that the fleet itself uses.
    Raises Misconfigured when the file of changes is not what was written.
    """

    def __init__(
        self, path: Path, from_file: Mapping[str, ServerEntry], services: Collection[str] = ()
    ) -> None:
        self._path = path
        self._from_file = dict(from_file)
        self._services = services
        self._changes = _parsed(read_state(path), path, services)

    def servers(self) -> dict[str, Known]:
        return layered(self._from_file, self._changes)

    def get(self, name: str) -> Known:
        """The server of that name; NotFound when there is none."""
        known = self.servers().get(name)
        if known is None:
            raise NotFound(f"there is no external server {name!r}")
        return known

    def add(self, name: str, raw: Any) -> Known:
        """Add a server by its JSON entry; Conflict when the name is taken, InvalidArgument."""
        try:
            check_server_name(name, self._services)
            entry = parse_entry(name, raw)
        except Misconfigured as error:
            raise InvalidArgument(str(error)) from None
        if name in self.servers():
            raise Conflict(f"there is an external server {name!r} already", hint="Remove it first.")
        self._keep(name, Change(entry=entry))
        return self.get(name)

    def remove(self, name: str) -> None:
        """Forget a server, one of the file too; NotFound when there is none."""
        self.get(name)
        self._keep(name, Change(removed=True) if name in self._from_file else None)

    def set_disabled(self, name: str, disabled: bool) -> Known:
        """Enable or disable a server; NotFound when there is none."""
        self.get(name)
        old = self._changes.get(name, Change())
        self._keep(name, replace(old, disabled=disabled))
        return self.get(name)

    def _keep(self, name: str, change: Change | None) -> None:
        changes = {key: old for key, old in self._changes.items() if key != name}
        if change is not None:
            changes[name] = change
        write_state(
            self._path,
            {"version": 1, "servers": {key: _written(each) for key, each in changes.items()}},
        )
        self._changes = changes


def _written(change: Change) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if change.entry is not None:
        told["entry"] = change.entry.model_dump(mode="json", by_alias=True, exclude_unset=True)
        told["entry"]["type"] = change.entry.type
    if change.removed:
        told["removed"] = True
    if change.disabled is not None:
        told["disabled"] = change.disabled
    return told


def _parsed(state: Mapping[str, Any], path: Path, services: Collection[str]) -> dict[str, Change]:
    servers = state.get("servers", {})
    if not isinstance(servers, dict) or state.get("version", 1) != 1:
        raise Misconfigured(f"{path} is not ours; mend it, or delete it to start anew")
    found: dict[str, Change] = {}
    for name, raw in cast("dict[str, Any]", servers).items():
        if not isinstance(raw, dict):
            raise Misconfigured(f"{path}: servers.{name} is not a JSON object")
        told = cast("dict[str, Any]", raw)
        disabled = told.get("disabled")
        entry = None
        if "entry" in told:
            check_server_name(name, services)
            entry = parse_entry(name, told["entry"], str(path))
        found[name] = Change(
            entry=entry,
            removed=told.get("removed") is True,
            disabled=disabled if isinstance(disabled, bool) else None,
        )
    return found
