"""JSON laid out for a reader, its numbers and names as they were written. Pure."""

import json
import re

INDENT = "  "
MAX_DEPTH = 40
"""Deeper members are no further indented: what nests ten thousand deep would be mostly spaces."""
_PART = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')


def laid_out(text: str) -> str | None:
    """The same JSON, a member a line; None where it is no JSON."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    parts: list[str] = []
    depth, after_open = 0, False
    for part in (found[0] for found in _PART.finditer(text)):
        closes = part in "]}"
        if closes:
            depth -= 1
        if part not in ",:" and ((after_open and not closes) or (closes and not after_open)):
            parts.append(_line(depth))
        after_open = part in "[{"
        depth += after_open
        parts.append(": " if part == ":" else part)
        if part == ",":
            parts.append(_line(depth))
    return "".join(parts)


def _line(depth: int) -> str:
    return "\n" + INDENT * min(depth, MAX_DEPTH)
