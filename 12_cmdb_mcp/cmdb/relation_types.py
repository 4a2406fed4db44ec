"""The types of relation: which classes may stand at their ends, and who rests on whom. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from flotilla import InvalidArgument


class Rests(StrEnum):
    """Which end stops working, or loses something it counts on, when the other end fails."""

    SOURCE_ON_TARGET = "source_on_target"
    TARGET_ON_SOURCE = "target_on_source"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class RelationType:
    """`sources` and `targets` are classes whose subclasses count too."""

    name: str
    meaning: str
    rests: Rests
    sources: tuple[str, ...]
    targets: tuple[str, ...]

    def ends(self, source_id: str, target_id: str) -> tuple[str | None, str | None]:
        """`(dependent, provider)` of a relation of this type; Nones where neither rests."""
        if self.rests is Rests.SOURCE_ON_TARGET:
            return source_id, target_id
        if self.rests is Rests.TARGET_ON_SOURCE:
            return target_id, source_id
        return None, None


_ANY = ("ci",)
_HOSTS = ("compute", "cluster", "cloud_resource")
_TYPES = (
    RelationType(
        "runs_on",
        "The source executes on the target, and stops with it.",
        Rests.SOURCE_ON_TARGET,
        ("software", "compute", "cluster", "kubernetes_object"),
        (*_HOSTS, "hardware", "kubernetes_object", "platform"),
    ),
    RelationType(
        "depends_on",
        "The source needs the target to do its work.",
        Rests.SOURCE_ON_TARGET,
        _ANY,
        _ANY,
    ),
    RelationType(
        "contains",
        "The target is inside the source (a rack, a site, a namespace) and fails with it.",
        Rests.TARGET_ON_SOURCE,
        _ANY,
        _ANY,
    ),
    RelationType(
        "connects_to",
        "The two can exchange traffic. It says who may talk, not who fails, so impact does not "
        "follow it; say depends_on where one needs the other.",
        Rests.NEITHER,
        _ANY,
        _ANY,
    ),
    RelationType(
        "uses",
        "The source consumes what the target offers.",
        Rests.SOURCE_ON_TARGET,
        _ANY,
        _ANY,
    ),
    RelationType(
        "member_of",
        "The source is one of those that make up the target, so the target rests on the source.",
        Rests.TARGET_ON_SOURCE,
        _ANY,
        ("group", "cluster", "service", "kubernetes_object"),
    ),
    RelationType(
        "backed_up_by",
        "The target keeps the source's copies; without it the source cannot be restored.",
        Rests.SOURCE_ON_TARGET,
        _ANY,
        ("storage", "software", "compute", "hardware", "cloud_resource"),
    ),
)

RELATION_TYPES: dict[str, RelationType] = {kind.name: kind for kind in _TYPES}

RelationTypeName = Annotated[
    str, Field(min_length=1, max_length=32, description=f"One of {', '.join(RELATION_TYPES)}.")
]


def relation_type(name: str) -> RelationType:
    """The type of that name; InvalidArgument lists them all."""
    kind = RELATION_TYPES.get(name)
    if kind is None:
        raise InvalidArgument(
            f"there is no relation type {name!r}", hint=f"Use one of {', '.join(RELATION_TYPES)}."
        )
    return kind
