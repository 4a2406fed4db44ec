"""Changes made while hubs run, kept in a document and laid over what `mcp.json` says."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, cast

from flotilla import Conflict, InvalidArgument, Misconfigured, NotFound
from master.documents.kept import Kept
from master.documents.seam import Documents
from master.external.config import ServerEntry, check_server_name, parse_entry
from master.state.seam import News

Origin = Literal["file", "runtime"]
DOCUMENT = "servers"
TOPIC = "servers"


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


Changes = Mapping[str, Change]


class ServerStore:
    """The external servers as they are now; each change is kept before it is told.

    `services` are the names that the fleet itself uses. Until the document was read once, and while
    it cannot be, the servers are those that are known; every change then raises Unavailable. Raises
    Misconfigured when the document is not what was written.
    """

    def __init__(
        self,
        documents: Documents,
        from_file: Mapping[str, ServerEntry],
        services: Collection[str] = (),
        news: News | None = None,
    ) -> None:
        self._from_file = dict(from_file)
        self._services = services
        where = documents.where(DOCUMENT)
        self._kept: Kept[Changes] = Kept(
            documents,
            DOCUMENT,
            read=partial(_parsed, where=where, services=services),
            write=_document,
            news=news,
            topic=TOPIC,
        )

    async def refresh(self) -> None:
        """Read what other hubs changed; Unavailable or Misconfigured leaves what is known."""
        await self._kept.refresh()

    def servers(self) -> dict[str, Known]:
        return layered(self._from_file, self._kept.value)

    def get(self, name: str) -> Known:
        """The server of that name; NotFound when there is none."""
        return self._named(name, self._kept.value)

    async def add(self, name: str, raw: Any) -> Known:
        """Add a server by its JSON entry; Conflict when the name is taken, InvalidArgument."""
        try:
            check_server_name(name, self._services)
            entry = parse_entry(name, raw)
        except Misconfigured as error:
            raise InvalidArgument(str(error)) from None

        def added(changes: Changes) -> Changes:
            if name in layered(self._from_file, changes):
                told = f"there is an external server {name!r} already"
                raise Conflict(told, hint="Remove it first.")
            return _but_for(name, changes, Change(entry=entry))

        return self._named(name, await self._kept.change(added))

    async def remove(self, name: str) -> None:
        """Forget a server, one of the file too; NotFound when there is none."""

        def removed(changes: Changes) -> Changes:
            self._named(name, changes)
            void = Change(removed=True) if name in self._from_file else None
            return _but_for(name, changes, void)

        await self._kept.change(removed)

    async def set_disabled(self, name: str, disabled: bool) -> Known:
        """Enable or disable a server; NotFound when there is none."""

        def switched(changes: Changes) -> Changes:
            self._named(name, changes)
            old = changes.get(name, Change())
            if old.disabled == disabled:
                return changes
            return _but_for(name, changes, replace(old, disabled=disabled))

        return self._named(name, await self._kept.change(switched))

    def _named(self, name: str, changes: Changes) -> Known:
        known = layered(self._from_file, changes).get(name)
        if known is None:
            raise NotFound(f"there is no external server {name!r}")
        return known


def _but_for(name: str, changes: Changes, change: Change | None) -> Changes:
    """The changes with another one for that server, or with none."""
    others = {key: old for key, old in changes.items() if key != name}
    return others if change is None else {**others, name: change}


def _document(changes: Changes) -> dict[str, Any]:
    return {"version": 1, "servers": {name: _written(each) for name, each in changes.items()}}


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


def _parsed(state: Mapping[str, Any], where: str, services: Collection[str]) -> Changes:
    servers = state.get("servers", {})
    if not isinstance(servers, dict) or state.get("version", 1) != 1:
        raise Misconfigured(f"{where} is not ours; mend it, or delete it to start anew")
    found: dict[str, Change] = {}
    for name, raw in cast("dict[str, Any]", servers).items():
        if not isinstance(raw, dict):
            raise Misconfigured(f"{where}: servers.{name} is not a JSON object")
        told = cast("dict[str, Any]", raw)
        disabled = told.get("disabled")
        entry = None
        if "entry" in told:
            check_server_name(name, services)
            entry = parse_entry(name, told["entry"], where)
        found[name] = Change(
            entry=entry,
            removed=told.get("removed") is True,
            disabled=disabled if isinstance(disabled, bool) else None,
        )
    return found
