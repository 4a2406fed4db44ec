"""Which operations of a document become tools. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

from flotilla import InvalidArgument

_KINDS = {
    "tags": "tags",
    "operationIds": "operation_ids",
    "methods": "methods",
    "paths": "paths",
}


@dataclass(frozen=True, slots=True)
class Matching:
    """Names of tags, operationIds (or tools), methods, and beginnings of paths; empty says nothing.

    A path begins with another in whole segments: `/pets` takes `/pets/{id}`, not `/petshops`.
    """

    tags: frozenset[str] = frozenset()
    operation_ids: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset()
    paths: tuple[str, ...] = ()

    @classmethod
    def read(cls, place: str, value: Any) -> Self:
        """From an entry's JSON: each of `tags`, `operationIds`, `methods`, `paths` a list."""
        if not isinstance(value, dict):
            raise InvalidArgument(f"{place}: must be an object")
        given = cast("dict[str, Any]", value)
        if unknown := sorted(given.keys() - _KINDS.keys()):
            raise InvalidArgument(
                f"{place}: unknown member {unknown[0]!r}; there are {', '.join(_KINDS)}"
            )
        lists: dict[str, Any] = {}
        for kind, names in given.items():
            if not isinstance(names, list) or not all(
                isinstance(name, str) for name in cast("list[Any]", names)
            ):
                raise InvalidArgument(f"{place}.{kind}: must be a list of strings")
            texts = cast("list[str]", names)
            if kind == "methods":
                texts = [name.lower() for name in texts]
            lists[_KINDS[kind]] = tuple(texts) if kind == "paths" else frozenset(texts)
        return cls(**lists)

    def says(
        self, *, method: str, path: str, tags: frozenset[str], names: frozenset[str]
    ) -> list[bool]:
        """For each kind that names anything, whether it names this operation."""
        kinds = (
            (self.tags, bool(self.tags & tags)),
            (self.operation_ids, bool(self.operation_ids & names)),
            (self.methods, method in self.methods),
            (self.paths, any(_begins(path, start) for start in self.paths)),
        )
        return [named for given, named in kinds if given]


@dataclass(frozen=True, slots=True)
class Choice:
    """An operation is taken that every kind in `include` names and no kind in `exclude` does."""

    include: Matching = Matching()
    exclude: Matching = Matching()

    @classmethod
    def of(
        cls,
        include: Mapping[str, Sequence[str]] | None = None,
        exclude: Mapping[str, Sequence[str]] | None = None,
    ) -> Self:
        """As `read`, of members that are known to be lists of strings."""
        given = {"include": include or {}, "exclude": exclude or {}}
        return cls.read(
            {
                place: {kind: list(names) for kind, names in named.items()}
                for place, named in given.items()
            }
        )

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Self:
        """From the `include` and `exclude` of a server's entry; InvalidArgument names mistakes."""
        return cls(
            include=Matching.read("include", entry.get("include", {})),
            exclude=Matching.read("exclude", entry.get("exclude", {})),
        )

    def takes(self, *, method: str, path: str, tags: frozenset[str], names: frozenset[str]) -> bool:
        """`names` are the operation's operationId and the name of its tool."""
        wanted = self.include.says(method=method, path=path, tags=tags, names=names)
        unwanted = self.exclude.says(method=method, path=path, tags=tags, names=names)
        return all(wanted) and not any(unwanted)


def _begins(path: str, start: str) -> bool:
    trimmed = start.rstrip("/")
    return path in (start, trimmed) or path.startswith(f"{trimmed}/")
