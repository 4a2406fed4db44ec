"""Who manages which field, as server-side apply keeps it; written from its documentation.

A field is a path of keys. Lists of maps that have names are associative by `name`, other lists are
one field. What stands in metadata and says which object it is belongs to nobody.
"""

import copy
from dataclasses import dataclass, field
from typing import Any

from tests.backends.kube.patches import is_by_name

Object = dict[str, Any]
Path = tuple[str, ...]
_NOBODYS = {
    ("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"),
    ("metadata", "uid"), ("metadata", "resourceVersion"), ("metadata", "creationTimestamp"),
    ("metadata", "generation"),
}  # fmt: skip


@dataclass
class Managed:
    """The fields of one object by manager."""

    by: dict[str, set[Path]] = field(default_factory=dict)

    def written(self, manager: str, before: Object | None, after: Object) -> None:
        """An update: whoever changes a field manages it, and alone."""
        old, new = leaves(before or {}), leaves(after)
        taken = {path for path, value in new.items() if old.get(path, _NOTHING) != value}
        for paths in self.by.values():
            paths -= taken
            paths &= set(new)
        self.by.setdefault(manager, set()).update(taken)

    def applied(
        self, manager: str, live: Object | None, wanted: Object, *, force: bool
    ) -> tuple[Object, list[tuple[str, Path]]]:
        """The object after an apply, and the conflicts that keep it from being done."""
        new = leaves(wanted)
        now = {} if live is None else leaves(live)
        conflicts = [
            (other, path)
            for other, paths in sorted(self.by.items())
            if other != manager
            for path in sorted(paths & set(new))
            if now.get(path) != new[path]
        ]
        if conflicts and not force:
            return live or {}, conflicts
        after: Object = copy.deepcopy(live) if live is not None else {}
        given_up = self.by.get(manager, set()) - set(new)
        others = set().union(*(p for name, p in self.by.items() if name != manager))
        for path in given_up - others:
            _remove(after, path)
        for path, value in new.items():
            _set(after, path, copy.deepcopy(value))
        for _, path in conflicts:
            for other, paths in self.by.items():
                if other != manager:
                    paths.discard(path)
        self.by[manager] = set(new)
        return after, []


_NOTHING = object()


def leaves(value: Any, path: Path = ()) -> dict[Path, Any]:
    if path in _NOBODYS or path == ("status",):
        return {}
    if isinstance(value, dict) and value:
        found: dict[Path, Any] = {}
        for key, inner in value.items():
            found |= leaves(inner, (*path, str(key)))
        return found
    if is_by_name(value):
        found = {}
        for each in value:
            found |= leaves(each, (*path, f"[{each['name']}]"))
        return found
    return {path: value}


def told(path: Path) -> str:
    """As the server writes it: `.spec.template.spec.containers[name="a"].image`."""
    return "".join(
        f'[name="{part[1:-1]}"]' if part.startswith("[") else f".{part}" for part in path
    )


def _set(node: Any, path: Path, value: Any) -> None:
    for at, part in enumerate(path):
        last = at == len(path) - 1
        if part.startswith("["):
            name = part[1:-1]
            found = next((each for each in node if each.get("name") == name), None)
            if found is None:
                found = {"name": name}
                node.append(found)
            node = found
            continue
        if last:
            node[part] = value
        else:
            empty: Any = [] if path[at + 1].startswith("[") else {}
            if not isinstance(node.get(part), type(empty)):
                node[part] = empty
            node = node[part]


def _remove(node: Any, path: Path) -> None:
    for part in path[:-1]:
        if part.startswith("["):
            node = next((each for each in node if each.get("name") == part[1:-1]), None)
        else:
            node = node.get(part)
        if node is None:
            return
    node.pop(path[-1], None)
