"""The inputs of a `server.json`: fixed values, handles, and what a person decides. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from flotilla import InvalidArgument

_VARIABLE = re.compile(r"\{([^{}]*)\}")
_HANDLE = re.compile(r"\$\{[^{}]*\}?")
_NOT_YOURS = "may not refer to the environment of whoever installs it"

Json = Mapping[str, Any]


class BadServer(InvalidArgument):
    """The text is no `server.json` that can be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a person sets before the server can start (`required`), or may set."""

    variable: str
    """The environment variable behind the handle; for an optional one, the name to use."""
    where: str
    """What it is for: `environment variable X`, `argument --y`, `header Z`."""
    description: str = ""
    required: bool = True
    secret: bool = False
    format: str = "string"
    choices: tuple[str, ...] = ()


@dataclass(slots=True)
class Draft:
    """An offer in the making."""

    key: str
    place: str
    needs: list[Need] = field(default_factory=list[Need])
    notes: list[str] = field(default_factory=list[str])

    def value_of(self, node: Json, where: str, variable: str, place: str) -> str | None:
        """What an input is: its fixed value, a handle, its default, or None where it may be unset.

        `variable` names the handle.
        """
        if isinstance(node.get("value"), str):
            return self.filled(literal(node, "value", place), node, where, place)
        need = _need(node, where, variable, place)
        default = literal(node, "default", place) if "default" in node else None
        if default is not None and need.choices and default not in need.choices:
            raise BadServer(f"{place}: default {default!r} is not among its choices")
        if need.secret or (need.required and default is None):
            if not need.required:
                self.needs.append(need)
                return None
            self.needs.append(need)
            return f"${{env:{variable}}}"
        if default is None:
            self.needs.append(need)
        return default

    def filled(self, template: str, node: Json, where: str, place: str) -> str:
        """The template with its `{variables}`; one that is not declared stays as it is."""
        declared = members(node.get("variables", {}), f"{place}.variables")

        def replaced(match: re.Match[str]) -> str:
            name = match[1]
            if name not in declared:
                return match[0]
            inner_place = f"{place}.variables.{name}"
            inner = members(declared[name], inner_place)
            # A template has no gap for what is not set.
            inner = inner if "default" in inner else {**inner, "isRequired": True}
            said = f"{where}, the part {{{name}}}"
            return self.value_of(inner, said, self.variable(name), inner_place) or ""

        whole = _VARIABLE.sub(replaced, template)
        # Two harmless parts could make a handle together.
        ours = {f"${{env:{need.variable}}}" for need in self.needs}
        if any(found not in ours for found in _HANDLE.findall(whole)):
            raise BadServer(f"{place}: {_NOT_YOURS}")
        return whole

    def variable(self, name: str) -> str:
        """The name of our own environment variable for an input that has none."""
        words = re.sub(r"[^A-Za-z0-9]+", "_", f"{self.key}_{name}").strip("_")
        return words.upper() if not words[:1].isdigit() else f"_{words.upper()}"


def _need(node: Json, where: str, variable: str, place: str) -> Need:
    return Need(
        variable=variable,
        where=where,
        description=str(node.get("description") or ""),
        required=node.get("isRequired") is True,
        secret=node.get("isSecret") is True,
        format=str(node.get("format") or "string"),
        choices=tuple(map(str, elements(node.get("choices", []), f"{place}.choices"))),
    )


def members_or_none(value: Any) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def members(value: Any, place: str) -> Json:
    if not isinstance(value, dict):
        raise BadServer(f"{place}: must be an object")
    return cast("Json", value)


def elements(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadServer(f"{place}: must be an array")
    return cast("list[Any]", value)


def text(node: Json, key: str, place: str) -> str:
    value = node.get(key)
    if not isinstance(value, str) or not value:
        raise BadServer(f"{place}.{key}: missing, or no text")
    return value


def literal(node: Json, key: str, place: str) -> str:
    """A stranger's text that goes into the entry: no handle of ours, no control characters."""
    value = node.get(key)
    if not isinstance(value, str):
        raise BadServer(f"{place}.{key}: missing, or no text")
    if "${" in value:
        raise BadServer(f"{place}.{key}: {_NOT_YOURS}")
    if not value.isprintable():
        raise BadServer(f"{place}.{key}: has control characters")
    return value
