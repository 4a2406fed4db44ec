"""What a line of a process's log says to the person at the terminal, if anything. Pure."""

import json
from typing import Any

SENTENCE = "flotilla: "
"""How a process begins the sentence with which it refuses to start."""
_SHOWN = frozenset({"warning", "error", "critical"})
_NOT_DETAILS = frozenset(
    {"level", "at", "event", "logger", "service", "exception", "correlation_id"}
)
_MAX_LENGTH = 200


def short(process: str, line: str) -> str | None:
    """One short line for a warning or an error, None for what only belongs in the file."""
    entry = _entry(line)
    if entry is None or entry.get("level") not in _SHOWN:
        return None
    details = " ".join(f"{key}={value}" for key, value in entry.items() if key not in _NOT_DETAILS)
    where = entry.get("service") or process
    told = f"{entry['level']}  {where}: {entry.get('event', '')} {details}".rstrip()
    if isinstance(trace := entry.get("exception"), str) and trace.strip():
        told += f" ({trace.strip().splitlines()[-1]})"
    return printable(told)


def printable(text: str) -> str:
    """On one line, cut, and without control characters: logs quote what strangers sent."""
    clean = "".join(char if char.isprintable() else " " for char in text)
    return clean if len(clean) <= _MAX_LENGTH else f"{clean[: _MAX_LENGTH - 1]}…"


def refusal(lines: list[str]) -> str | None:
    """The sentence with which a process refused to start, if it wrote one."""
    said = [line for line in lines if line.startswith(SENTENCE)]
    return said[-1].removeprefix(SENTENCE) if said else None


def last_words(lines: list[str]) -> str | None:
    """What a process that died said last: mostly the last line of a traceback."""
    entry = None
    for line in reversed(lines):
        entry = _entry(line)
        if entry is None:
            return printable(line.strip())
    return None


def _entry(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None  # pyright: ignore[reportUnknownVariableType]
