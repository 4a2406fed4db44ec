"""What a change does to an object, line by line, without the server's noise or any secret. Pure.

Values of Secrets, and literals whose names say that they are secrets, stand as fingerprints: two
that differ look different, and nothing leads back from one to its value, since it is made with a
key of this process.
"""

import difflib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_bytes
from typing import Any, Final, cast

import yaml

from flotilla.secret_shapes import names_a_secret
from flotilla.sizes import cut
from k8s.hiding import holds_whole, is_secret_flag, is_secret_literal

Object = dict[str, Any]

MAX_OBJECT_BYTES: Final = 256 * 1024
MAX_LINES: Final = 6000
MAX_DIFF_BYTES: Final = 16 * 1024
_HIDDEN: Final = "(hidden, "
CUT: Final = "... the rest is left out\n"

_NOISE: Final = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Stands for values that nobody may see, for as long as this process lives."""

    key: bytes = field(default_factory=lambda: token_bytes(32), repr=False)

    def of(self, value: Any, place: str) -> str:
        """The same for the same value at the same place alone."""
        text = value if isinstance(value, str) else repr(value)
        mark = hmac.new(self.key, f"{place}\0{text}".encode(errors="replace"), sha256)
        return f"{_HIDDEN}{mark.hexdigest()[:10]})"


def shown(content: Mapping[str, Any], fingerprints: Fingerprints) -> Object:
    """The object without status, the server's own fields, and values that are secret."""
    found = {key: value for key, value in content.items() if key != "status"}
    metadata = dict(cast("Object", found.get("metadata") or {}))
    for name in _NOISE:
        metadata.pop(name, None)
    if isinstance(metadata.get("annotations"), dict):
        notes = cast("Object", metadata["annotations"])
        kept = {key: value for key, value in notes.items() if not holds_whole(key)}
        if kept:
            metadata["annotations"] = kept
        else:
            del metadata["annotations"]
    found["metadata"] = metadata
    place = "/".join(
        str(each)
        for each in (found.get("kind"), metadata.get("namespace", ""), metadata.get("name"))
    )
    return cast("Object", _hidden(found, place, fingerprints))


def _hidden(node: Any, place: str, fingerprints: Fingerprints) -> Any:
    if isinstance(node, list):
        items = cast("list[Any]", node)
        return [
            fingerprints.of(each, f"{place}[{index}]")
            if index and isinstance(each, str) and is_secret_flag(items[index - 1])
            else _hidden(each, place, fingerprints)
            for index, each in enumerate(items)
        ]
    if not isinstance(node, dict):
        return node
    members = cast("Object", node)
    out = {
        key: fingerprints.of(value, f"{place}/{key}")
        if isinstance(value, str) and names_a_secret(key, value)
        else _hidden(value, f"{place}/{key}", fingerprints)
        for key, value in members.items()
    }
    if members.get("kind") == "Secret":
        for part in ("data", "stringData"):
            if isinstance(members.get(part), dict):
                values = cast("Object", members[part])
                out[part] = {
                    key: fingerprints.of(value, f"{place}/{key}") for key, value in values.items()
                }
    name, value = members.get("name"), members.get("value")
    if isinstance(name, str) and isinstance(value, str) and is_secret_literal(name, value):
        # A literal of a container's environment.
        out["value"] = fingerprints.of(value, f"{place}/{name}")
    return out


def has_hidden(content: Mapping[str, Any]) -> bool:
    """Whether the object has values that nobody may see."""
    return _HIDDEN in str(shown(content, Fingerprints()))


def diff(before: Object | None, after: Object | None, max_bytes: int = MAX_DIFF_BYTES) -> str:
    """The unified diff of two objects as `shown` made them; None stands for nothing there.

    Cut at `max_bytes`, saying so.
    """
    old, new = (None if each is None else as_yaml(each) for each in (before, after))
    for text in (old, new):
        if text is not None and (len(text) > MAX_OBJECT_BYTES or text.count("\n") > MAX_LINES):
            return "(it is too large to be compared line by line)\n"
    lines = difflib.unified_diff(
        [] if old is None else old.splitlines(keepends=True),
        [] if new is None else new.splitlines(keepends=True),
        fromfile="live" if old is not None else "/dev/null",
        tofile="after" if new is not None else "/dev/null",
        n=3,
    )
    return bounded("".join(lines), max_bytes)


def bounded(text: str, max_bytes: int = MAX_DIFF_BYTES) -> str:
    """The text within so many bytes, cut at the end of a line."""
    kept, was_cut = cut(text, max_bytes - len(CUT))
    return f"{kept[: kept.rfind(chr(10)) + 1]}{CUT}" if was_cut else text


def changes(before: Any, after: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """The leaves that differ: path, value before, value after; None for what is not there."""
    if isinstance(before, dict) and isinstance(after, dict):
        old, new = cast("Object", before), cast("Object", after)
        found: list[tuple[str, Any, Any]] = []
        for key in dict.fromkeys((*old, *new)):
            found += changes(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        return found
    if isinstance(before, list) and isinstance(after, list):
        earlier, later = cast("list[Any]", before), cast("list[Any]", after)
        found = []
        for index in range(max(len(earlier), len(later))):
            old_item, new_item = (
                each[index] if index < len(each) else None for each in (earlier, later)
            )
            found += changes(old_item, new_item, f"{path}[{index}]")
        return found
    return [] if before == after else [(path, before, after)]


_BASE: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_BASE):
    """Texts of several lines stand in lines, so that they are compared by line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)  # pyright: ignore[reportUnknownMemberType]


_Dumper.add_representer(str, _represent_text)


def as_yaml(content: Object) -> str:
    """The object as YAML, keys in alphabetical order but for those that say what it is."""
    head = {key: content[key] for key in ("apiVersion", "kind", "metadata") if key in content}
    rest = {key: content[key] for key in sorted(content) if key not in head}
    return "".join(
        yaml.dump({key: value}, Dumper=_Dumper, width=4096, allow_unicode=True)
        for key, value in {**head, **rest}.items()
    )
