"""Manifests as people write them: YAML or JSON, several documents, read without surprises. Pure.

Only what cannot be misread is taken: no aliases (they multiply), no tags, no key twice, and none of
the words that are a boolean to one version of YAML and a text to the next (`yes`, `on`).
Numbers are read as kubectl reads them: `0644` is octal.
Source: YAML 1.2.2, section 10.3.2 (core schema); YAML 1.1, `bool` and `int`.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import yaml

from flotilla import InvalidArgument, TooLarge
from k8s.kinds import segment

MAX_BYTES = 256 * 1024
MAX_DOCUMENTS = 50
MAX_DEPTH = 60
MAX_NODES = 50_000

Object = dict[str, Any]

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?(?:0b[01]+|0o[0-7]+|0x[0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_AMBIGUOUS = re.compile(
    r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_FIRST = {
    ("", "Namespace"): 0,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): 1,
}
_KIND = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
_API_VERSION = re.compile(r"(?:[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?/)?v[a-z0-9]{1,62}")


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a manifest; `number` is its place in the text, from 1."""

    number: int
    content: Object

    @property
    def api_version(self) -> str:
        return str(self.content["apiVersion"])

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def kind(self) -> str:
        return str(self.content["kind"])

    @property
    def name(self) -> str:
        return str(self.content["metadata"]["name"])

    @property
    def namespace(self) -> str | None:
        return self.content["metadata"].get("namespace")

    @property
    def comes_first(self) -> bool:
        """Whether others of the same manifest may need it: a namespace, a definition of a kind."""
        return (self.group, self.kind) in _FIRST

    def __str__(self) -> str:
        return f"document {self.number} ({self.kind} {self.name})"


def read_manifest(text: str) -> list[Document]:
    """The documents of a manifest, namespaces first, then definitions of kinds, then the rest.

    A `List` counts as what is in it. Raises TooLarge beyond 256 KB or 50 documents, and
    InvalidArgument, with the line, for all that is no manifest.
    """
    if len(text.encode()) > MAX_BYTES:
        raise TooLarge(f"the manifest is over {MAX_BYTES} bytes", hint="Apply it in parts.")
    found: list[Document] = []
    for content in _unlisted(_values(text)):
        if len(found) >= MAX_DOCUMENTS:
            raise TooLarge(
                f"the manifest has over {MAX_DOCUMENTS} documents", hint="Apply it in parts."
            )
        found.append(_checked(len(found) + 1, content))
    if not found:
        raise InvalidArgument("the manifest is empty")
    return sorted(found, key=lambda each: _FIRST.get((each.group, each.kind), 2))


def read_object(text: str, what: str) -> Any:
    """One YAML or JSON value, such as a patch; the same rules and errors as for manifests."""
    if len(text.encode()) > MAX_BYTES:
        raise TooLarge(f"the {what} is over {MAX_BYTES} bytes")
    values = [value for value in _values(text) if value is not None]
    if len(values) != 1:
        raise InvalidArgument(f"the {what} must be one YAML or JSON document")
    return values[0]


def _unlisted(values: Iterator[Any]) -> Iterator[Any]:
    for value in values:
        if value is None:
            continue  # `---` with nothing after it
        listed = cast("Object", value) if isinstance(value, dict) else {}
        if isinstance(listed.get("items"), list) and str(listed.get("kind", "")).endswith("List"):
            yield from listed["items"]
        else:
            yield value


def _checked(number: int, content: Any) -> Document:
    where = f"document {number}"
    if not isinstance(content, dict):
        raise InvalidArgument(f"{where} is no object with apiVersion, kind and metadata")
    found = cast("Object", content)
    if not isinstance(found.get("kind"), str) or not _KIND.fullmatch(found["kind"]):
        raise InvalidArgument(f"{where} has no kind")
    version = found.get("apiVersion")
    if not isinstance(version, str) or not _API_VERSION.fullmatch(version):
        raise InvalidArgument(f"{where} ({found['kind']}) has no apiVersion, such as `apps/v1`")
    metadata: Any = found.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):  # pyright: ignore[reportUnknownMemberType]
        raise InvalidArgument(
            f"{where} ({found['kind']}) has no metadata.name",
            hint="Names are needed to apply; generateName would make another one each time.",
        )
    named = cast("Object", metadata)
    segment(named["name"], "name")
    if (space := named.get("namespace")) is not None:
        if not isinstance(space, str):
            raise InvalidArgument(f"{where} ({found['kind']}): metadata.namespace is no text")
        segment(space, "namespace")
    return Document(number, found)


def _values(text: str) -> Iterator[Any]:
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_number)
        except RecursionError:
            raise InvalidArgument(f"it is nested over {MAX_DEPTH} levels deep") from None
        except ValueError:
            pass  # YAML may begin so too, and says better where the mistake is
        else:
            _check_json(value)
            return iter(cast("list[Any]", value) if _is_manifests(value) else [value])
    try:
        return iter(_Reading(text).documents())
    except yaml.YAMLError as error:
        raise InvalidArgument(f"it is not valid YAML: {_told(error)}") from None


def _is_manifests(value: Any) -> bool:
    """Whether it is a JSON array of objects of Kubernetes, and not a patch."""
    return isinstance(value, list) and all(
        isinstance(each, dict) and "kind" in each for each in cast("list[Any]", value)
    )


def _told(error: yaml.YAMLError) -> str:
    mark: Any = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or "it cannot be read")
    return f"line {mark.line + 1}: {problem}" if mark is not None else problem


def _distinct(pairs: list[tuple[str, Any]]) -> Object:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidArgument(f"the key {twice[:80]!r} stands twice in one object")
    return found


def _no_number(text: str) -> Any:
    raise InvalidArgument(f"{text} is no number of JSON")


def _check_json(value: Any) -> None:
    """Depth and numbers of what the JSON reader took."""
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        node, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise InvalidArgument(f"it is nested over {MAX_DEPTH} levels deep")
        if isinstance(node, dict):
            waiting += ((each, depth + 1) for each in cast("Object", node).values())
        elif isinstance(node, list):
            waiting += ((each, depth + 1) for each in cast("list[Any]", node))
        elif isinstance(node, (int, float)):
            _check_number(node, 0)


def _check_number(number: float, line: int) -> None:
    where = f"line {line}: " if line else ""
    if isinstance(number, float) and not math.isfinite(number):
        raise InvalidArgument(f"{where}a number is too large")
    if isinstance(number, int) and not -(2**63) <= number < 2**63:
        raise InvalidArgument(f"{where}a number does not fit into 64 bits; quote it if it is text")


class _Reading:
    """Builds values from the parser's events, so that nothing is built before it is checked."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=_LOADER))
        self._left = MAX_NODES

    def documents(self) -> list[Any]:
        found: list[Any] = []
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if len(found) > 4 * MAX_DOCUMENTS:
                    raise TooLarge(f"the manifest has over {MAX_DOCUMENTS} documents")
                found.append(self._value(next(self._events), 0))
        return found

    def _value(self, event: Any, depth: int) -> Any:
        line = event.start_mark.line + 1
        self._left -= 1
        if self._left < 0:
            raise TooLarge(f"the manifest has over {MAX_NODES} values")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise InvalidArgument(
                f"line {line}: anchors and aliases are not taken",
                hint="Write out what the alias stands for.",
            )
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event, line)
        if event.tag is not None:
            raise InvalidArgument(f"line {line}: tags such as {event.tag[:40]!r} are not taken")
        if depth >= MAX_DEPTH:
            raise InvalidArgument(f"line {line}: it is nested over {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(depth)
        return self._map(depth)

    def _list(self, depth: int) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(self._value(event, depth + 1))
        return found

    def _map(self, depth: int) -> Object:
        found: Object = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent):
                self._value(event, depth + 1)
                raise InvalidArgument(f"line {line}: a key must be text")
            key = str(event.value)
            if key in found:
                raise InvalidArgument(f"line {line}: the key {key[:80]!r} stands twice")
            found[key] = self._value(next(self._events), depth + 1)
        return found


def _scalar(event: Any, line: int) -> Any:
    text = str(event.value)
    if event.tag is not None:
        raise InvalidArgument(f"line {line}: tags such as {event.tag[:40]!r} are not taken")
    if event.style:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _AMBIGUOUS.fullmatch(text):
        raise InvalidArgument(
            f"line {line}: {text} means different things to different readers of YAML",
            hint="Write true or false, or put quotes around a text.",
        )
    if _INT.fullmatch(text):
        number = _integer(text)
        _check_number(number, line)
        return number
    if _FLOAT.fullmatch(text):
        value = float(text)
        # `1234e567` is somebody's commit, not a number.
        return value if math.isfinite(value) else text
    return text


def _integer(text: str) -> int:
    sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.removeprefix("+"))
    if len(digits) > 70:
        return 2**64
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        return sign * int(digits, 8)
    return sign * int(digits, 0)
