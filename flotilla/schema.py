"""From a typed method to the JSON Schemas of a tool. Pure."""

import inspect
from collections.abc import Mapping
from typing import Any, cast, get_type_hints

from pydantic import BaseModel, ValidationError, create_model

from flotilla.context import Context
from flotilla.errors import InvalidArgument
from flotilla.json_text import MAX_DEPTH
from flotilla.model import Model
from flotilla.tool import Run, Tool

_MAX_TOLD = 5
"""Mistakes told at once: a model mends a few, not fifty."""


class BadTool(TypeError):
    """A declaration that cannot become a tool; found at start."""


class Arguments:
    """The input of one tool: its schema, and the reading of what a client sent."""

    def __init__(self, tool: Tool) -> None:
        fields: dict[str, Any] = {}
        self.context_name: str | None = None
        hints = get_type_hints(tool.run, include_extras=True)
        for name, parameter in inspect.signature(tool.run).parameters.items():
            if name not in hints:
                raise BadTool(f"{tool.name}: parameter {name!r} has no type")
            if hints[name] is Context:
                self.context_name = name
                continue
            required = parameter.default is inspect.Parameter.empty
            fields[name] = (hints[name], ... if required else parameter.default)
        self._model = create_model(f"{tool.name} arguments", __base__=Model, **fields)
        self.schema = compact(self._model.model_json_schema(by_alias=True))

    def read(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """The keyword arguments of the method; InvalidArgument names each mistake and its place."""
        refuse_unprintable(sent)
        try:
            model = self._model.model_validate(sent, by_alias=True, by_name=False)
        except ValidationError as error:
            hint = "Compare with the tool's input schema."
            raise InvalidArgument(told(error), hint=hint) from None
        return {name: getattr(model, name) for name in type(model).model_fields}


class Output:
    """The output of one tool: its schema, and the JSON of what the method returned."""

    def __init__(self, tool: Tool) -> None:
        returned = get_type_hints(tool.run).get("return")
        if not (inspect.isclass(returned) and issubclass(returned, BaseModel)):
            raise BadTool(f"{tool.name}: the method must return a flotilla.Model, not {returned!r}")
        self._model = returned
        # A generic page made without its parameter is an instance of the bare class alone.
        self._bare = returned.__pydantic_generic_metadata__["origin"] or returned
        schema = returned.model_json_schema(mode="serialization", by_alias=True)
        self.schema = compact(_left_out_when_null(schema))

    def write(self, value: BaseModel) -> dict[str, Any]:
        """The structured content; members that are None are left out."""
        if not isinstance(value, self._bare):
            raise BadTool(f"returned {type(value).__name__} instead of {self._model.__name__}")
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)


def _left_out_when_null(schema: Any) -> Any:
    """The schema of what `Output.write` makes: a member that may be null is missing then."""
    if isinstance(schema, list):
        return [_left_out_when_null(part) for part in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    node = {key: _left_out_when_null(part) for key, part in cast("dict[str, Any]", schema).items()}
    members = node.get("properties")
    if isinstance(members, dict) and isinstance(node.get("required"), list):
        named = cast("dict[str, Any]", members)
        node["required"] = [name for name in node["required"] if not _may_be_null(named.get(name))]
        node["properties"] = {
            name: {**part, "default": None} if _may_be_null(part) else part
            for name, part in named.items()
        }
    return node


def _may_be_null(schema: Any) -> bool:
    return isinstance(schema, dict) and {"type": "null"} in cast("dict[str, Any]", schema).get(
        "anyOf", ()
    )


def description_of(run: Run) -> str:
    """The docstring with its indentation removed, as a model reads it."""
    text = inspect.getdoc(run)
    if not text:
        raise BadTool(f"{run!r} has no docstring, so no model would know when to call it")
    return text


def told(error: ValidationError) -> str:
    """What was wrong, by place; never the value itself, which may be a secret."""
    mistakes = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [
        f"{'.'.join(str(part) for part in mistake['loc']) or 'arguments'}: {mistake['msg']}"
        for mistake in mistakes[:_MAX_TOLD]
    ]
    if len(mistakes) > _MAX_TOLD:
        lines.append(f"and {len(mistakes) - _MAX_TOLD} more")
    return "; ".join(lines)


def refuse_unprintable(value: Any, place: str = "arguments", depth: int = 0) -> None:
    """Raise InvalidArgument for NUL and lone surrogates, which no file or program takes.

    And for what is nested over 64 levels deep, before anybody walks it.
    """
    if depth > MAX_DEPTH:
        raise InvalidArgument(f"the arguments are nested over {MAX_DEPTH} levels deep")
    if isinstance(value, str):
        if "\0" in value:
            raise InvalidArgument(f"{place} contains a NUL character")
        if not value.isascii() and not _encodes(value):
            raise InvalidArgument(f"{place} contains half of a surrogate pair, which is no text")
    elif isinstance(value, Mapping):
        for key, inner in cast("Mapping[str, Any]", value).items():
            refuse_unprintable(key, f"a key of {place}")
            refuse_unprintable(inner, f"{place}.{key}", depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[Any]", value)):
            refuse_unprintable(inner, f"{place}[{index}]", depth + 1)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def compact(schema: Any) -> Any:
    """The schema without what costs a model tokens and tells it nothing.

    Generated titles go, and `anyOf [X, null] default null` becomes plain X: the member is simply
    left out. What is accepted stays the same or narrower.
    """
    if isinstance(schema, list):
        return [compact(part) for part in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    node = cast("dict[str, Any]", schema)
    out: dict[str, Any] = {}
    for key, value in node.items():
        if key == "title" and isinstance(value, str):
            continue
        if key in ("properties", "$defs", "patternProperties"):
            out[key] = {name: compact(part) for name, part in value.items()}
        elif key in ("default", "const", "enum", "examples"):
            out[key] = value
        else:
            out[key] = compact(value)
    choices = out.get("anyOf")
    if isinstance(choices, list) and "default" in out and out["default"] is None:
        kept = [choice for choice in cast("list[Any]", choices) if choice != {"type": "null"}]
        if len(kept) == 1 and isinstance(kept[0], dict):
            del out["default"], out["anyOf"]
            return {**cast("dict[str, Any]", kept[0]), **out}
    return out
