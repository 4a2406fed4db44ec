"""Arguments and results as they are kept for people to read: without secrets, and bounded. Pure."""

import hashlib
from collections.abc import Mapping
from typing import Any, cast

from flotilla.json_text import from_json, to_json
from flotilla.redaction import Redactor
from flotilla.sizes import MAX_TEXT_BYTES, cut
from master.call import Call
from master.handles.spots import without_secrets

MAX_ARGUMENTS_CHARS = 16_384
MAX_STRING_CHARS = 2_048
_KEPT = ("content", "structuredContent", "isError", "note")
"""The members of a result that are kept."""
NOTE = "note"
"""The member that says what is missing of a kept result."""


def told_arguments(call: Call, redactor: Redactor) -> Mapping[str, Any]:
    """The arguments of a call; what is cut says its size and its hash."""
    masked = without_secrets(call.resolved(), call.arguments)
    return _Brief(MAX_ARGUMENTS_CHARS).of(redactor.data(masked))


def told_result(texts: Mapping[str, str], redactor: Redactor) -> str:
    """The JSON text of a result as it is kept, at most 48 KB and a note."""
    found = {name: from_json(texts[name].encode()) for name in _KEPT if name in texts}
    kept = cast("dict[str, Any]", redactor.data(found))
    if _fits(kept):
        return to_json(kept).decode()
    if kept.pop("structuredContent", None) is not None and _fits(kept):
        # A tool of ours says the same as text.
        return to_json({**kept, NOTE: "structuredContent is left out: it is too large."}).decode()
    size = sum(len(text.encode()) for text in texts.values())
    content = [_text_of(block) for block in _blocks(kept.get("content"))]
    # Half of it: as JSON the text may be twice as long.
    start, _ = cut("\n".join(content), MAX_TEXT_BYTES // 2)
    short = {
        "content": [{"type": "text", "text": start}],
        "isError": kept.get("isError") is True,
        NOTE: f"This is the beginning of a result of {size} bytes; the rest was not kept.",
    }
    return to_json(short).decode()


class _Brief:
    def __init__(self, chars: int) -> None:
        self._left = chars

    def of(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            members = cast("Mapping[str, Any]", value)
            told: dict[str, Any] = {}
            for name, each in members.items():
                if self._left <= 0:
                    told["…"] = f"{len(members) - len(told)} more members"
                    break
                told[self._text(name)] = self.of(each)
            return told
        if isinstance(value, list):
            items: list[Any] = []
            for each in cast("list[Any]", value):
                if self._left <= 0:
                    items.append(f"… {len(cast('list[Any]', value)) - len(items)} more items")
                    break
                items.append(self.of(each))
            return items
        self._left -= len(str(value))
        return value

    def _text(self, text: str) -> str:
        most = min(MAX_STRING_CHARS, max(self._left, 0))
        self._left -= len(text) + 4
        if len(text) <= most:
            return text
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{text[:most]}… (cut: {len(text)} characters in all, SHA-256 {digest[:16]}…)"


def _fits(kept: Mapping[str, Any]) -> bool:
    return len(to_json(kept)) <= MAX_TEXT_BYTES


def _blocks(content: Any) -> list[Mapping[str, Any]]:
    found = cast("list[Any]", content) if isinstance(content, list) else []
    return [cast("Mapping[str, Any]", each) for each in found if isinstance(each, Mapping)]


def _text_of(block: Mapping[str, Any]) -> str:
    text = block.get("text")
    return text if isinstance(text, str) else f"({block.get('type', 'something')}, not kept)"
