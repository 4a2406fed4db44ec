"""What a reconciliation would do, decided from what was discovered and what is live. Pure."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Self

import orjson
from pydantic import Field, JsonValue, ValidationError

from cmdb.matching import Named
from cmdb.relation_types import RelationTypeName
from cmdb.values import ATTRIBUTE_PATTERN, Attributes, ClassName, Name
from flotilla import Conflict, InvalidArgument, Model

FLEETING = frozenset(("pod", "container"))
"""Classes whose items are replaced all the time, each by another one."""
MASS_SHARE = 0.3
MASS_ITEMS = 10
"""More retired items than this, and a greater share of what is covered, want to be asked for."""


class Discovered(Model):
    """An item as a source of truth sees it."""

    ci_class: ClassName
    name: Name
    attributes: Attributes = Field(default_factory=dict)
    key: Annotated[
        str | None,
        Field(
            pattern=ATTRIBUTE_PATTERN,
            description="The attribute that identifies it, say serial_number, so that a rename is "
            "seen as one; without it class and name do.",
        ),
    ] = None

    @classmethod
    def of(cls, one: Named, attributes: Attributes) -> Self:
        """What a source tells, with these attributes; InvalidArgument."""
        try:
            return cls(ci_class=one.ci_class, name=one.name, key=one.key, attributes=attributes)
        except ValidationError as error:
            told = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, told["loc"]))
            raise InvalidArgument(f"its {where}: {told['msg']}") from None


class EndRef(Model):
    """An item by class and name, as discovered."""

    ci_class: ClassName
    name: Name


class DiscoveredRelation(Model):
    """A relation as a source of truth sees it."""

    source: EndRef
    type: RelationTypeName
    target: EndRef


class PlannedCreate(Model):
    """An item that would be made."""

    ci_class: str
    name: str
    attributes: Attributes


class PlannedUpdate(Model):
    """An item that would change, from which version, and how."""

    id: str
    ci_class: str
    name: str
    version: int
    changes: list[dict[str, JsonValue]]
    """`{field, before?, after?}` each."""
    new_name: str
    new_attributes: Attributes


class PlannedRetire(Model):
    """An item that would be retired, at which version and with which live relations."""

    id: str
    ci_class: str
    name: str
    version: int
    relation_ids: list[str]


class PlannedRelation(Model):
    """A relation that would be made; the ends by class and name, some of which do not exist yet."""

    source: EndRef
    type: str
    target: EndRef
    source_id: str | None = None
    target_id: str | None = None


class PlannedEnd(Model):
    """A relation that would end, since its source stands in another one of its type by now."""

    id: str
    source_id: str
    type: str
    target_id: str


def check_retires(
    retired: Iterable[str], created: Iterable[str], covered: Iterable[str], *, of_source: bool
) -> None:
    """Raise Conflict where more has gone than goes: somebody lost a permission, not a fleet.

    All are the classes of items; `covered` those of the live ones that the discovery speaks of. It
    is looked at by class too, since a permission may be for one alone. What comes and goes by
    itself has gone only where less came.
    """
    gone, came, there = Counter(retired), Counter(created), Counter(covered)
    missing = {
        name: max(0, count - came[name]) if name in FLEETING else count
        for name, count in gone.items()
    }
    whole = (sum(missing.values()), there.total())
    nothing_left = of_source and 0 < whole[0] == whole[1]
    for lost, of in (whole, *((count, there[name]) for name, count in missing.items())):
        if nothing_left or (lost > MASS_ITEMS and lost > MASS_SHARE * of):
            raise Conflict(
                f"{lost} of {of} items that this speaks of were not seen and would be retired",
                hint="A source that lost its access sees nothing. Look at it first; where they "
                "have really gone, say allowMassRetirement.",
                details={"reason": "mass_retirement", "retires": lost, "covered": of},
            )


class PlanContent(Model):
    """Everything that applying does, and nothing else."""

    creates: list[PlannedCreate]
    updates: list[PlannedUpdate]
    retires: list[PlannedRetire]
    relations: list[PlannedRelation]
    ends: list[PlannedEnd] = Field(default_factory=list[PlannedEnd])
    unchanged: int

    def stored(self) -> dict[str, JsonValue]:
        return self.model_dump(mode="json")

    def hash(self) -> str:
        return hash_of(self.stored())


def hash_of(stored: Mapping[str, JsonValue]) -> str:
    """SHA-256 of the plan's content; keys sorted, for a database may reorder them."""
    return hashlib.sha256(orjson.dumps(stored, option=orjson.OPT_SORT_KEYS)).hexdigest()
