"""What the whole fleet offers: who has which tool, prompt and resource, and how a client sees them.

Pure: the links put in what the servers list, the transports read it out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal

from flotilla import NotFound, meta
from flotilla.json_text import to_json
from flotilla.names import MAX_NAME_LENGTH, namespace_of, safe_name
from master.external.names import canonical_name, safe_names
from master.offer import KINDS, NOTHING, Kind, Listed, Offer
from master.result import OURS
from master.uris import PREFIX, likeness, prefixed, unprefixed

Naming = Literal["safe", "dotted"]
Approval = Literal["always", "destructive", "never"]

_KEY: Mapping[Kind, str] = {
    "tools": "name",
    "prompts": "name",
    "resources": "uri",
    "resourceTemplates": "uriTemplate",
}


@dataclass(frozen=True, slots=True)
class View:
    """What one URL shows: all services or one alone, under safe or under canonical names."""

    naming: Naming = "safe"
    service: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose offers these are, and so how they are named and how far they are trusted."""

    namespaces: frozenset[str] = frozenset()
    external: bool = False
    """Somebody else's server: its names stand below `ext.<server>`, its marks count for nothing."""
    approval: Approval = "destructive"
    """Of an external server: which of its tools wait for a person."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tool, prompt, resource or template of one service.

    `name` is the canonical name (of a resource its URI), `given` what its server calls it, `listed`
    its form in the server's list.
    """

    name: str
    service: str
    listed: Listed
    kind: Kind = "tools"
    given: str = ""
    safe: str = ""
    origin: Origin = Origin()
    declares_headers: bool = False
    """Its input schema has members that a client repeats in `Mcp-Param-*` headers."""

    @property
    def upstream_name(self) -> str:
        return self.given or self.name

    @property
    def needs_approval(self) -> bool:
        if self.kind != "tools":
            return False
        if not self.origin.external:
            return self._marks.get(meta.APPROVAL) == "required"
        if self.origin.approval != "destructive":
            return self.origin.approval == "always"
        return meta.members(self.listed.get("annotations")).get("destructiveHint") is True

    @property
    def is_long(self) -> bool:
        return self._marks.get(meta.LONG) is True

    @property
    def missing_settings(self) -> str | None:
        """What to set before it can work, None where nothing is missing."""
        missing = self._marks.get(meta.NOT_CONFIGURED)
        return None if missing is None else str(missing)

    @property
    def _marks(self) -> Mapping[str, Any]:
        return {} if self.origin.external else meta.marks_of(self.listed)


@dataclass(frozen=True, slots=True)
class _Shelf:
    """What one service offers now."""

    origin: Origin
    offer: Offer = NOTHING
    entries: Mapping[Kind, tuple[Entry, ...]] = field(default_factory=dict[Kind, tuple[Entry, ...]])
    stale: bool = False

    def of(self, kind: Kind) -> tuple[Entry, ...]:
        return self.entries.get(kind, ())


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something that a service listed and the catalogue does not take, and why."""

    kind: Kind
    name: str
    reason: str


class Catalogue:
    """The offers of the services, in a fixed order, so that each list stays the same."""

    def __init__(self, origins: Mapping[str, Origin]) -> None:
        """`origins`: in the order in which services are listed."""
        self._shelves = {service: _Shelf(origin) for service, origin in origins.items()}
        self._by_name: dict[Kind, dict[str, Entry]] = {"tools": {}, "prompts": {}}
        self._by_uri: dict[str, Entry] = {}
        self._listings: dict[tuple[Kind, View], list[dict[str, Any]]] = {}

    def __contains__(self, service: object) -> bool:
        return service in self._shelves

    def __iter__(self) -> Iterator[str]:
        return iter(self._shelves)

    def __len__(self) -> int:
        return len(self._shelves)

    def add(self, service: str, origin: Origin) -> None:
        """One more service, which offers nothing yet."""
        self._shelves.setdefault(service, _Shelf(origin))

    def remove(self, service: str) -> frozenset[Kind]:
        """The service and all that it offered are gone; which lists are others now."""
        shelf = self._shelves.pop(service)
        self._rebuild()
        return frozenset(kind for kind in KINDS if shelf.of(kind))

    def offer(self, service: str, offer: Offer) -> tuple[frozenset[Kind], list[Dropped]]:
        """Take what a service offers now: which lists have changed, and what was not taken."""
        before = self._shelves[service]
        dropped: list[Dropped] = []
        entries: dict[Kind, tuple[Entry, ...]] = {
            kind: self._entries(service, kind, offer, dropped) for kind in KINDS
        }
        self._shelves[service] = _Shelf(before.origin, offer, entries)
        changed: frozenset[Kind] = frozenset(
            kind
            for kind in KINDS
            if before.of(kind) != entries[kind] or (before.stale and entries[kind])
        )
        if changed:
            self._rebuild()
        return changed, dropped

    def mark_stale(self, service: str) -> frozenset[Kind]:
        """The service is away: its offers stay listed, marked; which lists that changes."""
        shelf = self._shelves.get(service)
        if shelf is None or shelf.stale or not any(shelf.entries.values()):
            return frozenset()
        self._shelves[service] = _Shelf(shelf.origin, shelf.offer, shelf.entries, stale=True)
        self._listings.clear()
        return frozenset(kind for kind in KINDS if shelf.of(kind))

    def forget(self, service: str) -> frozenset[Kind]:
        """The service was away for too long: what it offered is listed no more."""
        shelf = self._shelves.get(service)
        if shelf is None or not shelf.stale:
            return frozenset()
        self._shelves[service] = _Shelf(shelf.origin)
        self._rebuild()
        return frozenset(kind for kind in KINDS if shelf.of(kind))

    def count(self, service: str) -> int:
        """How many tools it offers."""
        return len(self._shelves[service].of("tools"))

    def tools_but_of(self, service: str) -> frozenset[str]:
        """The names that the other services give their tools."""
        return frozenset(
            entry.given
            for name, shelf in self._shelves.items()
            if name != service
            for entry in shelf.of("tools")
        )

    def offered(self, service: str) -> Offer:
        return self._shelves[service].offer

    def not_configured(self, service: str) -> str | None:
        """What to set before the service's tools can work, as the service says it."""
        missing = (entry.missing_settings for entry in self._shelves[service].of("tools"))
        return next(filter(None, missing), None)

    def find(self, name: str, view: View, kind: Kind = "tools") -> Entry:
        """The tool or prompt of that name in this view; NotFound names the nearest.

        It answers to its canonical and its safe name, and where one server alone is shown also to
        the name that this server gave it.
        """
        entry = self.known(name, view, kind)
        if entry is not None:
            return entry
        known = [_shown_name(each, view) for each in self._in_view(view, kind)]
        near = get_close_matches(name[:MAX_NAME_LENGTH], known, n=3, cutoff=0.7)
        hint = f"Did you mean {', '.join(near)}?" if near else f"{kind}/list names them all."
        raise NotFound(f"there is no {kind.removesuffix('s')} {name[:100]!r}", hint=hint)

    def known(self, name: str, view: View, kind: Kind = "tools") -> Entry | None:
        """The tool or prompt that `find` finds, if there is one."""
        entry = self._by_name[kind].get(name)
        if entry is not None and view.service in (None, entry.service):
            return entry
        if view.service is None:
            return None
        given = (each for each in self._shelves[view.service].of(kind) if each.given == name)
        return next(given, None)

    def find_uri(self, uri: str, view: View) -> Entry:
        """Whose resource a URI is; NotFound when that cannot be told.

        A server's own list decides, then its templates. `flotilla://servers/<server>/<uri>` names
        the server itself.
        """
        if uri.startswith(PREFIX):
            service, given = unprefixed(uri)
            if service in self._shelves and view.service in (None, service):
                return self._resource(service, given)
        elif view.service is not None:
            return self._resource(view.service, uri)
        elif (entry := self._by_uri.get(uri)) is not None:
            return entry
        else:
            alike = [
                (likeness(entry.given, uri), entry.service)
                for entry in self._in_view(view, "resourceTemplates")
            ]
            nearest, service = max(alike, key=lambda each: each[0], default=(-1, ""))
            if nearest >= 0:
                return self._resource(service, uri)
        hint = f"resources/list names them; {PREFIX}<server>/<uri> asks one server."
        raise NotFound(f"no server has the resource {uri[:200]!r}", hint=hint)

    def listing(self, view: View, kind: Kind = "tools") -> list[dict[str, Any]]:
        """What a list shows in this view; the same object until something changes."""
        found = self._listings.get((kind, view))
        if found is None:
            found = [
                self._shown(entry, view)
                for entry in self._in_view(view, kind)
                if entry.missing_settings is None or view.service is not None
            ]
            self._listings[(kind, view)] = found
        return found

    def ttl_ms(self, view: View, at_most: int) -> int:
        """How long a client may keep a list of this view: the least that any server says."""
        said = (shelf.offer.ttl_ms for shelf in self._shelves_of(view))
        return min((at_most, *(each for each in said if each is not None)))

    def _resource(self, service: str, uri: str) -> Entry:
        return Entry(uri, service, {}, "resources", uri, origin=self._shelves[service].origin)

    def _shown(self, entry: Entry, view: View) -> dict[str, Any]:
        marks: dict[str, Any] = dict(meta.marks_of(entry.listed))
        if entry.origin.external:
            marks = {key: value for key, value in marks.items() if not key.startswith(OURS)}
        if self._shelves[entry.service].stale:
            marks[meta.STALE] = True
        if entry.kind in ("tools", "prompts"):
            return {
                **entry.listed,
                "name": _shown_name(entry, view),
                "_meta": {**marks, meta.NAME: entry.name},
            }
        shown = {**entry.listed, _KEY[entry.kind]: self._shown_uri(entry, view)}
        return {**shown, "_meta": marks} if marks else shown

    def _shown_uri(self, entry: Entry, view: View) -> str:
        if view.service is not None or entry.kind == "resourceTemplates":
            return entry.given
        owner = self._by_uri.get(entry.given)
        first = owner is not None and owner.service == entry.service
        return entry.given if first else prefixed(entry.service, entry.given)

    def _shelves_of(self, view: View) -> Iterable[_Shelf]:
        services = self._shelves if view.service is None else (view.service,)
        return (self._shelves[service] for service in services)

    def _in_view(self, view: View, kind: Kind) -> Iterable[Entry]:
        return (entry for shelf in self._shelves_of(view) for entry in shelf.of(kind))

    def _entries(
        self, service: str, kind: Kind, offer: Offer, dropped: list[Dropped]
    ) -> tuple[Entry, ...]:
        listed = [(str(each.get(_KEY[kind], "")), each) for each in offer.of(kind)]
        origin = self._shelves[service].origin
        named = kind in ("tools", "prompts")
        outside = safe_names(service, [given for given, _ in listed]) if origin.external else {}
        taken: set[str] = set()
        entries: list[Entry] = []
        for given, each in listed:
            canonical, safe = given, given
            if named and origin.external:
                canonical, safe = canonical_name(service, given), outside[given]
            elif named:
                safe = safe_name(given)
            reason = _objection(given, safe, origin, taken, named=named)
            if reason is not None:
                dropped.append(Dropped(kind, given[:100], reason))
                continue
            taken.add(safe)
            repeats = kind == "tools" and b"x-mcp-header" in to_json(each.get("inputSchema"))
            entries.append(Entry(canonical, service, each, kind, given, safe, origin, repeats))
        return tuple(entries)

    def _rebuild(self) -> None:
        named: tuple[Kind, ...] = ("tools", "prompts")
        self._by_name = {
            kind: {
                name: entry
                for shelf in self._shelves.values()
                for entry in shelf.of(kind)
                for name in (entry.safe, entry.name)
            }
            for kind in named
        }
        self._by_uri = {}
        for shelf in self._shelves.values():
            for entry in shelf.of("resources"):
                self._by_uri.setdefault(entry.given, entry)
        self._listings.clear()


def _shown_name(entry: Entry, view: View) -> str:
    if view.naming == "safe":
        return entry.safe
    if view.service is not None and entry.origin.external:
        return entry.given
    return entry.name


def _objection(
    given: str, safe: str, origin: Origin, taken: set[str], *, named: bool
) -> str | None:
    if not given:
        return "it has no name"
    if safe in taken:
        return "another one has the same safe name" if named else "it is listed twice"
    if origin.external or not named:
        return None
    if len(given) > MAX_NAME_LENGTH:
        return f"the name has over {MAX_NAME_LENGTH} characters"
    if namespace_of(given) not in origin.namespaces:
        return "the namespace is not the service's"
    return None
