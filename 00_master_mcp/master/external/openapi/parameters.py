"""Reads the parameters of operations. Pure."""

import re
from dataclasses import replace
from typing import Any, cast

from master.external.openapi.document import Document, elements, members, text_of
from master.external.openapi.naming import argument_name
from master.external.openapi.operation import Parameter
from master.external.openapi.schema import Translator
from master.external.openapi.style import Place, Style

MAX_PARAMETERS = 300

_PLACES: tuple[Place, ...] = ("path", "query", "header", "cookie")
_VARIABLE = re.compile(r"\{([^{}]*)\}")
# OpenAPI ignores the first three as parameters; the rest belong to the connection or to the hub.
_NOT_FOR_CALLERS = frozenset(
    """
    accept authorization content-type connection content-length cookie expect host keep-alive
    proxy-authorization proxy-connection te trailer transfer-encoding upgrade
    traceparent tracestate baggage x-correlation-id
    """.split()  # noqa: SIM905
)
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")


class BadOperation(ValueError):
    """An operation that cannot become a tool; the message says why."""


def variables_of(path: str) -> list[str]:
    """The names in a path's template, each once."""
    return list(dict.fromkeys(_VARIABLE.findall(path)))


def filled(path: str, values: dict[str, str]) -> str:
    """The path with each variable replaced by its encoded value."""
    return _VARIABLE.sub(lambda match: values[match[1]], path)


def read_parameters(
    document: Document,
    translator: Translator,
    path: str,
    shared: Any,
    own: Any,
    secret: frozenset[tuple[str, str]],
) -> tuple[Parameter, ...]:
    """The parameters of an operation, path first, with distinct names of arguments.

    `shared` are the path's, which the operation's `own` replace; `secret` are those (place, name in
    lower case) that a security scheme fills, so that no caller has to know them.
    """
    nodes: dict[tuple[str, str], dict[str, Any]] = {}
    given = [*elements(shared), *elements(own)]
    if len(given) > MAX_PARAMETERS:
        raise BadOperation(f"it has {len(given)} parameters; {MAX_PARAMETERS} are taken")
    for value in given:
        node = document.resolved(value)
        place, name = text_of(node.get("in")), text_of(node.get("name"))
        if place in _PLACES and name:
            nodes[place, name] = node
    variables = variables_of(path)
    for variable in variables:
        # Documents forget them; the path cannot do without.
        nodes.setdefault(("path", variable), {"schema": {"type": "string"}})
    kept = [
        _parameter(document, translator, cast("Place", place), name, node)
        for (place, name), node in sorted(nodes.items(), key=lambda item: _rank(item[0][0]))
        if _is_for_callers(place, name, variables, secret)
    ]
    return _distinct(kept)


def _rank(place: str) -> int:
    return _PLACES.index(cast("Place", place))


def _is_for_callers(
    place: str, name: str, variables: list[str], secret: frozenset[tuple[str, str]]
) -> bool:
    if place == "path":
        return name in variables
    if (place, name.lower()) in secret:
        return False
    if place == "query":
        return True
    return _TOKEN.fullmatch(name) is not None and not (
        place == "header" and name.lower() in _NOT_FOR_CALLERS
    )


def _parameter(
    document: Document, translator: Translator, place: Place, name: str, node: dict[str, Any]
) -> Parameter:
    content = members(node.get("content"))
    media = members(next(iter(content.values()), None))
    schema = translator.schema(media.get("schema", {}) if content else node.get("schema", {}))
    told: dict[str, Any] = {} if schema is True else {"not": {}}
    if isinstance(schema, dict):
        told = schema
    description = text_of(node.get("description")).strip()
    if description and not translator.terse:
        told = {**told, "description": description}
    if "example" in node and not translator.terse:
        told = {"examples": [node["example"]], **told}
    if node.get("deprecated") is True:
        told = {**told, "deprecated": True}
    return Parameter(
        argument=argument_name(name),
        name=name,
        place=place,
        style=Style.read(node, place),
        required=place == "path" or node.get("required") is True,
        schema=told,
        as_json=bool(content),
    )


def _distinct(parameters: list[Parameter]) -> tuple[Parameter, ...]:
    taken: set[str] = set()
    out: list[Parameter] = []
    for parameter in parameters:
        name = parameter.argument
        if name in taken:
            name = f"{parameter.argument[:57]}_{parameter.place}"
        for number in range(2, MAX_PARAMETERS + 2):
            if name not in taken:
                break
            name = f"{parameter.argument[:60]}_{number}"
        taken.add(name)
        out.append(replace(parameter, argument=name))
    return tuple(out)
