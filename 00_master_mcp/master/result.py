"""A tool's result as the hub carries it: its members as JSON texts, none of them written anew."""

from collections.abc import Mapping
from typing import Any

from flotilla import meta
from flotilla.json_text import from_json, to_json

Result = dict[str, str]
"""MCP's CallToolResult: `content`, `structuredContent`, `isError`, `_meta`, each as JSON text."""

_HOP = "io.modelcontextprotocol/"
"""Members of `_meta` with this prefix belong to one hop."""
_SERVER_INFO_KEY = f"{_HOP}serverInfo"


def of_json(result: Mapping[str, Any]) -> Result:
    return {name: to_json(value).decode() for name, value in result.items()}


def marks_of(result: Result) -> Mapping[str, Any]:
    """The `_meta` of a result, read."""
    text = result.get("_meta")
    return {} if text is None else meta.members(from_json(text.encode()))


def error_code(result: Result) -> str | None:
    """The code of an error of the fleet's, `tool_error` for others, None for success."""
    if result.get("isError") != "true":
        return None
    return str(meta.members(marks_of(result).get(meta.ERROR)).get("code", "tool_error"))


def marked(result: Result, **marks: Any) -> Result:
    """The result with these members in its `_meta`, and without those of the hop behind us."""
    kept = {key: value for key, value in marks_of(result).items() if not key.startswith(_HOP)}
    return {**result, "_meta": to_json({**kept, **marks}).decode()}


def rendered(result: Result, *, modern: bool) -> str:
    """The JSON text of a result for a client of either era."""
    members = {name: text for name, text in result.items() if name not in ("resultType",)}
    if modern:
        members = {"resultType": result.get("resultType", '"complete"'), **members}
    return (
        "{" + ",".join(f"{to_json(name).decode()}:{text}" for name, text in members.items()) + "}"
    )
