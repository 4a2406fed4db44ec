"""How much of a text a result may hold, and what is never shown of it. Pure."""

import re
from typing import Any, cast

MAX_TEXT_BYTES = 48 * 1024
"""Long text in a result is cut here, with `truncated: true` and a way to read on."""

MAX_RESULT_BYTES = 512 * 1024
"""A result beyond this is an error of the tool's paging: it would drown the model."""

# Tags block, zero-width characters, bidirectional controls, variation selectors supplement,
# soft hyphen and BOM: invisible to a person, read by a model. And halves of surrogate pairs, which
# a page's script can make and no JSON on the wire can hold.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufeff\uffa0\U000e0000-\U000e0fff]"
)


def cut(text: str, max_bytes: int = MAX_TEXT_BYTES) -> tuple[str, bool]:
    """The longest start of `text` within `max_bytes` of UTF-8, and whether anything was cut."""
    if len(text) * 4 <= max_bytes:
        return text, False
    raw = text.encode()
    if len(raw) <= max_bytes:
        return text, False
    return raw[:max_bytes].decode(errors="ignore"), True


def strip_invisible(text: str) -> str:
    """`text` without characters that nobody sees and a model would obey, or that are none."""
    return text if text.isascii() else _INVISIBLE.sub("", text)


def visible(value: Any) -> Any:
    """The same JSON without such characters in any text, names of members included."""
    if isinstance(value, str):
        return strip_invisible(value)
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value).items()
        return {strip_invisible(key): visible(inner) for key, inner in members}
    if isinstance(value, list):
        return [visible(inner) for inner in cast("list[Any]", value)]
    return value
