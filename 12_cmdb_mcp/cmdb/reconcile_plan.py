"""What a reconciliation would do, decided from what was discovered and what is live. Pure."""

import hashlib
from collections.abc import Mapping
from typing import Annotated

import orjson
from pydantic import Field, JsonValue

from cmdb.relation_types import RelationTypeName
from cmdb.values import ATTRIBUTE_PATTERN, Attributes, ClassName, Name
from flotilla import Model


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


class PlanContent(Model):
    """Everything that applying does, and nothing else."""

    creates: list[PlannedCreate]
    updates: list[PlannedUpdate]
    retires: list[PlannedRetire]
    relations: list[PlannedRelation]
    unchanged: int

    def stored(self) -> dict[str, JsonValue]:
        return self.model_dump(mode="json")

    def hash(self) -> str:
        return hash_of(self.stored())


def hash_of(stored: Mapping[str, JsonValue]) -> str:
    """SHA-256 of the plan's content; keys sorted, for a database may reorder them."""
    return hashlib.sha256(orjson.dumps(stored, option=orjson.OPT_SORT_KEYS)).hexdigest()
