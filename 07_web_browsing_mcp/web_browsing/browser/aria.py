"""Reads Playwright's accessibility snapshot (`aria_snapshot(mode="ai")`) into a tree. Pure.

Its lines are `- role "name" [state] [ref=e5]: text`, a YAML sequence; what a line holds is made by
its renderer (packages/isomorphic/ariaSnapshotRenderer.ts), whose few forms are read here without a
YAML parser: a large page has 100,000 lines.
"""

import json
import re
from dataclasses import replace
from typing import NamedTuple

from web_browsing.browser.tree import CLICKABLE, Child, Node

MAX_LINES = 100_000
MAX_DEPTH = 120
"""What is nested deeper is shown at this depth: the walks over a tree recurse."""

_KEY = re.compile(r'([A-Za-z][\w-]*)(?: ("(?:[^"\\]|\\.)*"))?((?: \[[^\]]*\])*)')
_MARK = re.compile(r"\[([\w-]+)(?:=([^\]]*))?\]")
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
_STATES = {"active": "focused", "aria-hidden": ""}


class _Open(NamedTuple):
    depth: int
    head: Node
    children: list[Child]


def read_aria(text: str) -> tuple[Node, bool]:
    """The tree of a snapshot under a `page`, and whether it was too long to read to its end.

    A line of no known form is taken as text, so that a new version of Playwright shows more than
    it should rather than less.
    """
    root = _Open(-1, Node("page"), [])
    opened = [root]
    lines = text.split("\n", MAX_LINES)
    for line in lines[:MAX_LINES]:
        bare = line.lstrip(" ")
        if not bare.startswith("- "):
            continue
        depth = min((len(line) - len(bare)) // 2, MAX_DEPTH)
        while opened[-1].depth >= depth:
            _close(opened)
        key, value = _split(bare[2:])
        if key == "text":
            opened[-1].children.append(value)
        elif key.startswith("/"):
            _describe(opened, key[1:], value)
        elif (head := _head(key)) is None:
            opened[-1].children.append(bare[2:])
        else:
            opened.append(_Open(depth, head, [value] if value else []))
    while len(opened) > 1:
        _close(opened)
    return replace(root.head, children=tuple(root.children)), len(lines) > MAX_LINES


def _close(opened: list[_Open]) -> None:
    done = opened.pop()
    opened[-1].children.append(replace(done.head, children=tuple(done.children)))


def _describe(opened: list[_Open], prop: str, value: str) -> None:
    depth, head, children = opened[-1]
    if prop == "url":
        opened[-1] = _Open(depth, replace(head, url=value), children)
    elif prop == "placeholder":
        opened[-1] = _Open(depth, replace(head, placeholder=value), children)


def _split(line: str) -> tuple[str, str]:
    """Key and value of a line, both as they were before YAML's quotes."""
    if line.startswith("'"):
        end = 1
        while (end := line.find("'", end)) >= 0 and line[end + 1 : end + 2] == "'":
            end += 2
        if end < 0:
            return line, ""
        return line[1:end].replace("''", "'"), _value(line[end + 1 :])
    if line.startswith(("text: ", "/")):
        key, _, value = line.partition(": ")
        return key, _scalar(value)
    found = _KEY.match(line)
    if found is None or line[found.end() : found.end() + 1] not in ("", ":"):
        return line, ""
    return found[0], _value(line[found.end() :])


def _value(rest: str) -> str:
    return _scalar(rest[2:]) if rest.startswith(": ") else ""


def _scalar(value: str) -> str:
    if len(value) < 2 or not (value[0] == value[-1] == '"'):
        return value
    return _ESCAPE.sub(_meant, value[1:-1])


def _meant(found: re.Match[str]) -> str:
    what = found[1]
    return chr(int(what[1:], 16)) if len(what) == 3 else _ESCAPED.get(what, what)


def _head(key: str) -> Node | None:
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    role, name, marks = found.groups()
    ref, level, states = None, 0, list[str]()
    for mark, value in _MARK.findall(marks):
        if mark == "ref":
            ref = value
        elif mark == "level":
            level = int(value) if value.isdecimal() and len(value) < 3 else 0
        elif mark == "cursor":
            states.append(CLICKABLE)
        elif mark != "box" and (state := _STATES.get(mark, mark)):
            states.append(f"{state}={value}" if value else state)
    return Node(role, json.loads(name) if name else "", ref, tuple(states), level)
