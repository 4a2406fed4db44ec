"""YAML read as the JSON that it stands for. Pure.

OpenAPI documents are JSON in YAML's clothes, so scalars follow YAML 1.2's core schema: `no`, `on`
and `2024-01-01` are text, not booleans and dates as in YAML 1.1. The text is read as a stream of
events rather than by a loader, because a loader expands merge keys and shares aliases without any
limit: here an alias costs what it stands for.
"""

import re
from typing import Any, cast

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

_INTEGER = re.compile(r"[-+]?[0-9]{1,400}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_STRING_TAG = "tag:yaml.org,2002:str"
_MERGE = "<<"

# The parser in C where PyYAML was built with it: 20 times faster.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class BadYaml(ValueError):
    """The text is not YAML that stands for JSON; the message says where and why."""


class _Open:
    """A mapping or sequence whose end has not come yet."""

    __slots__ = ("anchor", "before", "height", "key", "merged", "value", "waiting")

    def __init__(self, value: dict[str, Any] | list[Any], anchor: str | None, before: int) -> None:
        self.value = value
        self.anchor = anchor
        self.before = before
        self.height = 1
        self.waiting = True
        self.key = ""
        self.merged: list[dict[str, Any]] = []


class _Reader:
    """Builds one value from events and counts what it holds, aliases as often as they are used."""

    def __init__(self, max_nodes: int, max_depth: int) -> None:
        self._max_nodes = max_nodes
        self._max_depth = max_depth
        self._nodes = 0
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        self.root: Any = None
        self.documents = 0

    def take(self, event: Event) -> None:
        if isinstance(event, (MappingStartEvent, SequenceStartEvent)):
            self._count(1, event)
            if len(self._open) >= self._max_depth:
                raise BadYaml(f"nested over {self._max_depth} levels deep{_place(event)}")
            value: Any = {} if isinstance(event, MappingStartEvent) else []
            self._open.append(_Open(value, event.anchor, self._nodes - 1))
        elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
            self._close(event)
        elif isinstance(event, ScalarEvent):
            self._count(1, event)
            self._put(event, self._scalar(event), height=0)
        elif isinstance(event, AliasEvent):
            self._alias(event)
        elif isinstance(event, DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise BadYaml("the text holds several YAML documents")
        elif not isinstance(event, (StreamStartEvent, StreamEndEvent, DocumentEndEvent)):
            raise BadYaml(f"unexpected {type(event).__name__}{_place(event)}")

    def _close(self, event: Event) -> None:
        done = self._open.pop()
        for source in done.merged:
            done.value = {**source, **cast("dict[str, Any]", done.value)}
        if done.anchor is not None:
            self._anchors[done.anchor] = (done.value, self._nodes - done.before, done.height)
        self._put(event, done.value, height=done.height)

    def _alias(self, event: AliasEvent) -> None:
        if event.anchor not in self._anchors:
            # An alias of what it stands in would be a value without an end.
            raise BadYaml(f"alias *{event.anchor} stands for nothing before it{_place(event)}")
        value, size, height = self._anchors[event.anchor]
        self._count(size, event)
        if len(self._open) + height > self._max_depth:
            raise BadYaml(f"nested over {self._max_depth} levels deep{_place(event)}")
        self._put(event, value, height=height)

    def _scalar(self, event: ScalarEvent) -> Any:
        # A key of a mapping is text in JSON, `200:` too.
        is_key = bool(self._open) and isinstance(self._open[-1].value, dict)
        text = event.value
        if (is_key and self._open[-1].waiting) or event.style or event.tag == _STRING_TAG:
            value: Any = text
        else:
            value = _plain(text)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1, 0)
        return value

    def _put(self, event: Event, value: Any, *, height: int) -> None:
        if not self._open:
            self.root = value
            return
        holder = self._open[-1]
        holder.height = max(holder.height, 1 + height)
        if isinstance(holder.value, list):
            holder.value.append(value)
            return
        if holder.waiting:
            if not isinstance(value, str):
                raise BadYaml(f"a key of a mapping is no text{_place(event)}")
            if value in holder.value:
                raise BadYaml(f"key {value[:80]!r} stands twice in one mapping{_place(event)}")
            holder.key, holder.waiting = value, False
            return
        holder.waiting = True
        if holder.key != _MERGE:
            holder.value[holder.key] = value
            return
        sources: list[Any] = cast("list[Any]", value) if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            raise BadYaml(f"`<<` merges something that is no mapping{_place(event)}")
        holder.merged += sources

    def _count(self, nodes: int, event: Event) -> None:
        self._nodes += nodes
        if self._nodes > self._max_nodes:
            raise BadYaml(
                f"stands for over {self._max_nodes} values, aliases counted as often as they are "
                f"used{_place(event)}"
            )


def read_yaml(text: str, *, max_nodes: int, max_depth: int) -> Any:
    """The one JSON value that a YAML text stands for; BadYaml says what it is instead."""
    reader = _Reader(max_nodes, max_depth)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            reader.take(event)
    except yaml.YAMLError as error:
        raise BadYaml(" ".join(str(error).split())[:300]) from None
    return reader.root


def _plain(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if text.startswith(("0x", "0o")):
        try:
            return int(text, 0)
        except ValueError:
            return text
    if _FLOAT.fullmatch(text):
        number = float(text)
        # JSON has no infinity.
        return text if number in (float("inf"), float("-inf")) else number
    return text


def _place(event: Event) -> str:
    mark: Any = event.start_mark
    return "" if mark is None else f" (line {mark.line + 1})"
