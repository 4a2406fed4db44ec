"""A result as the hub carries it: its members as JSON texts, none of them written anew."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flotilla import meta
from flotilla.json_text import from_json, to_json
from master.rpc import written

HOP = "io.modelcontextprotocol/"
"""Members of `_meta` with this prefix belong to one hop."""
OURS = "io.flotilla/"
COMPLETE = '"complete"'
INPUT_REQUIRED = '"input_required"'
_MODERN_ONLY = ("resultType", "ttlMs", "cacheScope")


@dataclass(slots=True)
class Result:
    """The members of a result; `poured` when it has gone to the client already, in pieces."""

    texts: Mapping[str, str]
    poured: bool = False

    @property
    def asks(self) -> bool:
        """Whether it is no answer yet but questions to the client (2026-07-28, `resultType`)."""
        return self.texts.get("resultType") == INPUT_REQUIRED


def of_json(result: Mapping[str, Any]) -> Result:
    return Result({name: to_json(value).decode() for name, value in result.items()})


def marks_of(result: Result) -> Mapping[str, Any]:
    """The `_meta` of a result, read."""
    text = result.texts.get("_meta")
    return {} if text is None else meta.members(from_json(text.encode()))


def error_code(result: Result) -> str | None:
    """The code of an error of the fleet's, `tool_error` for others, None for success."""
    if result.texts.get("isError") != "true":
        return None
    return str(meta.members(marks_of(result).get(meta.ERROR)).get("code", "tool_error"))


def marked(result: Result, **marks: Any) -> Result:
    """The result with these members in its `_meta`, and without those of the hop behind us."""
    return Result({**result.texts, "_meta": marked_text(result.texts.get("_meta"), **marks)})


def marked_text(text: str | None, **marks: Any) -> str:
    """The JSON text of a `_meta` with these members, and without those of the hop behind us."""
    if text is None:
        return to_json(marks).decode()
    given = meta.members(from_json(text.encode()))
    kept = {key: value for key, value in given.items() if not key.startswith(HOP)}
    return to_json({**kept, **marks}).decode()


def rendered(result: Result, *, modern: bool, cached: bool = False) -> str:
    """The JSON text of a result for a client of either era.

    `cached`: the method is one whose modern results say how long they may be kept; where its server
    does not, they may not.
    """
    texts = {name: text for name, text in result.texts.items() if name not in _MODERN_ONLY}
    if modern:
        first = {"resultType": result.texts.get("resultType", COMPLETE)}
        kept = {key: result.texts[key] for key in _MODERN_ONLY[1:] if key in result.texts}
        if cached and first["resultType"] == COMPLETE:
            kept = {"ttlMs": "0", "cacheScope": '"private"', **kept}
        texts = {**first, **texts, **kept}
    return written(texts)
