"""What the whole fleet offers: who has which tool, prompt and resource, and how a client sees them.

Pure: the links put in what the servers list, the transports read it out.
"""

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from flotilla import NotFound, meta
from flotilla.json_text import to_json
from flotilla.names import EXTERNAL, MAX_NAME_LENGTH, namespace_of, safe_name
from master.entry import Entry as Entry
from master.entry import Origin as Origin
from master.entry import View as View
from master.external.names import canonical_name, safe_names
from master.offer import CAPABILITIES, KINDS, NOTHING, Kind, Offer
from master.profiles import DEFAULT, FINDERS, SEARCH, Profile, Profiles
from master.result import OURS
from master.selection import Selection, selection, takes
from master.sight import EVERYTHING, Sight
from master.uris import PREFIX, likeness, prefixed, unprefixed

MAX_LISTINGS = 512
_KEY: Mapping[Kind, str] = {
    "tools": "name",
    "prompts": "name",
    "resources": "uri",
    "resourceTemplates": "uriTemplate",
}


@dataclass(frozen=True, slots=True)
class _Shelf:
    """What one service offers now."""

    origin: Origin
    offer: Offer = NOTHING
    entries: Mapping[Kind, tuple[Entry, ...]] = field(default_factory=dict[Kind, tuple[Entry, ...]])
    stale: bool = False

    def of(self, kind: Kind) -> tuple[Entry, ...]:
        return self.entries.get(kind, ())


_EMPTY = _Shelf(Origin())


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something that a service listed and the catalogue does not take, and why."""

    kind: Kind
    name: str
    reason: str


class Catalogue:
    """The offers of the services, in a fixed order, so that each list stays the same."""

    def __init__(self, origins: Mapping[str, Origin], profiles: Profiles | None = None) -> None:
        """`origins`: in the order in which services are listed; external ones follow by name."""
        self.profiles = profiles or Profiles.built_in()
        self._shelves = {service: _Shelf(origin) for service, origin in origins.items()}
        self._of_profile: dict[str, Selection] = {}
        self._of_service: dict[str, Selection] = {}
        self._listings: dict[tuple[Kind, View, Hashable], list[dict[str, Any]]] = {}

    def __contains__(self, service: object) -> bool:
        return service in self._shelves

    def __iter__(self) -> Iterator[str]:
        return iter(self._shelves)

    def __len__(self) -> int:
        return len(self._shelves)

    def add(self, service: str, origin: Origin) -> None:
        """One more service, which offers nothing yet."""
        shelves = {service: _Shelf(origin), **self._shelves}
        own = {name: each for name, each in self._shelves.items() if not each.origin.external}
        # By name, not by arrival: a list must not change because the hub was started anew.
        self._shelves = own | {name: shelves[name] for name in sorted(shelves.keys() - own.keys())}
        self._forget_what_was_made()

    def remove(self, service: str) -> frozenset[Kind]:
        """The service and all that it offered are gone; which lists are others now."""
        shelf = self._shelves.pop(service)
        self._forget_what_was_made()
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
            self._forget_what_was_made()
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
        self._forget_what_was_made()
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

    def everything(self, kind: Kind = "tools") -> Iterator[Entry]:
        """All that any service offers, whatever profiles leave out."""
        for shelf in self._shelves.values():
            yield from shelf.of(kind)

    def all_of(self, service: str) -> Iterator[Entry]:
        """Whatever one service offers; nothing where it has just gone."""
        shelf = self._shelves.get(service, _EMPTY)
        for kind in KINDS:
            yield from shelf.of(kind)

    def offered(self, service: str) -> Offer:
        return self._shelves[service].offer

    def not_configured(self, service: str) -> str | None:
        """What to set before the service's tools can work, as the service says it."""
        missing = (entry.missing_settings for entry in self._shelves[service].of("tools"))
        return next(filter(None, missing), None)

    def find(self, name: str, view: View, kind: Kind = "tools", sight: Sight = EVERYTHING) -> Entry:
        """The tool or prompt of that name in this view; NotFound names the nearest in sight.

        It answers to its canonical and its safe name, and where one server alone is shown also to
        the name that this server gave it.
        """
        entry = self.known(name, view, kind)
        if entry is not None:
            return entry
        entries = self._selected(view).entries[kind]
        known = [each.shown_name(view) for each in filter(sight.sees, entries)]
        near = get_close_matches(name[:MAX_NAME_LENGTH], known, n=3, cutoff=0.7)
        hint = f"{kind}/list names them all."
        if near:
            hint = f"Did you mean {', '.join(near)}?"
        elif kind == "tools" and view.service is None and self._profile(view).mode == "search":
            hint = f"{SEARCH if view.naming == 'dotted' else safe_name(SEARCH)} finds tools."
        where = "" if view.service or view.profile == DEFAULT else f" in profile {view.profile!r}"
        raise NotFound(f"there is no {kind.removesuffix('s')} {name[:100]!r}{where}", hint=hint)

    def known(self, name: str, view: View, kind: Kind = "tools") -> Entry | None:
        """The tool or prompt that `find` finds, if there is one."""
        return self._selected(view).by_name[kind].get(name)

    def tools(self, view: View) -> tuple[Entry, ...]:
        """The tools of a view that can work, listed or not; the same object until one changes."""
        return self._selected(view).tools

    def find_uri(self, uri: str, view: View) -> Entry:
        """Whose resource a URI is; NotFound when that cannot be told.

        A server's own list decides, then its templates. `flotilla://servers/<server>/<uri>` names
        the server itself.
        """
        selected = self._selected(view)
        if uri.startswith(PREFIX):
            service, given = unprefixed(uri)
            if service in selected.services:
                return self._resource(service, given)
        elif view.service is not None:
            return self._resource(view.service, uri)
        elif (entry := selected.by_uri.get(uri)) is not None:
            return entry
        else:
            alike = [
                (likeness(entry.given, uri), entry.service)
                for entry in selected.entries["resourceTemplates"]
            ]
            nearest, service = max(alike, key=lambda each: each[0], default=(-1, ""))
            if nearest >= 0:
                return self._resource(service, uri)
        hint = f"resources/list names them; {PREFIX}<server>/<uri> asks one server."
        raise NotFound(f"no server has the resource {uri[:200]!r}", hint=hint)

    def sees(self, view: View, service: str) -> bool:
        """Whether a view may show anything of a service, there or just gone: names decide."""
        if view.service is not None:
            return view.service == service
        return any(map(self._profile(view).may_take, self._spaces(service)))

    def touched(self, view: View, service: str, kinds: Collection[Kind]) -> list[str]:
        """Whose lists in a view are others when these of a service are: `prompts`, `tools`."""
        if not self.sees(view, service):
            return []
        touched = {CAPABILITIES[kind] for kind in kinds}
        if view.service is None and not any(
            map(self._profile(view).may_list, self._spaces(service))
        ):
            touched.discard("tools")
        return sorted(touched)

    def listing(
        self, view: View, kind: Kind = "tools", sight: Sight = EVERYTHING
    ) -> list[dict[str, Any]]:
        """What a list shows in this view; the same object until something changes."""
        key = (kind, view, sight.key)
        found = self._listings.get(key)
        if found is None:
            if len(self._listings) >= MAX_LISTINGS:
                self._listings.clear()
            seen = filter(sight.sees, self._listed(view, kind))
            found = self._listings[key] = [self._shown(entry, view) for entry in seen]
        return found

    def ttl_ms(self, view: View, at_most: int) -> int:
        """How long a client may keep a list of this view: the least that any server says."""
        services = self._selected(view).services
        said = (self._shelves[service].offer.ttl_ms for service in services)
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
                "name": entry.shown_name(view),
                "_meta": {**marks, meta.NAME: entry.name},
            }
        shown = {**entry.listed, _KEY[entry.kind]: self._shown_uri(entry, view)}
        return {**shown, "_meta": marks} if marks else shown

    def _shown_uri(self, entry: Entry, view: View) -> str:
        if view.service is not None or entry.kind == "resourceTemplates":
            return entry.given
        owner = self._selected(view).by_uri.get(entry.given)
        first = owner is not None and owner.service == entry.service
        return entry.given if first else prefixed(entry.service, entry.given)

    def _spaces(self, service: str) -> list[str]:
        """How the canonical names of a service's tools begin; only external ones are ever gone."""
        shelf = self._shelves.get(service)
        if shelf is None or shelf.origin.external:
            return [f"{EXTERNAL}.{service}."]
        return [f"{namespace}." for namespace in shelf.origin.namespaces]

    def _listed(self, view: View, kind: Kind) -> Iterable[Entry]:
        selected = self._selected(view)
        if view.service is not None:
            return selected.entries[kind]
        if kind != "tools":
            return [each for each in selected.entries[kind] if each.missing_settings is None]
        return self._profile(view).arranged({tool.name: tool for tool in selected.tools})

    def _profile(self, view: View) -> Profile:
        return self.profiles[view.profile]

    def _selected(self, view: View) -> Selection:
        if view.service is None:
            found = self._of_profile.get(view.profile)
            if found is None:
                found = self._of_profile[view.profile] = self._of(self._profile(view))
            return found
        found = self._of_service.get(view.service)
        if found is None:
            found = self._of_service[view.service] = self._whole(view.service)
        return found

    def _of(self, profile: Profile) -> Selection:
        """What a profile takes. Prompts and resources come with the tools of their service."""
        tools = {
            service: tuple(tool for tool in shelf.of("tools") if takes(profile, tool))
            for service, shelf in self._shelves.items()
        }
        services = {
            service: shelf
            for service, shelf in self._shelves.items()
            if any(tool.name not in FINDERS for tool in tools[service])
            or (not shelf.of("tools") and any(map(profile.takes, self._spaces(service))))
        }
        entries: dict[Kind, tuple[Entry, ...]] = {
            kind: tuple(entry for shelf in services.values() for entry in shelf.of(kind))
            for kind in KINDS
        }
        entries["tools"] = tuple(tool for each in tools.values() for tool in each)
        able = tuple(tool for tool in entries["tools"] if tool.missing_settings is None)
        return selection(frozenset(services), entries, able)

    def _whole(self, service: str) -> Selection:
        shelf = self._shelves.get(service, _EMPTY)  # a client may outlive the server it looks at
        entries: dict[Kind, tuple[Entry, ...]] = {kind: shelf.of(kind) for kind in KINDS}
        services = frozenset((service,)) & self._shelves.keys()
        return selection(services, entries, shelf.of("tools"), given=True)

    def _forget_what_was_made(self) -> None:
        """Make it again, when it is asked for, from what is offered now."""
        self._of_profile.clear()
        self._of_service.clear()
        self._listings.clear()

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
