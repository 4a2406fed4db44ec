"""The objects of the emulator, their versions, and who watches them."""

import asyncio
import copy
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from tests.backends.kube.kinds import Kind

Object = dict[str, Any]
CREATED = "2026-01-02T03:04:05Z"


@dataclass(frozen=True)
class Change:
    version: int
    type: str
    kind: Kind
    object: Object


@dataclass
class Store:
    """`changed` is set anew by every change; `oldest` is from where history is still known."""

    version: int = 1000
    oldest: int = 0
    of_kind: dict[Kind, dict[tuple[str, str], Object]] = field(default_factory=dict)
    history: list[Change] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, kind: Kind, thing: Object) -> Object:
        """Keep it as it is, with a new version; what it lacks of metadata is filled in."""
        kept = copy.deepcopy(thing)
        kept.setdefault("apiVersion", kind.api_version)
        kept.setdefault("kind", kind.kind)
        meta = kept["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        known = self.of_kind.setdefault(kind, {})
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        meta.setdefault("uid", known[key]["metadata"]["uid"] if key in known else str(uuid.uuid4()))
        meta.setdefault("creationTimestamp", CREATED)
        self._tell("MODIFIED" if key in known else "ADDED", kind, kept)
        known[key] = kept
        return kept

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        return self.of_kind.get(kind, {}).get((namespace, name))

    def remove(self, kind: Kind, namespace: str, name: str) -> Object:
        gone = self.of_kind[kind].pop((namespace, name))
        self.version += 1
        self._tell("DELETED", kind, gone)
        return gone

    def all(self, kind: Kind, namespace: str | None = None) -> list[Object]:
        """In the order of their keys, as etcd has them."""
        found = self.of_kind.get(kind, {})
        if namespace is None:
            return [found[key] for key in sorted(found)]
        return [found[key] for key in sorted(found) if key[0] == namespace]

    def compact(self) -> None:
        """Forget the past: what began before now is too old."""
        self.oldest = self.version + 1
        self.version += 1
        self.history.clear()

    def since(self, version: int, kind: Kind) -> Iterator[Change]:
        return (each for each in self.history if each.version > version and each.kind == kind)

    def _tell(self, type_: str, kind: Kind, thing: Object) -> None:
        self.history.append(Change(self.version, type_, kind, copy.deepcopy(thing)))
        self.changed.set()
        self.changed = asyncio.Event()


_REQUIREMENT = re.compile(
    r"\s*(?:(?P<key>[\w./-]+)\s*(?P<op>in|notin)\s*\((?P<among>[^)]*)\)"
    r"|(?P<name>[\w./-]+)\s*(?P<sign>==|=|!=)\s*(?P<value>[\w.-]*)"
    r"|(?P<not>!?)(?P<has>[\w./-]+))\s*(?:,|$)"
)


class BadSelector(ValueError):
    pass


def by_labels(selector: str, thing: Object) -> bool:
    labels: dict[str, str] = thing["metadata"].get("labels") or {}
    at = 0
    while at < len(selector):
        found = _REQUIREMENT.match(selector, at)
        if found is None:
            raise BadSelector(f"unable to parse requirement: {selector[at:]}")
        at = found.end()
        part = found.groupdict()
        if part["key"]:
            among = {each.strip() for each in part["among"].split(",")}
            holds = (labels.get(part["key"]) in among) is (part["op"] == "in")
        elif part["name"]:
            holds = (labels.get(part["name"]) == part["value"]) is (part["sign"] != "!=")
        else:
            holds = (part["has"] in labels) is (not part["not"])
        if not holds:
            return False
    return True


_FIELDS = ("metadata.name", "metadata.namespace")
_FIELDS_OF = {
    "Pod": ("spec.nodeName", "status.phase", "status.podIP", "spec.serviceAccountName"),
    "Event": (
        "involvedObject.kind", "involvedObject.name", "involvedObject.namespace",
        "involvedObject.uid", "reason", "type",
    ),
    "Node": ("spec.unschedulable",),
    "Secret": ("type",),
    "Namespace": ("status.phase",),
}  # fmt: skip


def by_fields(selector: str, kind: Kind, thing: Object) -> bool:
    for part in filter(None, selector.split(",")):
        sign = "!=" if "!=" in part else "==" if "==" in part else "="
        name, _, value = part.partition(sign)
        if name not in (*_FIELDS, *_FIELDS_OF.get(kind.kind, ())):
            raise BadSelector(f'field label not supported: "{name}"')
        here: Any = thing
        for step in name.split("."):
            here = cast("Object", here).get(step) if isinstance(here, dict) else None
        if ((str(here) if here is not None else "") == value) is (sign == "!="):
            return False
    return True
