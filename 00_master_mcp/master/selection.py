"""What one view takes of all that is offered. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from master.entry import Entry
from master.offer import Kind
from master.profiles import FINDERS, Profile


@dataclass(frozen=True, slots=True)
class Selection:
    """What a view takes of all that is offered now."""

    services: frozenset[str]
    entries: Mapping[Kind, tuple[Entry, ...]]
    by_name: Mapping[Kind, Mapping[str, Entry]]
    by_uri: Mapping[str, Entry]
    tools: tuple[Entry, ...]
    """Those that a client may be told of: nothing is missing that they need."""


def selection(
    services: frozenset[str],
    entries: Mapping[Kind, tuple[Entry, ...]],
    tools: tuple[Entry, ...],
    *,
    given: bool = False,
) -> Selection:
    """`given`: entries answer to the names that their server gave them, too."""
    named: tuple[Kind, ...] = ("tools", "prompts")
    by_name: dict[Kind, dict[str, Entry]] = {}
    for kind in named:
        own = {entry.given: entry for entry in entries[kind]} if given else {}
        ours = {name: entry for entry in entries[kind] for name in (entry.safe, entry.name)}
        by_name[kind] = own | ours
    by_uri: dict[str, Entry] = {}
    for entry in entries["resources"]:
        by_uri.setdefault(entry.given, entry)
    return Selection(services, entries, by_name, by_uri, tools)


def takes(profile: Profile, tool: Entry) -> bool:
    if tool.name in FINDERS:
        return True
    if not profile.takes(tool.name):
        return False
    if not profile.read_only:
        return True
    vouched = not tool.origin.external or tool.name in profile.include
    return vouched and tool.only_reads
