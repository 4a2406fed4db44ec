"""The classes of items: their tree, what each asks of attributes, and what breaks it. Pure."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from cmdb.class_schema import combined, validator_of
from cmdb.relation_types import RelationType
from flotilla import InvalidArgument, Model, NotFound

MAX_PROBLEMS = 20
"""Mistakes told of one item."""

ROOT = "ci"


@dataclass(frozen=True, slots=True)
class CiClass:
    """One class as it was declared; what it inherits is the catalogue's to know."""

    name: str
    parent: str | None
    title: str
    description: str = ""
    abstract: bool = False
    attribute_schema: Mapping[str, Any] = field(default_factory=dict[str, Any])
    revision: int = 0


class Problem(Model):
    """What is wrong with one attribute."""

    field: str
    """`attributes.ip`, `ciClass`, `name`."""
    message: str


class Catalogue:
    """Every class at one revision; answers without asking the database."""

    def __init__(self, classes: Iterable[CiClass], revision: int = 0) -> None:
        self.revision = revision
        self._classes = {ci_class.name: ci_class for ci_class in classes}
        self._schemas: dict[str, dict[str, Any]] = {}
        self._validators: dict[str, Any] = {}

    def __iter__(self) -> Iterator[CiClass]:
        return iter(sorted(self._classes.values(), key=lambda ci_class: ci_class.name))

    def __contains__(self, name: str) -> bool:
        return name in self._classes

    def get(self, name: str) -> CiClass:
        """The class of that name; NotFound tells the nearest names."""
        found = self._classes.get(name)
        if found is None:
            near = difflib.get_close_matches(name, self._classes, n=3, cutoff=0.4)
            known = f"The nearest are {', '.join(near)}. " if near else ""
            raise NotFound(
                f"there is no class {name[:80]!r}",
                hint=f"{known}listClasses names all of them; defineClass adds one.",
            )
        return found

    def concrete(self, name: str) -> CiClass:
        """The class of that name if items may be of it; InvalidArgument for an abstract one."""
        found = self.get(name)
        if found.abstract:
            below = ", ".join(n for n in self.descendants(name) if not self.get(n).abstract)
            raise InvalidArgument(
                f"{name} is abstract: no item is of it directly",
                hint=f"Use one of {below}." if below else "Define a class below it.",
            )
        return found

    def lineage(self, name: str) -> list[CiClass]:
        """The class and its ancestors, root first."""
        chain = [self.get(name)]
        while (parent := chain[-1].parent) is not None:
            chain.append(self.get(parent))
        return chain[::-1]

    def descendants(self, name: str) -> list[str]:
        """The class and everything below it, sorted."""
        self.get(name)
        return sorted(
            other
            for other in self._classes
            if any(ancestor.name == name for ancestor in self.lineage(other))
        )

    def schema_of(self, name: str) -> dict[str, Any]:
        """The JSON Schema of the class's attributes with all that it inherits."""
        schema = self._schemas.get(name)
        if schema is None:
            schema = combined([ci_class.attribute_schema for ci_class in self.lineage(name)])
            self._schemas[name] = schema
        return schema

    def problems(self, name: str, attributes: Mapping[str, JsonValue]) -> list[Problem]:
        """What the class finds wrong with these attributes, at most MAX_PROBLEMS."""
        validator = self._validators.get(name)
        if validator is None:
            validator = self._validators[name] = validator_of(self.schema_of(name))
        found: list[Problem] = []
        for error in validator.iter_errors(attributes):
            place = ".".join(["attributes", *(str(part) for part in error.absolute_path)])
            found.append(Problem(field=place[:300], message=_bounded(error.message)))
            if len(found) == MAX_PROBLEMS:
                break
        return found

    def check(self, name: str, attributes: Mapping[str, JsonValue]) -> None:
        """Raise InvalidArgument with every problem (`details.problems`) unless the class agrees."""
        problems = self.problems(name, attributes)
        if problems:
            told = "; ".join(f"{problem.field}: {problem.message}" for problem in problems[:5])
            raise InvalidArgument(
                f"the attributes do not fit class {name}: {told}",
                hint=f"getClassSchema shows what {name} takes.",
                details={"problems": [problem.model_dump() for problem in problems]},
            )

    def check_ends(self, kind: RelationType, source_class: str, target_class: str) -> None:
        """Raise InvalidArgument unless a relation of this type may join these two classes."""
        for end, ci_class, allowed in (
            ("source", source_class, kind.sources),
            ("target", target_class, kind.targets),
        ):
            if not any(ancestor.name in allowed for ancestor in self.lineage(ci_class)):
                raise InvalidArgument(
                    f"the {end} of {kind.name} cannot be a {ci_class}",
                    hint=f"It takes {', '.join(allowed)} and classes below them. {kind.meaning}",
                )


def _bounded(message: str) -> str:
    # jsonschema writes the value into the message, and a value may be long.
    return message if len(message) <= 200 else f"{message[:120]} ... {message[-70:]}"
