"""What rules may know of a principal and of a thing that a service offers, as entities. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flotilla import Principal
from master.entry import Entry

Action = Literal["call", "read", "prompt"]
Entity = Mapping[str, Any]

ACTIONS: Mapping[str, Action] = {"tools": "call", "prompts": "prompt"}
"""By the kind of an entry: what is done with one; resources and their templates are read."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a rule is asked of: one tool, one prompt, or the resources of one service."""

    action: Action
    type: Literal["Tool", "Prompt", "Service"]
    id: str
    service: str
    entities: tuple[Entity, ...]


def subject_of(entry: Entry) -> Subject:
    action = ACTIONS.get(entry.kind, "read")
    external = entry.origin.external
    service = _entity("Service", entry.service, {"external": external})
    if action == "read":
        return Subject(action, "Service", entry.service, entry.service, (service,))
    spaces = _spaces(entry.name)
    attributes: dict[str, Any] = {"name": entry.name, "external": external}
    if action == "call":
        attributes |= _marks(entry)
    kind = "Tool" if action == "call" else "Prompt"
    parents = [("Service", entry.service), *[("Namespace", space) for space in spaces[-1:]]]
    own = _entity(kind, entry.name, attributes, parents)
    above = [
        _entity("Namespace", space, {}, [("Namespace", spaces[at - 1])] if at else [])
        for at, space in enumerate(spaces)
    ]
    return Subject(action, kind, entry.name, entry.service, (own, service, *above))


def principal_entities(principal: Principal) -> tuple[Entity, ...]:
    roles = tuple(dict.fromkeys(principal.roles))
    own = _entity(
        "Principal", principal.name, {"name": principal.name}, [("Role", role) for role in roles]
    )
    return (own, *(_entity("Role", role, {}) for role in roles))


def uid(kind: str, name: str) -> Mapping[str, str]:
    return {"type": kind, "id": name}


def _marks(entry: Entry) -> Mapping[str, bool]:
    """What is said of a tool. A stranger's word counts only where it makes the tool the worse."""
    external = entry.origin.external
    return {
        "readOnly": entry.only_reads and not external,
        "saysReadOnly": entry.only_reads,
        "destructive": entry.hints("destructiveHint")
        or (external and not entry.only_reads and not _denies(entry, "destructiveHint")),
        "idempotent": entry.may_be_repeated and not external,
        "openWorld": entry.hints("openWorldHint")
        or (external and not _denies(entry, "openWorldHint")),
        "approval": entry.needs_approval,
    }


def _denies(entry: Entry, hint: str) -> bool:
    annotations = entry.listed.get("annotations")
    return isinstance(annotations, dict) and annotations.get(hint) is False  # pyright: ignore[reportUnknownMemberType]


def _spaces(name: str) -> list[str]:
    """How a canonical name begins, the shortest first: `os`, `os.linux`."""
    parts = name.split(".")[:-1][:2]
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def _entity(
    kind: str,
    name: str,
    attributes: Mapping[str, Any],
    parents: list[tuple[str, str]] | None = None,
) -> Entity:
    return {
        "uid": uid(kind, name),
        "attrs": dict(attributes),
        "parents": [uid(*parent) for parent in parents or ()],
    }
