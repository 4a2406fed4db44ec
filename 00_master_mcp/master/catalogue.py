"""The tools of the whole fleet: who offers what, under which names, and how a client sees them.

Pure: the links put in what the services list, the transports read it out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal

from flotilla import NotFound, meta
from flotilla.json_text import to_json
from flotilla.names import MAX_NAME_LENGTH, namespace_of, safe_name

Naming = Literal["safe", "dotted"]


@dataclass(frozen=True, slots=True)
class View:
    """What one URL shows: all services or one alone, under safe or under canonical names."""

    naming: Naming = "safe"
    service: str | None = None

    def shown_name(self, canonical: str) -> str:
        return safe_name(canonical) if self.naming == "safe" else canonical


@dataclass(frozen=True, slots=True)
class Entry:
    """One tool of one service; `listed` is its form in `tools/list`, under its canonical name."""

    name: str
    service: str
    listed: Mapping[str, Any]
    declares_headers: bool = False
    """Its input schema has members that a client repeats in `Mcp-Param-*` headers."""

    @property
    def needs_approval(self) -> bool:
        return self._marks.get(meta.APPROVAL) == "required"

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
        return meta.marks_of(self.listed)


@dataclass(frozen=True, slots=True)
class _Offer:
    entries: tuple[Entry, ...] = ()
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Dropped:
    """A tool that a service listed and the catalogue does not take, and why."""

    name: str
    reason: str


class Catalogue:
    """The offers of the services, in a fixed order, so that the list of tools stays the same."""

    def __init__(self, namespaces: Mapping[str, Sequence[str]]) -> None:
        """`namespaces`: each service's own, in the order in which services are listed."""
        self._namespaces = {service: frozenset(own) for service, own in namespaces.items()}
        self._offers = {service: _Offer() for service in namespaces}
        self._by_safe_name: dict[str, Entry] = {}
        self._listings: dict[View, list[dict[str, Any]]] = {}

    def offer(self, service: str, tools: Iterable[Mapping[str, Any]]) -> tuple[bool, list[Dropped]]:
        """Take what a service lists now: whether anything changed, and what was not taken."""
        entries: list[Entry] = []
        dropped: list[Dropped] = []
        taken: set[str] = set()
        for listed in tools:
            name = str(listed.get("name", ""))
            reason = self._objection(service, name, taken)
            if reason is None:
                taken.add(safe_name(name))
                repeats = b"x-mcp-header" in to_json(listed.get("inputSchema"))
                entries.append(Entry(name, service, listed, repeats))
            else:
                dropped.append(Dropped(name[:100], reason))
        before = self._offers[service]
        self._offers[service] = _Offer(tuple(entries))
        changed = before.entries != tuple(entries) or before.stale
        if changed:
            self._rebuild()
        return changed, dropped

    def mark_stale(self, service: str) -> bool:
        """The service is away: its tools stay listed, marked; whether that is news."""
        offer = self._offers[service]
        if offer.stale or not offer.entries:
            return False
        self._offers[service] = replace(offer, stale=True)
        self._listings.clear()
        return True

    def count(self, service: str) -> int:
        return len(self._offers[service].entries)

    def not_configured(self, service: str) -> str | None:
        """What to set before the service's tools can work, as the service says it."""
        missing = (entry.missing_settings for entry in self._offers[service].entries)
        return next(filter(None, missing), None)

    def find(self, name: str, view: View) -> Entry:
        """The tool of that canonical or safe name in this view; NotFound names the nearest."""
        entry = self._by_safe_name.get(safe_name(name))
        if entry is not None and view.service in (None, entry.service):
            return entry
        known = [view.shown_name(each.name) for each in self._in_view(view)]
        near = get_close_matches(name[:MAX_NAME_LENGTH], known, n=3, cutoff=0.7)
        hint = f"Did you mean {', '.join(near)}?" if near else "tools/list names them all."
        raise NotFound(f"there is no tool {name[:100]!r}", hint=hint)

    def find_safe(self, name: str) -> Entry | None:
        """The tool of that canonical or safe name in the whole fleet, if there is one."""
        return self._by_safe_name.get(safe_name(name))

    def listing(self, view: View) -> list[dict[str, Any]]:
        """What `tools/list` shows in this view; the same object until something changes."""
        if view not in self._listings:
            self._listings[view] = [
                self._shown(entry, view)
                for entry in self._in_view(view)
                if entry.missing_settings is None or view.service is not None
            ]
        return self._listings[view]

    def _shown(self, entry: Entry, view: View) -> dict[str, Any]:
        marks: dict[str, Any] = {**meta.marks_of(entry.listed), meta.NAME: entry.name}
        if self._offers[entry.service].stale:
            marks[meta.STALE] = True
        return {**entry.listed, "name": view.shown_name(entry.name), "_meta": marks}

    def _in_view(self, view: View) -> Iterable[Entry]:
        services = self._offers if view.service is None else (view.service,)
        return (entry for service in services for entry in self._offers[service].entries)

    def _objection(self, service: str, name: str, taken: set[str]) -> str | None:
        if not name or len(name) > MAX_NAME_LENGTH:
            return f"the name is empty or over {MAX_NAME_LENGTH} characters"
        if namespace_of(name) not in self._namespaces[service]:
            return f"the namespace is not {service}'s"
        if safe_name(name) in taken:
            return "another tool has the same safe name"
        return None

    def _rebuild(self) -> None:
        self._by_safe_name = {
            safe_name(entry.name): entry
            for offer in self._offers.values()
            for entry in offer.entries
        }
        self._listings.clear()
